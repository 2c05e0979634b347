package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"daulat/model/float"
	"daulat/model/gguf"
	"daulat/model/synthetic"
)

// formats are the types of tensors that the engine reads. llama.cpp rounds a
// matrix's input to a type that goes with the matrix's own; round is by how much
// at most, relative to the input's size: half a unit in the last place of F16
// and BF16; for blocks, whose steps are 1/127 of their largest number, half a
// step where the largest is so many times the usual: 2.5 among the 32 of a Q8_0
// block, 3.2 among the 256 of the K types'.
var formats = []struct {
	kind   gguf.Type
	round  float64
	widen  string // ggml's function for a row
	shapes []shape
}{
	{gguf.F32, 0, "", blocks32},
	{gguf.F16, 0x1p-11, "ggml_fp16_to_fp32_row", blocks32},
	{gguf.BF16, 0x1p-8, "ggml_bf16_to_fp32_row", blocks32},
	{gguf.Q8_0, 2.5 / 254, "dequantize_row_q8_0", blocks32},
	{gguf.Q4_0, 2.5 / 254, "dequantize_row_q4_0", blocks32},
	{gguf.Q4_1, 2.5 / 254, "dequantize_row_q4_1", blocks32},
	{gguf.Q4_K, 3.2 / 254, "dequantize_row_q4_K", blocks256},
	{gguf.Q6_K, 3.2 / 254, "dequantize_row_q6_K", blocks256},
}

// shape is a model without its numbers.
type shape struct {
	architecture string
	synthetic.Options
}

// blocks32 and blocks256 are models whose rows are so many numbers or a multiple:
// with grouped, single and as many key heads as queries, tied and untied outputs,
// heads wider than their share, rotary factors, and Q6_K for some tensors.
var (
	blocks32 = []shape{
		{"llama", synthetic.Options{}},
		{"llama", synthetic.Options{Layers: 3, KVHeads: 4, Untied: true, Factors: true}},
		{"llama", synthetic.Options{Layers: 4, Width: 96, Heads: 6, KVHeads: 1, HeadDim: 32, FFN: 224, Untied: true, Base: 500_000}},
		{"qwen2", synthetic.Options{}},
		{"qwen2", synthetic.Options{Layers: 3, Width: 96, Heads: 6, KVHeads: 1, FFN: 224, Untied: true, Base: 1_000_000}},
		{"qwen3", synthetic.Options{HeadDim: 32, Base: 1_000_000}},
		{"qwen3", synthetic.Options{Layers: 3, Width: 96, Heads: 6, KVHeads: 6, HeadDim: 48, FFN: 224, Untied: true}},
	}
	blocks256 = []shape{
		{"llama", synthetic.Options{Width: 256, FFN: 512}},
		{"llama", synthetic.Options{Layers: 3, Width: 256, Heads: 8, KVHeads: 8, FFN: 256, Untied: true, Factors: true, Mixed: true}},
		{"llama", synthetic.Options{Width: 256, Heads: 8, KVHeads: 1, HeadDim: 64, FFN: 768, Untied: true, Base: 500_000}},
		{"qwen2", synthetic.Options{Width: 256, Heads: 8, FFN: 512, Mixed: true, Base: 1_000_000}},
		{"qwen3", synthetic.Options{Layers: 3, Width: 256, Heads: 8, KVHeads: 2, HeadDim: 64, FFN: 256, Untied: true, Mixed: true, Base: 1_000_000}},
	}
)

// stages is how many matrices lie between a token and its logits.
func stages(layers int) float64 { return float64(4*layers + 1) }

// bound is by how much two engines may differ that compute the same model in
// float32, as a part of the distance between the highest and the lowest logit. A
// sum of n products, in whatever order, errs by at most n·2^-24 of the products'
// sizes, and each matrix on the way adds that. Usual errors are √n·2^-24: the
// rest is for what attention enlarges.
func bound(layers, n int) float64 { return stages(layers) * float64(n) * 0x1p-24 }

// gap is the largest difference of two rows of logits, in that unit.
func gap(a, b []float32) float64 {
	var most float64
	for i := range a {
		most = max(most, math.Abs(float64(a[i])-float64(b[i])))
	}
	return most / float64(slices.Max(a)-slices.Min(a))
}

// worst is the largest gap of any row.
func worst(a, b [][]float32) (most float64) {
	for i := range a {
		most = max(most, gap(a[i], b[i]))
	}
	return most
}

