package float

import (
	"math"
	"sync/atomic"
)

// embed starts a block: the residual stream is the embedding of its tokens.
func (s *State) embed(tokens []uint32) {
	m, b := s.model, &s.buffers
	stride := m.embedding.stride
	for p, t := range tokens {
		m.embedding.row(&s.kernel, b.residual[p*stride:][:stride], int(t))
		for i, f := range m.frequency {
			sin, cos := sincos(float64(float64(s.length+p) * f))
			b.turns[p*m.ropeDims+2*i], b.turns[p*m.ropeDims+2*i+1] = float32(cos), float32(sin)
		}
	}
}

// layer computes one layer for the block's n positions. It reports whether the residual stream is finite.
func (s *State) layer(l, n int) bool {
	m, b := s.model, &s.buffers
	w := &m.layers[l]
	s.normalise(w.attentionNorm, b.residual, b.normed, n)
	s.multiply(b.qkv, w.qkv, b.normed, n)
	s.store(l, n)
	s.attend(l, n)
	s.multiply(b.projected, w.attentionOut, b.attention, n)
	s.add(n) // what is not finite stays so until the next time
	s.normalise(w.ffnNorm, b.residual, b.normed, n)
	s.multiply(b.gateUp, w.gateUp, b.normed, n)
	s.activate(n)
	s.multiply(b.projected, w.down, b.hidden, n)
	return s.add(n)
}

// normalise is the RMS norm of n rows: y = (x · 1/√(mean x² + ε)) · gain.
func (s *State) normalise(gain, x, y []float32, n int) {
	stride := roundUp(len(gain), lanes)
	s.crew.run(n, tile, func(_, low, high int) {
		for p := low; p < high; p++ {
			in, out := x[p*stride:][:stride], y[p*stride:][:stride]
			s.scaleBy(gain, in, out, dot(in, in))
		}
	})
}

// scaleBy finishes the norm of a row whose sum of squares is known.
func (s *State) scaleBy(gain, in, out []float32, squares float32) {
	mean := squares / float32(len(gain))
	scale := float32(1 / math.Sqrt(float64(mean+s.model.epsilon)))
	for i, g := range gain {
		out[i] = float32(float32(in[i]*scale) * g)
	}
}

// normaliseHead is the norm of one head, in place. Heads need not be padded.
func (s *State) normaliseHead(gain, head []float32) {
	var sums [lanes]float32
	for i, x := range head {
		sums[i%lanes] += float32(x * x)
	}
	s.scaleBy(gain, head, head, join(&sums))
}

// multiply computes n rows of w·x; rows of x are as long as w's, rows of dst as w has rows, rounded up.
func (s *State) multiply(dst []float32, w *matrix, x []float32, n int) {
	rows := roundUp(w.rows, tile)
	ds := roundUp(w.rows, lanes)
	grain := roundUp(rows/(4*s.threads)+1, tile)
	s.crew.run(rows, grain, func(worker, low, high int) {
		w.dots(&s.kernel, dst, ds, low, high, x, n, s.buffers.tasks[worker].tile)
	})
}

// store adds the bias, normalises the heads, turns queries and keys by their positions and puts keys and
// values into the pages.
func (s *State) store(l, n int) {
	m, b := s.model, &s.buffers
	w := &m.layers[l]
	dim, stride := m.headDim, roundUp((m.heads+2*m.kvHeads)*m.headDim, lanes)
	s.crew.run(n, tile, func(_, low, high int) {
		for p := low; p < high; p++ {
			row, turns := b.qkv[p*stride:][:stride], b.turns[p*m.ropeDims:][:m.ropeDims]
			for i, x := range w.qkvBias {
				row[i] += x
			}
			for h := range m.heads + m.kvHeads {
				head := row[h*dim:][:dim]
				if m.headNorms && h < m.heads {
					s.normaliseHead(w.queryNorm, head)
				} else if m.headNorms {
					s.normaliseHead(w.keyNorm, head)
				}
				m.rotate(head, turns)
			}
			page, place := s.pages[(s.length+p)/pagePositions], (s.length+p)%pagePositions*s.headStride()
			for h := range m.kvHeads {
				at := s.pageOffset(l, h) + place
				copy(page.keys[at:][:dim], row[(m.heads+h)*dim:])
				copy(page.values[at:][:dim], row[(m.heads+m.kvHeads+h)*dim:])
			}
		}
	})
}

