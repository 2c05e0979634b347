package float

import "daulat/model/gguf"

// lanes is the number of partial sums of a dot product. Every row that enters one is padded with +0 to a
// multiple of it; +0 products leave a lane's bits alone, for a lane begins at +0 and so is never −0.
const lanes = 16

// tile is the number of rows, and of columns, that a kernel computes together.
const tile = 4

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// kernel is one implementation of the inner loops. All give the same bits; portable is the reference.
type kernel struct {
	name string
	// block computes tile×tile dot products of n elements, n a multiple of lanes:
	// dst[c·ds + r] = w[r·ws:] · x[c·xs:].
	block func(dst []float32, ds int, w []float32, ws int, x []float32, xs, n int)
	// strip computes one column of that: dst[r] = w[r·ws:] · x.
	strip func(dst []float32, w []float32, ws int, x []float32, n int)
	// weigh adds rows of values in order: dst[d] += p[t]·v[t·len(dst) + d], t ascending.
	// len(dst) is a multiple of lanes.
	weigh func(dst, p, v []float32)
	// softmax scales scores and turns them into weights that sum to about 1. len(v) is a multiple of lanes,
	// with minusInfinity where there is no score.
	softmax func(v []float32, scale float32)
	// gate is dst = silu(g) · u, element by element. len(dst) is a multiple of lanes.
	gate func(dst, g, u []float32)
	// widen, by type, turns a stored row into float32; len(dst) is a multiple of lanes and of a block. Where
	// it has nothing, package gguf does it.
	widen widening
}

type widening [gguf.BF16 + 1]func(dst []float32, src []byte)

var portable = kernel{name: "portable", block: blockPortable, strip: stripPortable, weigh: weighPortable,
	softmax: softmaxPortable, gate: gatePortable}

// available lists what this machine can run, best last.
var available = append([]kernel{portable}, native()...)

func best() kernel { return available[len(available)-1] }

// dots computes all products of rows of w with columns of x: dst[c·ds + r] for r < rows and c < cols.
// rows is a multiple of tile, n one of lanes.
func (k *kernel) dots(dst []float32, ds int, w []float32, ws, rows int, x []float32, xs, cols, n int) {
	// The assembly trusts these bounds.
	_ = w[(rows-1)*ws+n-1]
	_ = x[(cols-1)*xs+n-1]
	_ = dst[(cols-1)*ds+rows-1]
	if rows%tile != 0 || n%lanes != 0 || ws < n || xs < n && cols > 1 {
		panic("float: a kernel was called with a shape it cannot do")
	}
	for r := 0; r < rows; r += tile {
		c := 0
		for ; c+tile <= cols; c += tile {
			k.block(dst[c*ds+r:], ds, w[r*ws:], ws, x[c*xs:], xs, n)
		}
		for ; c < cols; c++ {
			k.strip(dst[c*ds+r:], w[r*ws:], ws, x[c*xs:], n)
		}
	}
}

// dequantise is widen for any length that the type has, with its bounds checked.
func (k *kernel) dequantise(t gguf.Type, dst []float32, src []byte) {
	if len(dst)&(t.Block()-1) != 0 || len(src) != t.RowSize(len(dst)) {
		panic("float: a kernel was called with a shape it cannot do")
	}
	f, whole := k.widen[t], len(dst)&^(lanes-1)
	switch {
	case f == nil || whole == 0:
		t.Dequantize(dst, src)
	case whole == len(dst):
		f(dst, src)
	default:
		size := t.RowSize(whole)
		f(dst[:whole], src[:size])
		t.Dequantize(dst[whole:], src[size:])
	}
}

// accumulate is weigh with its bounds checked.
func (k *kernel) accumulate(dst, p, v []float32) {
	if len(p) == 0 {
		return
	}
	if len(dst)%lanes != 0 || len(v) < len(p)*len(dst) {
		panic("float: a kernel was called with a shape it cannot do")
	}
	k.weigh(dst, p, v)
}

// weights is softmax with its bound checked.
func (k *kernel) weights(v []float32, scale float32) {
	if len(v) == 0 || len(v)%lanes != 0 {
		panic("float: a kernel was called with a shape it cannot do")
	}
	k.softmax(v, scale)
}

// activate is gate for any length.
func (k *kernel) activate(dst, g, u []float32) {
	g, u = g[:len(dst)], u[:len(dst)]
	whole := len(dst) / lanes * lanes
	if whole > 0 {
		k.gate(dst[:whole], g, u)
	}
	gatePortable(dst[whole:], g[whole:], u[whole:])
}

func blockPortable(dst []float32, ds int, w []float32, ws int, x []float32, xs, n int) {
	for c := range tile {
		stripPortable(dst[c*ds:], w, ws, x[c*xs:], n)
	}
}

func stripPortable(dst []float32, w []float32, ws int, x []float32, n int) {
	for r := range tile {
		dst[r] = dot(w[r*ws:][:n], x[:n])
	}
}

func weighPortable(dst, p, v []float32) {
	for t, p := range p {
		row := v[t*len(dst):][:len(dst)]
		for d, x := range row {
			dst[d] += float32(p * x)
		}
	}
}

func softmaxPortable(v []float32, scale float32) {
	top := minusInfinity
	for i, x := range v {
		v[i] = float32(x * scale)
		if v[i] > top {
			top = v[i]
		}
	}
	for i, x := range v {
		v[i] = expf(x - top)
	}
	total := sum(v)
	for i := range v {
		v[i] /= total
	}
}

func gatePortable(dst, g, u []float32) {
	for i := range dst {
		dst[i] = float32(silu(g[i]) * u[i])
	}
}

// dot is the normative dot product: element i goes to sum i mod 16, i ascending, then a fixed tree joins
// the sums. len(a) is a multiple of lanes, and b is as long. Two passes of eight sums each keep the sums in
// registers.
func dot(a, b []float32) float32 {
	var s [lanes]float32
	s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7] = eightSums(a, b)
	if len(a) > 8 {
		s[8], s[9], s[10], s[11], s[12], s[13], s[14], s[15] = eightSums(a[8:], b[8:])
	}
	return join(&s)
}

// eightSums adds the products at 0–7, 16–23, 32–39 and so on.
func eightSums(a, b []float32) (s0, s1, s2, s3, s4, s5, s6, s7 float32) {
	for len(a) >= 8 && len(b) >= 8 {
		x, y := (*[8]float32)(a), (*[8]float32)(b)
		s0 += float32(x[0] * y[0])
		s1 += float32(x[1] * y[1])
		s2 += float32(x[2] * y[2])
		s3 += float32(x[3] * y[3])
		s4 += float32(x[4] * y[4])
		s5 += float32(x[5] * y[5])
		s6 += float32(x[6] * y[6])
		s7 += float32(x[7] * y[7])
		if len(a) < lanes || len(b) < lanes {
			break
		}
		a, b = a[lanes:], b[lanes:]
	}
	return
}

// join adds sixteen sums pairwise: k with k+8, then k+4, k+2, k+1.
func join(s *[lanes]float32) float32 {
	for half := lanes / 2; half > 0; half /= 2 {
		for k := range half {
			s[k] += s[k+half]
		}
	}
	return s[0]
}

// sum adds numbers as dot adds products. len(v) is a multiple of lanes.
func sum(v []float32) float32 {
	var s [lanes]float32
	for ; len(v) >= lanes; v = v[lanes:] {
		for i, x := range (*[lanes]float32)(v) {
			s[i] += x
		}
	}
	return join(&s)
}
