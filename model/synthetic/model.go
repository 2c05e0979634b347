// Package synthetic makes small complete models of random weights: a GGUF file with tensors, vocabulary,
// merges and chat template like a real one. They say nothing sensible, but exercise every path that a real
// model takes, and the same seed and options give the same bytes on every machine and in every version.
package synthetic

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"daulat/model/gguf"
)

// Options shape a model; a zero field takes the default.
type Options struct {
	Layers  int       // 2
	Width   int       // 64
	Heads   int       // 4
	KVHeads int       // 2; divides Heads
	HeadDim int       // Width/Heads; even
	FFN     int       // 160
	Context int       // 256
	Type    gguf.Type // of the matrices; F32
	Mixed   bool      // Q6_K for embedding, values and down projections, as in files called Q4_K_M
	Untied  bool      // an output matrix of its own instead of the embedding
	Factors bool      // a rope_freqs tensor, as in Llama 3
	Base    float32   // RoPE base; 10000
	Letters bool      // a vocabulary of letters alone: whatever is drawn, its text gives the same tokens again
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *int
		value int
	}{{&o.Layers, 2}, {&o.Width, 64}, {&o.Heads, 4}, {&o.KVHeads, 2}, {&o.FFN, 160}, {&o.Context, 256}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.HeadDim == 0 && o.Heads > 0 {
		o.HeadDim = o.Width / o.Heads
	}
	if o.Base == 0 {
		o.Base = 10000
	}
	return o
}

func (o Options) check() error {
	const most = 1 << 20 // keeps every product of two of them small
	for _, n := range []int{o.Layers, o.Width, o.Heads, o.KVHeads, o.HeadDim, o.FFN, o.Context} {
		if n < 1 || n > most {
			return fmt.Errorf("synthetic model: a size of %d is out of range", n)
		}
	}
	if o.Heads%o.KVHeads != 0 || o.HeadDim%2 != 0 {
		return fmt.Errorf("synthetic model: %d heads of %d cannot share %d kv heads", o.Heads, o.HeadDim, o.KVHeads)
	}
	return nil
}

// Llama is Model of the llama architecture.
func Llama(seed uint64, o Options) ([]byte, error) { return Model("llama", seed, o) }

// Model returns a GGUF file with random weights. The architecture is llama, qwen2 or qwen3. Widths must be
// multiples of the tensor type's block.
func Model(architecture string, seed uint64, o Options) ([]byte, error) {
	if splits[architecture] == "" {
		return nil, fmt.Errorf("synthetic model: the architecture %q is not known", architecture)
	}
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	v := newVocabulary(o.Letters)
	b := &builder{random: rand.New(rand.NewPCG(seed, 0x6461756c6174)), matrix: o.Type, mixed: o.Mixed}
	b.model(architecture, o, len(v.tokens))
	if b.err != nil {
		return nil, fmt.Errorf("synthetic model: %w", b.err)
	}
	var out bytes.Buffer
	if err := gguf.Write(&out, append(metadata(architecture, seed, o), v.metadata(splits[architecture])...), b.tensors); err != nil {
		return nil, fmt.Errorf("synthetic model: %w", err)
	}
	return out.Bytes(), nil
}

// splits names each architecture's rule to split text into words.
var splits = map[string]string{"llama": "smollm", "qwen2": "qwen2", "qwen3": "qwen2"}

func metadata(architecture string, seed uint64, o Options) []gguf.KV {
	kv := []gguf.KV{
		{Key: "general.architecture", Value: architecture},
		{Key: "general.type", Value: "model"},
		{Key: "general.name", Value: fmt.Sprintf("Synthetic %s %d", architecture, seed)},
		{Key: "general.license", Value: "apache-2.0"},
	}
	for _, own := range []gguf.KV{
		{Key: "block_count", Value: uint32(o.Layers)},
		{Key: "context_length", Value: uint32(o.Context)},
		{Key: "embedding_length", Value: uint32(o.Width)},
		{Key: "feed_forward_length", Value: uint32(o.FFN)},
		{Key: "attention.head_count", Value: uint32(o.Heads)},
		{Key: "attention.head_count_kv", Value: uint32(o.KVHeads)},
		{Key: "attention.key_length", Value: uint32(o.HeadDim)},
		{Key: "attention.value_length", Value: uint32(o.HeadDim)},
		{Key: "attention.layer_norm_rms_epsilon", Value: float32(1e-5)},
		{Key: "rope.freq_base", Value: o.Base},
		{Key: "rope.dimension_count", Value: uint32(o.HeadDim)},
	} {
		kv = append(kv, gguf.KV{Key: architecture + "." + own.Key, Value: own.Value})
	}
	return kv
}