// rotate turns the pairs of a head; dimensions beyond the turns stay.
func (m *Model) rotate(head, turns []float32) {
	if m.halves {
		for i := range len(turns) / 2 {
			turn(&head[i], &head[i+len(turns)/2], turns[2*i], turns[2*i+1])
		}
		return
	}
	for i := 0; i+1 < len(turns); i += 2 {
		turn(&head[i], &head[i+1], turns[i], turns[i+1])
	}
}

func turn(a, b *float32, cos, sin float32) {
	*a, *b = float32(*a*cos)-float32(*b*sin), float32(*a*sin)+float32(*b*cos)
}

// attend lets every head of the block's positions look at all positions up to its own. A task is one head
// at tile neighbouring positions.
func (s *State) attend(l, n int) {
	groups := (n + tile - 1) / tile
	s.crew.run(s.model.heads*groups, 1, func(worker, low, high int) {
		for i := low; i < high; i++ {
			first := i % groups * tile
			s.attendHead(&s.buffers.tasks[worker], l, i/groups, first, min(tile, n-first))
		}
	})
}

func (s *State) attendHead(t *taskBuffers, l, head, first, n int) {
	m, b := s.model, &s.buffers
	dim, width := m.headDim, s.headStride()
	qkvStride := roundUp((m.heads+2*m.kvHeads)*dim, lanes)
	for c := range n {
		copy(t.queries[c*width:][:dim], b.qkv[(first+c)*qkvStride+head*dim:])
	}
	at := s.pageOffset(l, head/(m.heads/m.kvHeads))
	end := s.length + first + n // the last of the positions sees this many
	scoreStride := len(t.scores) / tile
	for k := 0; k*pagePositions < end; k++ {
		seen := min(end-k*pagePositions, pagePositions)
		s.kernel.dots(t.scores[k*pagePositions:], scoreStride, s.pages[k].keys[at:], width, roundUp(seen, tile),
			t.queries, width, n, width)
	}
	scale := 1 / squareRoot(float32(dim))
	for c := range n {
		seen := end - n + c + 1
		weights := t.scores[c*scoreStride:][:roundUp(seen, lanes)]
		for i := seen; i < len(weights); i++ {
			weights[i] = minusInfinity
		}
		s.kernel.weights(weights, scale)
		clear(t.out)
		for k := 0; k*pagePositions < seen; k++ {
			s.kernel.accumulate(t.out, weights[k*pagePositions:min(seen, (k+1)*pagePositions)], s.pages[k].values[at:])
		}
		copy(b.attention[(first+c)*roundUp(m.heads*dim, lanes)+head*dim:][:dim], t.out)
	}
}

// activate is the gated unit: silu(gate) · up.
func (s *State) activate(n int) {
	m, b := s.model, &s.buffers
	in, out := roundUp(2*m.ffn, lanes), roundUp(m.ffn, lanes)
	s.crew.run(n, tile, func(_, low, high int) {
		for p := low; p < high; p++ {
			gate, up := b.gateUp[p*in:][:m.ffn], b.gateUp[p*in+m.ffn:][:m.ffn]
			s.kernel.activate(b.hidden[p*out:][:m.ffn], gate, up)
		}
	})
}

// add adds the projection to the residual stream and reports whether it is finite.
func (s *State) add(n int) bool {
	m, b := s.model, &s.buffers
	stride := roundUp(m.width, lanes)
	var bad atomic.Bool
	s.crew.run(n, tile, func(_, low, high int) {
		for p := low; p < high; p++ {
			x, y := b.residual[p*stride:][:m.width], b.projected[p*stride:][:m.width]
			for i := range x {
				x[i] += y[i]
			}
			if !finite(x) {
				bad.Store(true)
			}
		}
	})
	return !bad.Load()
}
