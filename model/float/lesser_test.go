package float

import (
	"slices"
	"strings"
	"testing"

	"daulat/model/gguf"
	"daulat/model/synthetic"
)

// The derived models compute what files of that kind do, and leave the model as it is.
func TestLesserModels(t *testing.T) {
	o := synthetic.Options{Layers: 3, Untied: true}
	m, _ := load(t, 21, o)
	tokens := prompt(m, 20)
	whole := run(t, m.NewState(StateOptions{}), tokens)
	rough, err := m.FourBit()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		lesser *Model
		change func(f *file)
	}{
		"half the layers": {m.Shallow(), func(f *file) {
			f.set("block_count", uint32(2))
			f.tensors = slices.DeleteFunc(f.tensors, func(d gguf.TensorData) bool { return strings.HasPrefix(d.Name, "blk.2.") })
		}},
		"4-bit": {rough, func(f *file) {
			for i, d := range f.tensors {
				if len(d.Dims) < 2 || !strings.HasPrefix(d.Name, "blk.") {
					continue
				}
				values := make([]float32, d.Dims[0]*d.Dims[1])
				gguf.F32.Dequantize(values, d.Data)
				packed, err := gguf.Quantize(gguf.Q4_0, values)
				if err != nil {
					t.Fatal(err)
				}
				f.tensors[i].Type, f.tensors[i].Data = gguf.Q4_0, packed
			}
		}},
	} {
		f := pieces(t, o)
		c.change(f)
		same, err := f.load(t)
		if err != nil {
			t.Fatal(name, err)
		}
		got := run(t, c.lesser.NewState(StateOptions{}), tokens)
		if want := run(t, same.NewState(StateOptions{}), tokens); !slices.EqualFunc(got, want, slices.Equal[[]float32]) {
			t.Errorf("%s: a file of that kind gives other logits", name)
		}
		if slices.Equal(got[19], whole[19]) {
			t.Errorf("%s: nothing changed", name)
		}
	}
	if again := run(t, m.NewState(StateOptions{}), tokens); !slices.EqualFunc(again, whole, slices.Equal[[]float32]) {
		t.Error("the model itself changed")
	}
	wide, _ := load(t, 4, synthetic.Options{Width: 48, Heads: 3, KVHeads: 3, FFN: 48})
	if four, err := wide.FourBit(); err != nil || four.layers[0].qkv != wide.layers[0].qkv {
		t.Errorf("rows that Q4_0 cannot hold: %v", err)
	}
}
