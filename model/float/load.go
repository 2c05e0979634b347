package float

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync/atomic"

	"daulat/model/gguf"
)

// Load checks a llama file and widens its weights to float32; the file may be closed afterwards. It refuses
// a file with a missing, misshapen or surplus tensor, with a weight that is not finite, or with a setting
// that it would have to ignore. It needs memory for four bytes a weight.
func Load(f *gguf.File) (*Model, error) {
	s, err := readShape(f)
	if err != nil {
		return nil, fmt.Errorf("load llama: %w", err)
	}
	l := &loader{file: f, used: map[string]bool{}}
	m := l.model(s)
	if l.err == nil {
		l.surplus()
	}
	if l.err == nil {
		l.run()
	}
	if l.err != nil {
		return nil, fmt.Errorf("load llama: %w", l.err)
	}
	return m, nil
}

// loader checks every tensor before it allocates the first matrix. The first error sticks.
type loader struct {
	file  *gguf.File
	used  map[string]bool
	parts []part
	err   error
}

// part says which rows of a matrix come from a tensor.
type part struct {
	tensor *gguf.Tensor
	matrix *matrix
	at     int // the matrix row of the tensor's row 0
}

func (l *loader) fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf(format, args...)
	}
}

func (l *loader) model(s shape) *Model {
	embedding, ok := l.file.Tensor("token_embd.weight")
	if !ok {
		l.fail("the tensor token_embd.weight is missing")
		return nil
	}
	s.vocab = embedding.Rows()
	if n, stated := l.file.Uint("llama.vocab_size"); stated && n != uint64(s.vocab) {
		l.fail("the vocabulary has %d tokens and embeddings for %d", n, s.vocab)
	}
	m := &Model{shape: s}
	m.embedding = l.matrix(s.width, named{embedding.Name, s.vocab})
	m.output = m.embedding
	if _, ok := l.file.Tensor("output.weight"); ok {
		m.output = l.matrix(s.width, named{"output.weight", s.vocab})
	}
	m.norm = l.vector("output_norm.weight", s.width)
	m.frequency = l.frequency(s)
	for i := 0; i < s.layerCount && l.err == nil; i++ {
		m.layers = append(m.layers, l.layer(s, fmt.Sprintf("blk.%d.", i)))
	}
	return m
}

func (l *loader) layer(s shape, prefix string) layer {
	q, kv := s.heads*s.headDim, s.kvHeads*s.headDim
	return layer{
		attentionNorm: l.vector(prefix+"attn_norm.weight", s.width),
		qkv: l.matrix(s.width, named{prefix + "attn_q.weight", q},
			named{prefix + "attn_k.weight", kv}, named{prefix + "attn_v.weight", kv}),
		attentionOut: l.matrix(q, named{prefix + "attn_output.weight", s.width}),
		ffnNorm:      l.vector(prefix+"ffn_norm.weight", s.width),
		gateUp:       l.matrix(s.width, named{prefix + "ffn_gate.weight", s.ffn}, named{prefix + "ffn_up.weight", s.ffn}),
		down:         l.matrix(s.ffn, named{prefix + "ffn_down.weight", s.width}),
	}
}

// frequency is base^(−2i/d) for pair i of d rotary dimensions, divided by the file's factor if it has some.
func (l *loader) frequency(s shape) []float64 {
	out := make([]float64, s.ropeDims/2)
	for i := range out {
		out[i] = pow(float64(s.ropeBase), -float64(2*i)/float64(s.ropeDims))
	}
	if _, ok := l.file.Tensor("rope_freqs.weight"); !ok {
		return out
	}
	for i, factor := range l.vector("rope_freqs.weight", len(out)) {
		if !(factor >= 1) {
			l.fail("the rotary factor %g is below 1", factor)
		}
		out[i] /= float64(factor)
	}
	return out
}

type named struct {
	name string
	rows int
}

// tensor finds a tensor and checks its shape.
func (l *loader) tensor(name string, dims ...int) *gguf.Tensor {
	t, ok := l.file.Tensor(name)
	if !ok {
		l.fail("the tensor %s is missing", name)
		return nil
	}
	if !slices.Equal(t.Dims, dims) {
		l.fail("the tensor %s has dimensions %d instead of %d", name, t.Dims, dims)
		return nil
	}
	l.used[name] = true
	return t
}

// matrix plans a matrix of the rows of one or more tensors; run fills it.
func (l *loader) matrix(columns int, tensors ...named) *matrix {
	m := &matrix{columns: columns, stride: roundUp(columns, lanes)}
	for _, n := range tensors {
		l.parts = append(l.parts, part{l.tensor(n.name, columns, n.rows), m, m.rows})
		m.rows += n.rows
	}
	if int64(roundUp(m.rows, tile)) > math.MaxInt/4/int64(m.stride) {
		l.fail("the tensor %s is too large for this machine", tensors[0].name)
	}
	return m
}

func (l *loader) vector(name string, n int) []float32 {
	t := l.tensor(name, n)
	if t == nil {
		return nil
	}
	v := make([]float32, n)
	t.Dequantize(v, 0)
	if !finite(v) {
		l.fail("the tensor %s has a weight that is not finite", name)
	}
	return v
}

func (l *loader) surplus() {
	for _, t := range l.file.Tensors() {
		if !l.used[t.Name] {
			l.fail("the tensor %s is not supported", t.Name)
		}
	}
}

// run allocates and fills the matrices.
func (l *loader) run() {
	for _, p := range l.parts {
		if p.matrix.data == nil {
			p.matrix.data = make([]float32, roundUp(p.matrix.rows, tile)*p.matrix.stride)
		}
	}
	for _, p := range l.parts {
		var bad atomic.Bool
		m := p.matrix
		parallel(runtime.GOMAXPROCS(0), p.tensor.Rows(), 64, func(_, low, high int) {
			for r := low; r < high; r++ {
				row := m.data[(p.at+r)*m.stride:][:m.columns]
				p.tensor.Dequantize(row, r)
				if !finite(row) {
					bad.Store(true)
				}
			}
		})
		if bad.Load() {
			l.fail("the tensor %s has a weight that is not finite", p.tensor.Name)
			return
		}
	}
}
