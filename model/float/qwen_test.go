package float

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"daulat/model/gguf"
	"daulat/model/synthetic"
)

// TestLoadRefusesOfOtherFamilies: each family has its own tensors, all of them and no other's.
func TestLoadRefusesOfOtherFamilies(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		name, architecture string
		change             func(f *file)
		want               string
	}{
		{"no bias", "qwen2", func(f *file) { f.drop("blk.0.attn_k.bias") }, "attn_k.bias is missing"},
		{"short bias", "qwen2", func(f *file) {
			b := f.tensor("blk.1.attn_v.bias")
			b.Dims, b.Data = []int{16}, b.Data[:64]
		}, "attn_v.bias"},
		{"bias NaN", "qwen2", func(f *file) { putFloat(f.tensor("blk.1.attn_q.bias"), nan) }, "attn_q.bias"},
		{"bias of another projection", "qwen2", func(f *file) {
			f.tensors = append(f.tensors, gguf.TensorData{Name: "output.bias", Dims: []int{1}, Type: gguf.F32, Data: make([]byte, 4)})
		}, "output.bias"},
		{"no head norm", "qwen3", func(f *file) { f.drop("blk.1.attn_k_norm.weight") }, "attn_k_norm.weight is missing"},
		{"head norm of the width", "qwen3", func(f *file) { f.tensor("blk.0.attn_q_norm.weight").Dims = []int{8, 2} }, "attn_q_norm"},
		{"head norm infinite", "qwen3", func(f *file) { putFloat(f.tensor("blk.0.attn_q_norm.weight"), float32(math.Inf(1))) }, "attn_q_norm"},
		{"bias in qwen3", "qwen3", func(f *file) { f.tensors = append(f.tensors, bias()) }, "attn_q.bias"},
		{"tensors of qwen3", "qwen2", func(f *file) { f.kv["general.architecture"] = "qwen3" }, "qwen3."},
		{"scaling", "qwen2", func(f *file) { f.kv["qwen2.rope.scaling.type"] = "yarn" }, "scaling"},
		{"unknown setting", "qwen3", func(f *file) { f.kv["qwen3.attention.sliding_window"] = uint32(8) }, "sliding_window"},
		{"vocabulary", "qwen2", func(f *file) { f.kv["qwen2.vocab_size"] = uint32(5) }, "vocabulary"},
	} {
		_, parsed := loadOf(t, c.architecture, 21, synthetic.Options{})
		f := taken(parsed)
		if _, err := f.load(t); err != nil {
			t.Fatalf("before the change: %v", err)
		}
		c.change(f)
		if m, err := f.load(t); err == nil || m != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// TestQwenDefaults: a file as it is published states neither head size nor rotary dimensions.
func TestQwenDefaults(t *testing.T) {
	m, parsed := loadOf(t, "qwen2", 21, synthetic.Options{})
	f := taken(parsed)
	for _, name := range []string{"attention.key_length", "attention.value_length", "rope.dimension_count"} {
		delete(f.kv, "qwen2."+name)
	}
	same, err := f.load(t)
	if err != nil {
		t.Fatal(err)
	}
	tokens := prompt(m, 9)
	equal(t, "defaults", run(t, same.NewState(StateOptions{}), tokens), run(t, m.NewState(StateOptions{}), tokens))
}

// taken takes a file to pieces.
func taken(f *gguf.File) *file {
	out := &file{kv: map[string]any{}}
	for _, key := range f.Keys() {
		if s, ok := f.String(key); ok {
			out.kv[key] = s
		} else if n, ok := f.Uint(key); ok {
			out.kv[key] = n
		} else if x, ok := f.Float(key); ok {
			out.kv[key] = x
		}
	}
	for _, x := range f.Tensors() {
		out.tensors = append(out.tensors, gguf.TensorData{Name: x.Name, Dims: x.Dims, Type: x.Type, Data: bytes.Clone(x.Bytes())})
	}
	return out
}