// builder appends tensors, drawing their numbers in order. The first error sticks.
type builder struct {
	random  *rand.Rand
	matrix  gguf.Type
	mixed   bool
	tensors []gguf.TensorData
	err     error
}

func (b *builder) model(architecture string, o Options, vocab int) {
	b.weights("token_embd.weight", o.Width, vocab)
	if o.Factors {
		factors := make([]float32, o.HeadDim/2)
		for i := range factors {
			factors[i] = 1 + float32(float32(i)/2)
		}
		b.add("rope_freqs.weight", gguf.F32, []int{len(factors)}, factors)
	}
	for l := range o.Layers {
		layer := fmt.Sprintf("blk.%d.", l)
		b.norm(layer+"attn_norm.weight", o.Width)
		b.weights(layer+"attn_q.weight", o.Width, o.Heads*o.HeadDim)
		b.weights(layer+"attn_k.weight", o.Width, o.KVHeads*o.HeadDim)
		b.weights(layer+"attn_v.weight", o.Width, o.KVHeads*o.HeadDim)
		switch architecture {
		case "qwen2":
			b.bias(layer+"attn_q.bias", o.Heads*o.HeadDim)
			b.bias(layer+"attn_k.bias", o.KVHeads*o.HeadDim)
			b.bias(layer+"attn_v.bias", o.KVHeads*o.HeadDim)
		case "qwen3":
			b.norm(layer+"attn_q_norm.weight", o.HeadDim)
			b.norm(layer+"attn_k_norm.weight", o.HeadDim)
		}
		b.weights(layer+"attn_output.weight", o.Heads*o.HeadDim, o.Width)
		b.norm(layer+"ffn_norm.weight", o.Width)
		b.weights(layer+"ffn_gate.weight", o.Width, o.FFN)
		b.weights(layer+"ffn_up.weight", o.Width, o.FFN)
		b.weights(layer+"ffn_down.weight", o.FFN, o.Width)
	}
	b.norm("output_norm.weight", o.Width)
	if o.Untied {
		b.weights("output.weight", o.Width, vocab)
	}
}

// weights draws a matrix of evenly distributed numbers of standard deviation about 2/√columns: large enough
// that attention looks at some positions more than at others and that logits differ clearly.
func (b *builder) weights(name string, columns, rows int) {
	values := make([]float32, columns*rows)
	scale := 3.5 / root(float32(columns))
	for i := range values {
		values[i] = float32(b.uniform() * scale)
	}
	kind := b.matrix
	if b.mixed && (name == "token_embd.weight" || strings.Contains(name, "attn_v.") || strings.Contains(name, "ffn_down.")) {
		kind = gguf.Q6_K
	}
	b.add(name, kind, []int{columns, rows}, values)
}

// norm draws gains around 1.
func (b *builder) norm(name string, n int) {
	values := make([]float32, n)
	for i := range values {
		values[i] = 1 + float32(b.uniform()/4)
	}
	b.add(name, gguf.F32, []int{n}, values)
}

// bias draws numbers that show beside a projection's.
func (b *builder) bias(name string, n int) {
	values := make([]float32, n)
	for i := range values {
		values[i] = b.uniform()
	}
	b.add(name, gguf.F32, []int{n}, values)
}

// uniform is a multiple of 2^-23 in [−1, 1).
func (b *builder) uniform() float32 {
	return float32(float32(int32(b.random.Uint64()>>40)-1<<23) / (1 << 23))
}

// root approximates √x by a power of two not above it, so that no rounding enters.
func root(x float32) float32 {
	r := float32(1)
	for r+r <= x/(r+r) {
		r += r
	}
	return r
}

func (b *builder) add(name string, t gguf.Type, dims []int, values []float32) {
	if b.err != nil {
		return
	}
	data, err := gguf.Quantize(t, values)
	if err != nil {
		b.err = fmt.Errorf("tensor %s: %w", name, err)
		return
	}
	b.tensors = append(b.tensors, gguf.TensorData{Name: name, Dims: dims, Type: t, Data: data})
}
