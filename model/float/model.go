// Package float runs models of the families llama, qwen2 and qwen3 in float32 with the same bits everywhere:
// on any processor, with any number of threads, in blocks of any size, and whether a position is computed in a
// long prompt or alone. That is determinism class D0, and it holds because the order of every rounding is fixed
// (spec/float.md): products are rounded before they are added, dot products have sixteen partial sums joined by
// a fixed tree, sums over positions run in one order, and no function of the standard library that differs
// between machines is called. Assembly, where the processor has it, computes the same sums and is compared with
// the portable code bit by bit; the build tag purego leaves it out.
//
// Load checks a GGUF file and keeps its weights as they are stored; rows are widened as they are used.
// Model.NewState makes a sequence, State.Append feeds it tokens and shows the logits, State.Truncate takes
// tokens back.
package float

import (
	"fmt"
	"slices"
	"strings"

	"daulat/model/gguf"
)

// Model is a checked set of weights. It never changes and serves any number of states at once.
type Model struct {
	shape
	embedding *matrix
	output    *matrix // the embedding itself where the file has no other
	norm      []float32
	layers    []layer
	// frequency is the angle, in radians, that pair i of a head turns from one position to the next.
	frequency []float64
}

type layer struct {
	attentionNorm []float32
	qkv           *matrix // rows of query, key and value heads, in this order
	qkvBias       []float32
	queryNorm     []float32 // gains of each head, and of each key head
	keyNorm       []float32
	attentionOut  *matrix
	ffnNorm       []float32
	gateUp        *matrix // rows of the gate, then of the up projection
	down          *matrix
}

// family is what sets an architecture apart from llama.
type family struct {
	halves    bool // rotary pairs are i and i + d/2, not 2i and 2i+1
	bias      bool // on queries, keys and values
	headNorms bool // RMS norms of query and key heads, before the rotation
}

// families by the file's name of the architecture, which also begins its settings' keys.
var families = map[string]family{"llama": {}, "qwen2": {halves: true, bias: true}, "qwen3": {halves: true, headNorms: true}}

// shape is the model's hyperparameters.
type shape struct {
	family
	layerCount, width, heads, kvHeads, headDim, ffn int
	vocab, context, ropeDims                        int
	epsilon, ropeBase                               float32
}

// Vocab is the number of tokens.
func (m *Model) Vocab() int { return m.vocab }

// Context is the most positions a sequence may have.
func (m *Model) Context() int { return m.context }

// Limits that keep products of two sizes inside an int, and angles inside the range of sincos.
const (
	maxSize    = 1 << 20
	maxHeads   = 1 << 12
	maxContext = 1 << 20
	maxBase    = 1e12
	maxPage    = 1 << 28 // keys in a page of a state
)

// understood lists the keys of the architecture that this engine reads or may pass over. A file with any other
// is refused: a key nobody reads may change what the model computes.
var understood = map[string]bool{
	"block_count": true, "context_length": true, "embedding_length": true, "feed_forward_length": true,
	"vocab_size": true, "attention.head_count": true, "attention.head_count_kv": true, "attention.key_length": true,
	"attention.value_length": true, "attention.layer_norm_rms_epsilon": true, "rope.freq_base": true,
	"rope.dimension_count": true,
}