// native gives our engine's logits after each token from number from on.
func native(ctx context.Context, m *float.Model, tokens []uint32, from int) (rows [][]float32, err error) {
	err = m.NewState(float.StateOptions{}).Append(ctx, tokens, from, func(_ int, row []float32) error {
		rows = append(rows, slices.Clone(row))
		return nil
	})
	return rows, err
}

// foreign gives llama.cpp's for the file at path.
func (t *tools) foreign(ctx context.Context, path string, tokens []uint32, from int) (rows [][]float32, err error) {
	err = t.withLlama(ctx, path, exact, func(l *llama) error {
		return l.logits(tokens, from, func(_ int, row []float32) error {
			rows = append(rows, slices.Clone(row))
			return nil
		})
	})
	return rows, err
}

// random compares the logits of models with random weights, in each format and
// shape, with llama.cpp's: of the file itself, and of the same weights widened
// to float32, where llama.cpp rounds nothing but sums. It gives how many models
// of each architecture were compared.
func (t *tools) random(ctx context.Context) (models map[string]int, err error) {
	path := filepath.Join(t.temp, "random.gguf")
	models = map[string]int{}
	for _, f := range formats {
		var packed, widened, allowed float64
		for i, s := range f.shapes {
			s.Type = f.kind
			r, err := newRandomModel(ctx, path, uint64(i+1), s)
			if err != nil {
				return nil, err
			}
			p, w, limit, err := t.compare(ctx, r, f.round)
			if err != nil {
				return nil, fmt.Errorf("%s weights, shape %d, of %s: %w", f.kind, i, s.architecture, err)
			}
			packed, widened, allowed = max(packed, p), max(widened, w), max(allowed, limit)
			models[s.architecture]++
		}
		t.say(fmt.Sprintf("  %-4s logits of %d models differ by %.1e of their spread at most (%.1e allowed), widened to F32 by %.1e",
			f.kind, len(f.shapes), packed, allowed, widened))
	}
	return models, t.widening(ctx, path)
}

// randomModel is a file with random weights, and our logits of random tokens.
type randomModel struct {
	path         string
	architecture string
	file         *gguf.File
	layers       int
	longest      int // sum over columns or positions
	tokens       []uint32
	ours         [][]float32
}

func newRandomModel(ctx context.Context, path string, seed uint64, s shape) (*randomModel, error) {
	data, err := synthetic.Model(s.architecture, seed, s.Options)
	if err != nil {
		return nil, err
	}
	r := &randomModel{path: path, architecture: s.architecture}
	if r.file, err = gguf.Parse(data); err != nil {
		return nil, err
	}
	layers, _ := r.file.Uint(setting(r.file, "block_count"))
	r.layers = int(layers)
	embedding, _ := r.file.Tensor("token_embd.weight")
	random := rand.New(rand.NewPCG(seed, 1))
	for range 250 {
		r.tokens = append(r.tokens, random.Uint32N(uint32(embedding.Rows())))
	}
	r.longest = len(r.tokens)
	for _, tensor := range r.file.Tensors() {
		r.longest = max(r.longest, tensor.Dims[0])
	}
	m, err := float.Load(r.file)
	if err != nil {
		return nil, err
	}
	if r.ours, err = native(ctx, m, r.tokens, 0); err != nil {
		return nil, err
	}
	return r, os.WriteFile(r.path, data, 0o600)
}

// compare gives the gaps to llama.cpp with the file and with the widened file,
// and how large the first might have been: as large as the gap that comes of
// putting all of llama.cpp's rounding, which adds up in squares, on the input.
func (t *tools) compare(ctx context.Context, r *randomModel, round float64) (packed, widened, limit float64, err error) {
	strict := bound(r.layers, r.longest)
	wide := r.path + ".f32"
	if err := rewrite(r.file, wide, change{widen: true}); err != nil {
		return 0, 0, 0, err
	}
	theirs, err := t.foreign(ctx, wide, r.tokens, 0)
	if err != nil {
		return 0, 0, 0, err
	}
	if widened = worst(r.ours, theirs); !(widened <= strict) {
		return 0, 0, 0, fmt.Errorf("logits differ from llama.cpp's of the widened weights by %.1e of their spread, more than %.1e", widened, strict)
	}
	if err := r.noticed(ctx, theirs, strict); err != nil {
		return 0, 0, 0, err
	}
	if limit, err = r.shaken(ctx, float32(round*math.Sqrt(stages(r.layers)))); err != nil {
		return 0, 0, 0, err
	}
	limit = max(limit, strict)
	if theirs, err = t.foreign(ctx, r.path, r.tokens, 0); err != nil {
		return 0, 0, 0, err
	}
	if packed = worst(r.ours, theirs); !(packed <= limit) {
		return 0, 0, 0, fmt.Errorf("logits differ from llama.cpp's by %.1e of their spread, more than %.1e", packed, limit)
	}
	return packed, widened, limit, nil
}

