package float

import "fmt"

// visit computes the logits of n positions of the block, from its position i on, and shows them in order.
// start is the sequence position of the block.
func (s *State) visit(i, n, start int, visit func(int, []float32) error) error {
	m, b := s.model, &s.buffers
	stride, vocab := roundUp(m.width, lanes), roundUp(m.vocab, lanes)
	if len(b.logits) < n*vocab {
		b.logits = make([]float32, n*vocab)
	}
	s.normalise(m.norm, b.residual[i*stride:], b.normed, n)
	s.multiply(b.logits, m.output, b.normed, n)
	for p := range n {
		logits := b.logits[p*vocab:][:m.vocab:m.vocab]
		if !finite(logits) {
			return fmt.Errorf("a logit at position %d is not finite", start+i+p)
		}
		if err := visit(i+p, logits); err != nil {
			return err
		}
	}
	return nil
}
