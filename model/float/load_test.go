package float

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"daulat/model/gguf"
	"daulat/model/synthetic"
)

// file is a GGUF file in pieces that a test can change.
type file struct {
	kv      map[string]any
	tensors []gguf.TensorData
}

func pieces(t *testing.T, o synthetic.Options) *file {
	t.Helper()
	_, f := load(t, 21, o)
	return taken(f)
}

func (f *file) load(t *testing.T) (*Model, error) {
	t.Helper()
	var kv []gguf.KV
	for key, value := range f.kv {
		kv = append(kv, gguf.KV{Key: key, Value: value})
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, kv, f.tensors); err != nil {
		t.Fatal(err)
	}
	parsed, err := gguf.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return Load(parsed)
}

func (f *file) tensor(name string) *gguf.TensorData {
	for i := range f.tensors {
		if f.tensors[i].Name == name {
			return &f.tensors[i]
		}
	}
	panic("no tensor " + name)
}

func (f *file) drop(name string) {
	*f.tensor(name) = f.tensors[len(f.tensors)-1]
	f.tensors = f.tensors[:len(f.tensors)-1]
}

func (f *file) set(key string, value any) { f.kv["llama."+key] = value }

func TestLoadRefuses(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		name   string
		change func(f *file)
		want   string
	}{
		{"architecture", func(f *file) { f.kv["general.architecture"] = "gemma" }, `"gemma"`},
		{"no architecture", func(f *file) { delete(f.kv, "general.architecture") }, "architecture"},
		{"unknown setting", func(f *file) { f.set("attention.sliding_window", uint32(8)) }, "sliding_window"},
		{"rope scaling", func(f *file) { f.set("rope.scaling.type", "yarn") }, "scaling"},
		{"rope factor", func(f *file) { f.set("rope.scaling.factor", float32(2)) }, "factor"},
		{"experts", func(f *file) { f.set("expert_count", uint32(8)) }, "expert"},
		{"no layers", func(f *file) { delete(f.kv, "llama.block_count") }, "block_count"},
		{"huge layers", func(f *file) { f.set("block_count", uint64(1)<<60) }, "block_count"},
		{"more layers", func(f *file) { f.set("block_count", uint32(3)) }, "blk.2.attn_norm.weight is missing"},
		{"fewer layers", func(f *file) { f.set("block_count", uint32(1)) }, "blk.1"},
		{"zero heads", func(f *file) { f.set("attention.head_count", uint32(0)) }, "head_count"},
		{"heads as a list", func(f *file) { f.set("attention.head_count", []uint32{4, 4}) }, "head_count"},
		{"kv heads", func(f *file) { f.set("attention.head_count_kv", uint32(3)) }, "share"},
		{"kv heads as text", func(f *file) { f.set("attention.head_count_kv", "2") }, "head_count_kv"},
		{"width", func(f *file) { f.set("embedding_length", uint32(32)) }, "dimensions"},
		{"tiny width", func(f *file) { f.set("embedding_length", uint32(8)) }, "narrower"},
		{"head size", func(f *file) { f.set("attention.key_length", uint32(32)) }, "value heads"},
		{"huge pages", func(f *file) {
			f.set("block_count", uint32(1024))
			f.set("attention.key_length", uint32(4096))
			f.set("attention.value_length", uint32(4096))
		}, "1024 layers"},
		{"odd rotation", func(f *file) { f.set("rope.dimension_count", uint32(15)) }, "rotary"},
		{"wide rotation", func(f *file) { f.set("rope.dimension_count", uint32(32)) }, "rotary"},
		{"context", func(f *file) { f.set("context_length", uint32(1<<21)) }, "context_length"},
		{"vocabulary", func(f *file) { f.set("vocab_size", uint32(5)) }, "vocabulary"},
		{"no epsilon", func(f *file) { delete(f.kv, "llama.attention.layer_norm_rms_epsilon") }, "epsilon"},
		{"epsilon NaN", func(f *file) { f.set("attention.layer_norm_rms_epsilon", nan) }, "epsilon"},
		{"base 0", func(f *file) { f.set("rope.freq_base", float32(0)) }, "base"},
		{"base NaN", func(f *file) { f.set("rope.freq_base", nan) }, "base"},
		{"base infinite", func(f *file) { f.set("rope.freq_base", float32(math.Inf(1))) }, "base"},
		{"no embedding", func(f *file) { f.drop("token_embd.weight") }, "token_embd.weight is missing"},
		{"no tensor", func(f *file) { f.drop("blk.1.ffn_up.weight") }, "blk.1.ffn_up.weight is missing"},
		{"surplus tensor", func(f *file) { f.tensors = append(f.tensors, bias()) }, "attn_q.bias"},
		{"shape", func(f *file) { f.tensor("blk.0.ffn_down.weight").Dims = []int{64, 160} }, "ffn_down"},
		{"three dimensions", func(f *file) { f.tensor("blk.0.ffn_down.weight").Dims = []int{160, 64, 1} }, "ffn_down"},
		{"rope factor below 1", func(f *file) { putFloat(f.tensor("rope_freqs.weight"), 0.5) }, "factor"},
		{"weight NaN", func(f *file) { putFloat(f.tensor("blk.1.attn_v.weight"), nan) }, "attn_v"},
		{"weight infinite", func(f *file) { putFloat(f.tensor("token_embd.weight"), float32(math.Inf(-1))) }, "token_embd"},
		{"gain NaN", func(f *file) { putFloat(f.tensor("output_norm.weight"), nan) }, "output_norm"},
	} {
		f := pieces(t, synthetic.Options{Factors: true})
		if _, err := f.load(t); err != nil {
			t.Fatalf("before the change: %v", err)
		}
		c.change(f)
		if m, err := f.load(t); err == nil || m != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// TestLoadQuantizedNaN: a scale that is NaN hides in a block.
func TestLoadQuantizedNaN(t *testing.T) {
	for kind, at := range map[gguf.Type]int{gguf.F16: 0, gguf.BF16: 0, gguf.Q8_0: 0, gguf.Q4_0: 0, gguf.Q4_1: 2,
		gguf.Q4_K: 2, gguf.Q6_K: 208} {
		f := pieces(t, synthetic.Options{Type: kind, Width: 256, FFN: 256})
		data := f.tensor("blk.0.ffn_gate.weight").Data
		data[at], data[at+1] = 0xff, 0x7f
		if _, err := f.load(t); err == nil || !strings.Contains(err.Error(), "not finite") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestLoadAccepts settings that say what is true anyway.
func TestLoadAccepts(t *testing.T) {
	f := pieces(t, synthetic.Options{})
	f.set("rope.scaling.type", "none")
	f.set("rope.scaling.factor", float32(1))
	f.set("expert_count", uint32(0))
	delete(f.kv, "llama.attention.key_length")
	delete(f.kv, "llama.attention.value_length")
	delete(f.kv, "llama.rope.dimension_count")
	delete(f.kv, "llama.rope.freq_base")
	m, err := f.load(t)
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := load(t, 21, synthetic.Options{})
	tokens := prompt(m, 9)
	equal(t, "defaults", run(t, m.NewState(StateOptions{}), tokens), run(t, plain.NewState(StateOptions{}), tokens))
}

// TestOverflowIsRefused: finite weights whose products are not.
func TestOverflowIsRefused(t *testing.T) {
	for name, want := range map[string]string{"blk.1.ffn_down.weight": "layer 1", "output.weight": "logit"} {
		f := pieces(t, synthetic.Options{Untied: true})
		data := f.tensor(name)
		for i := 0; i < len(data.Data); i += 4 {
			putFloat(&gguf.TensorData{Data: data.Data[i:]}, math.MaxFloat32)
		}
		m, err := f.load(t)
		if err != nil {
			t.Fatal(err)
		}
		s := m.NewState(StateOptions{})
		err = s.Append(ctx, prompt(m, 5), 0, func(int, []float32) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "not finite") || s.Len() != 0 {
			t.Errorf("%s: error %v, length %d", name, err, s.Len())
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, c := range []struct { // small: the fuzzer is slow on long inputs
		architecture string
		o            synthetic.Options
	}{
		{"llama", synthetic.Options{Type: gguf.Q4_1, Width: 32, FFN: 32, Layers: 1, Factors: true}},
		{"llama", synthetic.Options{Type: gguf.F16, Width: 16, FFN: 16, Layers: 1, Heads: 2, Untied: true}},
		{"qwen2", synthetic.Options{Type: gguf.F16, Width: 16, FFN: 16, Layers: 1, Heads: 2}},
		{"qwen3", synthetic.Options{Type: gguf.Q8_0, Width: 32, FFN: 32, Layers: 1}},
	} {
		data, err := synthetic.Model(c.architecture, 22, c.o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := gguf.Parse(data)
		if err != nil {
			return
		}
		m, err := Load(file)
		if err != nil {
			return
		}
		s := m.NewState(StateOptions{Threads: 1})
		_ = s.Append(ctx, prompt(m, 1), 0, func(_ int, logits []float32) error {
			if len(logits) != m.Vocab() || !finite(logits) {
				t.Fatalf("%d logits for %d tokens, or one is not finite", len(logits), m.Vocab())
			}
			return nil
		})
	})
}

func bias() gguf.TensorData {
	return gguf.TensorData{Name: "blk.0.attn_q.bias", Dims: []int{64}, Type: gguf.F32, Data: make([]byte, 256)}
}

// putFloat changes the first number of an F32 tensor.
func putFloat(t *gguf.TensorData, x float32) {
	b := math.Float32bits(x)
	copy(t.Data, []byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
}

// TestWeightsStayPacked wherever a kernel widens rows as they are used; portable code widens a small model once.
func TestWeightsStayPacked(t *testing.T) {
	for kind, packed := range map[gguf.Type]bool{gguf.F32: false, gguf.Q4_1: len(available) > 1} {
		m, _ := load(t, 23, synthetic.Options{Type: kind, Untied: true})
		l := m.layers[0]
		for name, w := range map[string]*matrix{"embedding": m.embedding, "output": m.output, "qkv": l.qkv,
			"attentionOut": l.attentionOut, "gateUp": l.gateUp, "down": l.down} {
			if (w.wide == nil) != packed || (w.bands != nil) != packed {
				t.Errorf("%s of %s: packed %t, want %t", name, kind, w.wide == nil, packed)
			}
		}
	}
}
