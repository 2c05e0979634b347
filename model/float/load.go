package float

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"daulat/model/gguf"
)

// Load checks a file and copies its weights as they are stored; the file may be closed afterwards. It
// refuses a file with a missing, misshapen or surplus tensor, with a weight that is not finite, or with a
// setting that it would have to ignore. It needs as much memory as the file has bytes; without
// assembly for the processor, four bytes a weight for models up to a gigabyte of these.
func Load(f *gguf.File) (*Model, error) {
	s, err := readShape(f)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
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
		return nil, fmt.Errorf("load model: %w", l.err)
	}
	return m, nil
}

// loader checks every tensor before it allocates the first matrix. The first error sticks.
type loader struct {
	file  *gguf.File
	used  map[string]bool
	plans []plan
	err   error
}

// plan says which tensors' rows a matrix has, one after the other.
type plan struct {
	matrix  *matrix
	tensors []*gguf.Tensor
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
	arch, _ := l.file.String("general.architecture")
	if n, stated := l.file.Uint(arch + ".vocab_size"); stated && n != uint64(s.vocab) {
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
	w := layer{
		attentionNorm: l.vector(prefix+"attn_norm.weight", s.width),
		qkv: l.matrix(s.width, named{prefix + "attn_q.weight", q},
			named{prefix + "attn_k.weight", kv}, named{prefix + "attn_v.weight", kv}),
		attentionOut: l.matrix(q, named{prefix + "attn_output.weight", s.width}),
		ffnNorm:      l.vector(prefix+"ffn_norm.weight", s.width),
		gateUp:       l.matrix(s.width, named{prefix + "ffn_gate.weight", s.ffn}, named{prefix + "ffn_up.weight", s.ffn}),
		down:         l.matrix(s.ffn, named{prefix + "ffn_down.weight", s.width}),
	}
	if s.bias {
		w.qkvBias = slices.Concat(l.vector(prefix+"attn_q.bias", q), l.vector(prefix+"attn_k.bias", kv),
			l.vector(prefix+"attn_v.bias", kv))
	}
	if s.headNorms {
		w.queryNorm, w.keyNorm = l.vector(prefix+"attn_q_norm.weight", s.headDim), l.vector(prefix+"attn_k_norm.weight", s.headDim)
	}
	return w
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
	p := plan{matrix: &matrix{columns: columns, stride: roundUp(columns, lanes)}}
	m := p.matrix
	for _, n := range tensors {
		p.tensors = append(p.tensors, l.tensor(n.name, columns, n.rows))
		m.rows += n.rows
	}
	l.plans = append(l.plans, p)
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

// maxWide is the most bytes of widened matrices that a machine without assembly keeps. Widening a row costs
// there as much as multiplying it, so a small model is widened once.
const maxWide = 1 << 30

// run copies the matrices and looks at each of their numbers.
func (l *loader) run() {
	size := int64(0)
	for _, p := range l.plans {
		size += int64(p.matrix.rows) * int64(p.matrix.stride) * 4
	}
	wide := best().name == portable.name && size <= maxWide
	for _, p := range l.plans {
		p.copy(wide)
		first := 0
		for _, t := range p.tensors {
			if !p.matrix.finite(first, first+t.Rows()) {
				l.fail("the tensor %s has a weight that is not finite", t.Name)
				return
			}
			first += t.Rows()
		}
	}
}

func (p plan) copy(wide bool) {
	m, first := p.matrix, 0
	wide = wide || !slices.ContainsFunc(p.tensors, func(t *gguf.Tensor) bool { return t.Type != gguf.F32 })
	for _, t := range p.tensors {
		data := t.Bytes()
		if !wide {
			data = bytes.Clone(data)
		}
		m.bands = append(m.bands, band{t.Type, first, t.Type.RowSize(m.columns), data})
		first += t.Rows()
	}
	if !wide {
		return
	}
	rows := make([]float32, roundUp(m.rows, tile)*m.stride)
	for r := range m.rows {
		m.row(&portable, rows[r*m.stride:][:m.stride], r)
	}
	m.wide, m.bands = rows, nil
}
