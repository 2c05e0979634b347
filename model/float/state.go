package float

import (
	"context"
	"fmt"
	"math"
	"runtime"
)

// StateOptions say how a State computes. They change its speed and memory, never a bit of its results.
type StateOptions struct {
	Threads int // 0: as many as GOMAXPROCS
	Block   int // positions computed together; 0: 64
}

const (
	defaultBlock = 64
	maxThreads   = 256
	maxBlock     = 1024

	pagePositions = 256 // a multiple of tile
	logitRows     = 16  // logits of this many positions are computed together
)

// State is one sequence: the keys and values of its tokens. Its memory grows in pages up to the context. It
// is used by one goroutine at a time and owns none between calls.
type State struct {
	model   *Model
	kernel  kernel
	threads int
	block   int
	crew    *crew // of the call of Append that runs
	length  int
	pages   []page
	buffers buffers
}

// page holds keys and values of pagePositions positions: [layer][kv head][position][head dimension, padded].
type page struct{ keys, values []float32 }

// NewState starts an empty sequence.
func (m *Model) NewState(o StateOptions) *State {
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if o.Block <= 0 {
		o.Block = defaultBlock
	}
	return &State{model: m, kernel: best(), threads: min(o.Threads, maxThreads), block: min(o.Block, maxBlock)}
}

// Len is the number of positions held.
func (s *State) Len() int { return s.length }

// Truncate forgets the positions from n on. It panics if n is negative; n ≥ Len changes nothing.
func (s *State) Truncate(n int) {
	if n < 0 {
		panic("float: truncate to a negative length")
	}
	s.length = min(s.length, n)
}

// Append feeds tokens at positions Len() and on. It calls visit, in order, with the logits after token i for
// every i ≥ from; logits is reused between calls. It stops with visit's error, with ctx's, which it checks
// between blocks and layers, or when a number stops being finite; on any error the sequence is as before
// the call.
func (s *State) Append(ctx context.Context, tokens []uint32, from int, visit func(i int, logits []float32) error) error {
	if len(tokens) > s.model.context-s.length {
		return fmt.Errorf("append %d tokens after %d: the context holds %d", len(tokens), s.length, s.model.context)
	}
	for i, t := range tokens {
		if uint64(t) >= uint64(s.model.vocab) {
			return fmt.Errorf("append: token %d at %d is outside the vocabulary of %d", t, i, s.model.vocab)
		}
	}
	s.crew = hire(s.threads)
	defer s.crew.dismiss()
	before := s.length
	for i := 0; i < len(tokens); i += s.block {
		n := min(s.block, len(tokens)-i)
		err := s.appendBlock(ctx, tokens[i:i+n], max(from-i, 0), func(j int, logits []float32) error { return visit(i+j, logits) })
		if err != nil {
			s.length = before
			return err
		}
	}
	return nil
}

func (s *State) appendBlock(ctx context.Context, tokens []uint32, from int, visit func(int, []float32) error) error {
	s.grow(s.length + len(tokens))
	s.buffers.fit(s, len(tokens))
	s.embed(tokens)
	for l := range s.model.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.layer(l, len(tokens)) {
			return fmt.Errorf("layer %d gives a number that is not finite, at position %d or later", l, s.length)
		}
	}
	start := s.length
	s.length += len(tokens)
	for i := from; i < len(tokens); i += logitRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.visit(i, min(logitRows, len(tokens)-i), start, visit); err != nil {
			return err
		}
	}
	return nil
}

// grow makes pages for n positions.
func (s *State) grow(n int) {
	m := s.model
	for len(s.pages)*pagePositions < n {
		size := m.layerCount * m.kvHeads * pagePositions * s.headStride()
		s.pages = append(s.pages, page{make([]float32, size), make([]float32, size)})
	}
}

func (s *State) headStride() int { return roundUp(s.model.headDim, lanes) }

// pageOffset is where a kv head of a layer begins in a page.
func (s *State) pageOffset(layer, head int) int {
	return (layer*s.model.kvHeads + head) * pagePositions * s.headStride()
}

// buffers hold one block's activations, a row a position. Rows are padded with zeros like those of a matrix.
type buffers struct {
	positions int
	residual  []float32 // width
	normed    []float32 // width
	qkv       []float32
	attention []float32 // heads × head dimension
	projected []float32 // width
	gateUp    []float32
	hidden    []float32 // ffn
	turns     []float32 // cosine and sine of each rotary pair
	logits    []float32
	tasks     []taskBuffers // one a thread
}

// taskBuffers are one thread's: a tile of a matrix, and for attention tile rows of queries, scores over
// positions, and weighted values.
type taskBuffers struct{ tile, queries, scores, out []float32 }

func (b *buffers) fit(s *State, positions int) {
	m := s.model
	if b.positions < positions {
		row := func(n int) []float32 { return make([]float32, positions*roundUp(n, lanes)) }
		b.positions = positions
		b.residual, b.normed, b.projected = row(m.width), row(m.width), row(m.width)
		b.qkv = row((m.heads + 2*m.kvHeads) * m.headDim)
		b.attention = row(m.heads * m.headDim)
		b.gateUp, b.hidden = row(2*m.ffn), row(m.ffn)
		b.turns = make([]float32, positions*m.ropeDims)
	}
	if b.tasks == nil {
		b.tasks = make([]taskBuffers, s.threads)
		widest := roundUp(max(m.width, m.ffn, m.heads*m.headDim), lanes)
		for i := range b.tasks {
			b.tasks[i].tile = make([]float32, tile*widest)
			b.tasks[i].queries = make([]float32, tile*s.headStride())
			b.tasks[i].out = make([]float32, s.headStride())
		}
	}
	for i := range b.tasks {
		t := &b.tasks[i]
		if scores := tile * len(s.pages) * pagePositions; len(t.scores) < scores {
			t.scores = make([]float32, scores)
		}
	}
}

// squareRoot is the float32 nearest to √x.
func squareRoot(x float32) float32 { return float32(math.Sqrt(float64(x))) }
