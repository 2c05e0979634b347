//go:build !purego

package float

import (
	"golang.org/x/sys/cpu"

	"daulat/model/gguf"
)

// native lists the assembly kernels that this processor runs. They multiply and add in separate
// instructions and keep element i mod 16 in lane i mod 16, so their bits are those of the portable code.
func native() []kernel {
	var found []kernel
	if cpu.X86.HasAVX2 && hasF16C() {
		found = append(found, kernel{name: "avx2", block: blockAVX2, strip: stripAVX2, weigh: weighAVX2,
			softmax: softmaxAVX2, gate: gateAVX2, widen: widenAVX2})
	}
	if len(found) > 0 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL {
		found = append(found, kernel{name: "avx512", block: blockAVX512, strip: stripAVX512, weigh: weighAVX512,
			softmax: softmaxAVX512, gate: gateAVX512, widen: widenAVX512})
	}
	return found
}

var (
	widenAVX2 = widening{gguf.F16: widenF16AVX2, gguf.BF16: widenBF16AVX2,
		gguf.Q8_0: widenQ8_0AVX2, gguf.Q4_0: widenQ4_0AVX2, gguf.Q4_1: widenQ4_1AVX2,
		gguf.Q4_K: widenQ4_KAVX2, gguf.Q6_K: widenQ6_KAVX2}
	widenAVX512 = widening{gguf.F16: widenF16AVX2, gguf.BF16: widenBF16AVX2,
		gguf.Q8_0: widenQ8_0AVX512, gguf.Q4_0: widenQ4_0AVX512, gguf.Q4_1: widenQ4_1AVX512,
		gguf.Q4_K: widenQ4_KAVX512, gguf.Q6_K: widenQ6_KAVX512}
)

// levels are the numbers that 4 bits can be.
var levels = [16]float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// blockAVX2 is four strips: sixteen registers hold no larger tile, and the rows stay in the first cache.
func blockAVX2(dst []float32, ds int, w []float32, ws int, x []float32, xs, n int) {
	for c := range tile {
		stripAVX2(dst[c*ds:], w, ws, x[c*xs:], n)
	}
}

// The methods of kernel check what the assembly takes for granted: bounds, and lengths that are multiples of
// lanes.

//go:noescape
func stripAVX2(dst, w []float32, ws int, x []float32, n int)

//go:noescape
func weighAVX2(dst, p, v []float32)

//go:noescape
func softmaxAVX2(v []float32, scale float32)

//go:noescape
func gateAVX2(dst, g, u []float32)

//go:noescape
func softmaxAVX512(v []float32, scale float32)

//go:noescape
func gateAVX512(dst, g, u []float32)

//go:noescape
func blockAVX512(dst []float32, ds int, w []float32, ws int, x []float32, xs, n int)

//go:noescape
func stripAVX512(dst, w []float32, ws int, x []float32, n int)

//go:noescape
func weighAVX512(dst, p, v []float32)

// hasF16C reports whether the processor converts F16 numbers; whether the system saves the registers is
// asked with AVX2.
//
//go:noescape
func hasF16C() bool

//go:noescape
func widenF16AVX2(dst []float32, src []byte)

//go:noescape
func widenBF16AVX2(dst []float32, src []byte)

//go:noescape
func widenQ8_0AVX2(dst []float32, src []byte)

//go:noescape
func widenQ4_0AVX2(dst []float32, src []byte)

//go:noescape
func widenQ4_1AVX2(dst []float32, src []byte)

//go:noescape
func widenQ8_0AVX512(dst []float32, src []byte)

//go:noescape
func widenQ4_0AVX512(dst []float32, src []byte)

//go:noescape
func widenQ4_1AVX512(dst []float32, src []byte)

//go:noescape
func widenQ4_KAVX2(dst []float32, src []byte)

//go:noescape
func widenQ6_KAVX2(dst []float32, src []byte)

//go:noescape
func widenQ4_KAVX512(dst []float32, src []byte)

//go:noescape
func widenQ6_KAVX512(dst []float32, src []byte)
