//go:build !purego

package float

import "daulat/model/gguf"

// native lists the assembly kernel; every arm64 processor that Go runs on has NEON. The rules are those of
// amd64: products are rounded before they are added, and element i mod 16 stays in lane i mod 16, here of
// four registers with four lanes each.
func native() []kernel {
	return []kernel{{name: "neon", block: blockNEON, strip: stripNEON, weigh: weighNEON,
		softmax: softmaxNEON, gate: gateNEON, widen: widenNEON}}
}

var widenNEON = widening{gguf.F16: widenF16NEON, gguf.BF16: widenBF16NEON,
	gguf.Q8_0: widenQ8_0NEON, gguf.Q4_0: widenQ4_0NEON, gguf.Q4_1: widenQ4_1NEON,
	gguf.Q4_K: widenQ4_KNEON, gguf.Q6_K: widenQ6_KNEON}

// blockNEON is four strips: a strip's sums fill half of the 32 registers, and the rows stay in the first cache.
func blockNEON(dst []float32, ds int, w []float32, ws int, x []float32, xs, n int) {
	for c := range tile {
		stripNEON(dst[c*ds:], w, ws, x[c*xs:], n)
	}
}

// The methods of kernel check what the assembly takes for granted: bounds, and lengths that are multiples of
// lanes.

//go:noescape
func stripNEON(dst, w []float32, ws int, x []float32, n int)

//go:noescape
func weighNEON(dst, p, v []float32)

//go:noescape
func softmaxNEON(v []float32, scale float32)

//go:noescape
func gateNEON(dst, g, u []float32)

//go:noescape
func widenF16NEON(dst []float32, src []byte)

//go:noescape
func widenBF16NEON(dst []float32, src []byte)

//go:noescape
func widenQ8_0NEON(dst []float32, src []byte)

//go:noescape
func widenQ4_0NEON(dst []float32, src []byte)

//go:noescape
func widenQ4_1NEON(dst []float32, src []byte)

//go:noescape
func widenQ4_KNEON(dst []float32, src []byte)

//go:noescape
func widenQ6_KNEON(dst []float32, src []byte)
