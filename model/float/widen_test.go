package float

import (
	"math/rand/v2"
	"testing"

	"daulat/model/gguf"
)

// stored lists the types whose rows stay as the file has them, and the places of F16 numbers in a block.
var stored = []struct {
	kind   gguf.Type
	scales []int
}{
	{gguf.F16, []int{0}},
	{gguf.BF16, nil},
	{gguf.Q8_0, []int{0}},
	{gguf.Q4_0, []int{0}},
	{gguf.Q4_1, []int{0, 2}},
	{gguf.Q4_K, []int{0, 2}},
	{gguf.Q6_K, []int{208}},
}

// row makes a stored row of random bytes whose scales are finite; a quarter of them are subnormal.
func row(random *rand.Rand, kind gguf.Type, n int, scales []int) []byte {
	data := make([]byte, kind.RowSize(n))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	size := kind.RowSize(kind.Block())
	for at := 0; at < len(data); at += size {
		for _, s := range scales {
			high := &data[at+s+1]
			switch {
			case random.IntN(4) == 0:
				*high &^= 0x7c
			case *high&0x7c == 0x7c:
				*high ^= 0x40
			}
		}
	}
	return data
}

// TestWiden compares every kernel with package gguf, which has the specification's formulas.
func TestWiden(t *testing.T) {
	for _, k := range available {
		random := rand.New(rand.NewPCG(13, 14))
		for _, s := range stored {
			for n, block := s.kind.Block(), s.kind.Block(); n <= max(100, 3*block); n += block {
				data := row(random, s.kind, n, s.scales)
				want, got := make([]float32, n), make([]float32, n+lanes)
				s.kind.Dequantize(want, data)
				k.dequantise(s.kind, got[:n], data)
				for i, x := range got {
					if i < n && !sameBits(x, want[i]) || i >= n && x != 0 {
						t.Fatalf("%s, %d of %s: element %d is %x", k.name, n, s.kind, i, x)
					}
				}
			}
		}
	}
}

// TestWidenKernelsExist: no type may quietly fall back to portable code.
func TestWidenKernelsExist(t *testing.T) {
	for _, k := range available[1:] {
		for _, s := range stored {
			if k.widen[s.kind] == nil {
				t.Errorf("%s has no kernel for %s", k.name, s.kind)
			}
		}
	}
}

func BenchmarkWiden(b *testing.B) {
	const n = 1536
	for _, k := range available {
		for _, s := range stored {
			b.Run(k.name+"/"+s.kind.String(), func(b *testing.B) {
				data := row(rand.New(rand.NewPCG(1, 2)), s.kind, n, s.scales)
				dst := make([]float32, n)
				b.SetBytes(4 * n)
				for b.Loop() {
					k.dequantise(s.kind, dst, data)
				}
			})
		}
	}
}

// FuzzWiden takes blocks of any bytes, scales that are not finite included: those give a NaN or an infinity
// everywhere, which Load refuses.
func FuzzWiden(f *testing.F) {
	random := rand.New(rand.NewPCG(15, 16))
	for i, s := range stored {
		f.Add(i, row(random, s.kind, 3*max(s.kind.Block(), lanes), s.scales))
	}
	f.Fuzz(func(t *testing.T, i int, data []byte) {
		s := stored[uint(i)%uint(len(stored))]
		block := s.kind.Block()
		n := len(data) / s.kind.RowSize(block) * block
		data = data[:s.kind.RowSize(n)]
		want, got := make([]float32, n), make([]float32, n)
		s.kind.Dequantize(want, data)
		for _, k := range available[1:] {
			k.dequantise(s.kind, got, data)
			for j := range got {
				if !sameBits(got[j], want[j]) && (got[j] == got[j] || want[j] == want[j]) {
					t.Fatalf("%s, %s: element %d is %x, want %x", k.name, s.kind, j, got[j], want[j])
				}
			}
		}
	})
}