// changed gives our logits of the model with a change.
func (r *randomModel) changed(ctx context.Context, c change) ([][]float32, error) {
	path := r.path + ".changed"
	if err := rewrite(r.file, path, c); err != nil {
		return nil, err
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := float.Load(f)
	if err != nil {
		return nil, err
	}
	return native(ctx, m, r.tokens, 0)
}

// shaken is the gap between our logits and those of a model whose every
// embedding is off by the relative amount off, up or down.
func (r *randomModel) shaken(ctx context.Context, off float32) (float64, error) {
	random := rand.New(rand.NewPCG(2, 3))
	rows, err := r.changed(ctx, change{alter: map[string]func(float32) float32{"token_embd.weight": func(x float32) float32 {
		return x * (1 + off*float32(2*random.IntN(2)-1))
	}}})
	if err != nil {
		return 0, err
	}
	return worst(r.ours, rows), nil
}

// noticed wants the comparison to fail for models that are slightly others.
func (r *randomModel) noticed(ctx context.Context, theirs [][]float32, limit float64) error {
	for name, c := range slips(r.architecture) {
		rows, err := r.changed(ctx, c)
		if err != nil {
			return err
		}
		if g := worst(rows, theirs); g <= limit {
			return fmt.Errorf("%s is not noticed: logits differ by %.1e of their spread", name, g)
		}
	}
	return nil
}

// slips are changes that an engine's mistakes in an architecture amount to.
func slips(architecture string) map[string]change {
	times := func(factor float32, tensor string) change {
		return change{alter: map[string]func(float32) float32{tensor: func(x float32) float32 { return x * factor }}}
	}
	all := map[string]change{
		"a RoPE base 1 % larger":   {base: 1.01},
		"another rotary pairing":   {pair: true},
		"values 1 % larger":        times(1.01, "blk.1.attn_v.weight"),
		"a norm's gain 1 % larger": times(1.01, "blk.0.ffn_norm.weight"),
	}
	switch architecture {
	case "qwen2":
		all["queries without bias"] = times(0, "blk.1.attn_q.bias")
		all["keys without bias"] = times(0, "blk.1.attn_k.bias")
		all["values without bias"] = times(0, "blk.1.attn_v.bias")
	case "qwen3":
		all["a query norm's gain 1 % larger"] = times(1.01, "blk.1.attn_q_norm.weight")
		all["a key norm's gain 1 % larger"] = times(1.01, "blk.1.attn_k_norm.weight")
	}
	return all
}

// widening wants our reading of random rows of each format to be ggml's, bit by
// bit. llama.cpp needs some model to run at all.
func (t *tools) widening(ctx context.Context, model string) error {
	return t.withLlama(ctx, model, fast, func(l *llama) error {
		for _, f := range formats[1:] {
			if err := l.sameRows(f.kind, f.widen); err != nil {
				return fmt.Errorf("%s: %w", f.kind, err)
			}
		}
		return nil
	})
}

const randomRows, rowLength = 64, 512

func (l *llama) sameRows(kind gguf.Type, function string) error {
	zeros, err := gguf.Quantize(kind, make([]float32, randomRows*rowLength))
	if err != nil {
		return err
	}
	stored := make([]byte, len(zeros))
	random := rand.NewChaCha8([32]byte{byte(kind)})
	_, _ = random.Read(stored)
	var file bytes.Buffer
	if err := gguf.Write(&file, nil, []gguf.TensorData{{Name: "random", Dims: []int{rowLength, randomRows}, Type: kind, Data: stored}}); err != nil {
		return err
	}
	f, err := gguf.Parse(file.Bytes())
	if err != nil {
		return err
	}
	tensor, _ := f.Tensor("random")
	ours, theirs := make([]float32, rowLength), make([]float32, rowLength*randomRows)
	if err := l.widen(function, stored, theirs); err != nil {
		return err
	}
	for i, x := range theirs {
		if i%rowLength == 0 {
			tensor.Dequantize(ours, i/rowLength)
		}
		y := ours[i%rowLength]
		if math.Float32bits(x) != math.Float32bits(y) && (x == x || y == y) {
			return fmt.Errorf("a stored number is %x here and %x in ggml", y, x)
		}
	}
	return nil
}
