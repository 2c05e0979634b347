package float

import (
	"runtime"
	"sync/atomic"

	"daulat/model/gguf"
)

// matrix is row-major. Its rows stay as the file stores them and are widened to float32, which is exact, when
// they are used; a matrix that is F32 throughout is kept as it is used, in wide.
type matrix struct {
	rows, columns int
	stride        int // elements of a widened row: columns, padded with zeros to a multiple of lanes
	bands         []band
	wide          []float32 // rows padded with zero rows to a multiple of tile; nil if bands hold the rows
}

// band is the rows that come from one tensor.
type band struct {
	kind  gguf.Type
	first int // row of the matrix
	size  int // bytes of a row
	data  []byte
}

// row writes row r, widened and padded, to dst, which has stride elements. A row past the last is zero.
func (m *matrix) row(k *kernel, dst []float32, r int) {
	if m.wide != nil {
		copy(dst, m.wide[r*m.stride:][:m.stride])
		return
	}
	if r >= m.rows {
		clear(dst)
		return
	}
	b := &m.bands[0]
	for i := 1; i < len(m.bands) && r >= m.bands[i].first; i++ {
		b = &m.bands[i]
	}
	k.dequantise(b.kind, dst[:m.columns], b.data[(r-b.first)*b.size:][:b.size])
	clear(dst[m.columns:])
}

// dots multiplies rows low to high with columns of x, as kernel.dots does; low and high are multiples of tile.
// A tile of rows is widened once for all columns: scratch holds it, tile·stride elements, and it stays in the
// first cache.
func (m *matrix) dots(k *kernel, dst []float32, ds, low, high int, x []float32, n int, scratch []float32) {
	if m.wide != nil {
		k.dots(dst[low:], ds, m.wide[low*m.stride:], m.stride, high-low, x, m.stride, n, m.stride)
		return
	}
	for ; low < high; low += tile {
		for r := range tile {
			m.row(k, scratch[r*m.stride:][:m.stride], low+r)
		}
		k.dots(dst[low:], ds, scratch, m.stride, tile, x, m.stride, n, m.stride)
	}
}

// finite reports whether rows low to high hold neither NaN nor infinity.
func (m *matrix) finite(low, high int) bool {
	k := best()
	var bad atomic.Bool
	c := hire(runtime.GOMAXPROCS(0))
	defer c.dismiss()
	c.run(high-low, 64, func(_, from, to int) {
		row := make([]float32, m.stride)
		for r := from; r < to; r++ {
			if m.row(&k, row, low+r); !finite(row) {
				bad.Store(true)
			}
		}
	})
	return !bad.Load()
}
