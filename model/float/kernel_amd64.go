//go:build !purego

package float

import "golang.org/x/sys/cpu"

// native lists the assembly kernels that this processor runs. They multiply and add in separate
// instructions and keep element i mod 16 in lane i mod 16, so their bits are those of the portable code.
func native() []kernel {
	var found []kernel
	if cpu.X86.HasAVX2 {
		found = append(found, kernel{name: "avx2", block: blockAVX2, strip: stripAVX2, weigh: weighAVX2,
			softmax: softmaxAVX2, gate: gateAVX2})
	}
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL {
		found = append(found, kernel{name: "avx512", block: blockAVX512, strip: stripAVX512, weigh: weighAVX512,
			softmax: softmaxAVX512, gate: gateAVX512})
	}
	return found
}

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