// readShape reads and checks the hyperparameters.
func readShape(f *gguf.File) (shape, error) {
	arch, _ := f.String("general.architecture")
	kin, ok := families[arch]
	if !ok {
		return shape{}, fmt.Errorf("the architecture %q is not supported, only llama, qwen2 and qwen3", arch)
	}
	r := reader{f: f, prefix: arch + "."}
	for _, key := range f.Keys() {
		name, ours := strings.CutPrefix(key, r.prefix)
		if ours && !understood[name] && !r.neutral(name) {
			return shape{}, fmt.Errorf("the setting %s is not supported", key)
		}
	}
	s := shape{
		family:     kin,
		layerCount: r.size("block_count", 1<<10),
		width:      r.size("embedding_length", maxSize),
		ffn:        r.size("feed_forward_length", maxSize),
		context:    r.size("context_length", maxContext),
		heads:      r.size("attention.head_count", maxHeads),
		epsilon:    r.float("attention.layer_norm_rms_epsilon"),
		ropeBase:   10000,
	}
	s.kvHeads = r.sizeOr("attention.head_count_kv", s.heads, maxHeads)
	s.headDim = r.sizeOr("attention.key_length", s.width/max(s.heads, 1), maxHeads)
	s.ropeDims = r.sizeOr("rope.dimension_count", s.headDim, maxHeads)
	valueDim := r.sizeOr("attention.value_length", s.width/max(s.heads, 1), maxHeads)
	if _, ok := f.Float(r.prefix + "rope.freq_base"); ok {
		s.ropeBase = r.float("rope.freq_base")
	}
	switch {
	case r.err != nil:
		return s, r.err
	case s.heads%s.kvHeads != 0:
		return s, fmt.Errorf("%d heads cannot share %d key heads", s.heads, s.kvHeads)
	case valueDim != s.headDim:
		return s, fmt.Errorf("value heads of %d beside key heads of %d are not supported", valueDim, s.headDim)
	case s.ropeDims%2 != 0 || s.ropeDims > s.headDim:
		return s, fmt.Errorf("%d rotary dimensions do not fit heads of %d", s.ropeDims, s.headDim)
	case int64(s.layerCount*s.kvHeads)*int64(pagePositions*roundUp(s.headDim, lanes)) > maxPage:
		return s, fmt.Errorf("%d layers with %d key heads of %d are not supported", s.layerCount, s.kvHeads, s.headDim)
	case s.width < lanes || s.ffn < lanes || s.heads*s.headDim < lanes:
		return s, fmt.Errorf("layers narrower than %d are not supported", lanes)
	case !(s.epsilon > 0 && s.epsilon < 1):
		return s, fmt.Errorf("the norm's epsilon %g is not between 0 and 1", s.epsilon)
	case !(s.ropeBase >= 1 && s.ropeBase <= maxBase):
		return s, fmt.Errorf("the rotary base %g is not between 1 and %g", s.ropeBase, float64(maxBase))
	}
	return s, nil
}

// reader reads an architecture's settings; the first error sticks.
type reader struct {
	f      *gguf.File
	prefix string
	err    error
}

// neutral reports whether a setting that this engine does not implement is switched off.
func (r *reader) neutral(name string) bool {
	key := r.prefix + name
	switch name {
	case "rope.scaling.type":
		kind, _ := r.f.String(key)
		return kind == "none"
	case "rope.scaling.factor", "rope.scale_linear":
		factor, ok := r.f.Float(key)
		return ok && factor == 1
	case "expert_count", "expert_used_count":
		n, ok := r.f.Uint(key)
		return ok && n == 0
	}
	return false
}

func (r *reader) size(name string, most int) int {
	n, ok := r.f.Uint(r.prefix + name)
	if (!ok || n == 0 || n > uint64(most)) && r.err == nil {
		r.err = fmt.Errorf("%s%s is missing or not a number from 1 to %d", r.prefix, name, most)
	}
	if r.err != nil {
		return 1
	}
	return int(n)
}

func (r *reader) sizeOr(name string, absent, most int) int {
	if slices.Contains(r.f.Keys(), r.prefix+name) {
		return r.size(name, most)
	}
	if absent < 1 && r.err == nil {
		r.err = fmt.Errorf("%s%s is missing and has no sensible value", r.prefix, name)
	}
	return max(absent, 1)
}

func (r *reader) float(name string) float32 {
	x, ok := r.f.Float(r.prefix + name)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("%s%s is missing or not a number", r.prefix, name)
	}
	return x
}
