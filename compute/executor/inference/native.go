package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/model/float"
	"daulat/model/gguf"
	"daulat/model/sample"
	"daulat/model/text"
)

// NativeSemantics names the arithmetic of spec/float.md and the sampler of
// spec/sample.md.
const NativeSemantics = "float/1"

// Native is the engine of determinism class D0 that reads GGUF files: the same
// request gives the same bits on any machine.
type Native struct {
	Threads int // per request; 0 takes all processors
}

// Semantics implements Engine.
func (Native) Semantics() string { return NativeSemantics }

// Load implements Engine.
func (n Native) Load(_ context.Context, m artifact.Manifest, path string) (Model, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", m.Name, err)
	}
	defer f.Close()
	described, err := DescribeGGUF(f)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", m.Name, err)
	}
	if m.Model == nil || *m.Model != *described {
		return nil, fmt.Errorf("load %s: the manifest describes another model than the file holds", m.Name)
	}
	words, err := text.FromGGUF(f)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", m.Name, err)
	}
	weights, err := float.Load(f)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", m.Name, err)
	}
	if words.Size() != weights.Vocab() {
		return nil, fmt.Errorf("load %s: %d tokens have text and %d have logits", m.Name, words.Size(), weights.Vocab())
	}
	return &native{weights: weights, words: words, threads: n.Threads}, nil
}

// DescribeGGUF is the part of a manifest that says how to run the file.
func DescribeGGUF(f *gguf.File) (*artifact.Model, error) {
	arch, ok := f.String("general.architecture")
	if !ok {
		return nil, errors.New("file names no architecture")
	}
	context, ok := f.Uint(arch + ".context_length")
	if !ok || context == 0 {
		return nil, errors.New("file states no context length")
	}
	return &artifact.Model{Semantics: NativeSemantics, Architecture: arch, Context: context}, nil
}

type native struct {
	weights *float.Model
	words   *text.Text
	threads int
}

func (n *native) Context() int { return n.weights.Context() }
func (n *native) Close() error { return nil }

// picker draws the tokens of one answer and knows when it ends.
type picker struct {
	request receipt.Request
	params  sample.Params
	hash    canon.Hash
	words   *text.Text
	stops   *text.Stops
	room    int // tokens that the answer may have
	fixed   []int32
	sampler sample.Sampler
}

func (n *native) picker(r receipt.Request) (*picker, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	if err := fits(r, n.Context(), n.weights.Vocab()); err != nil {
		return nil, err
	}
	p := sample.Params{Temperature: uint32(r.Params.Temperature), TopP: uint32(r.Params.TopP)}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return &picker{request: r, params: p, hash: r.Hash(), words: n.words, stops: n.words.Watch(r.Params.Stop),
		room: int(min(r.Params.MaxTokens, uint64(n.Context()-len(r.Tokens)))), fixed: make([]int32, n.weights.Vocab())}, nil
}

// draw picks token number i of the answer.
func (p *picker) draw(i int, logits []float32) (receipt.Token, error) {
	if err := sample.Fix(p.fixed, logits); err != nil {
		return receipt.Token{}, err
	}
	id := p.sampler.Pick(p.fixed, p.params, sample.Draw(p.request.Seed, p.hash, uint64(i)))
	return receipt.Token{ID: id, Logprobs: p.show(id)}, nil
}

// show is what the request wants to see of the logits beside the token.
func (p *picker) show(token uint32) *receipt.Logprobs {
	if p.request.Params.Logprobs == 0 {
		return nil
	}
	d := sample.Distribute(p.fixed)
	likeliest := d.Likeliest(int(p.request.Params.Logprobs - 1))
	shown := &receipt.Logprobs{NLL: d.NLL(token), Top: make([]receipt.Logprob, len(likeliest))}
	for i, t := range likeliest {
		shown.Top[i] = receipt.Logprob{Token: t, NLL: d.NLL(t)}
	}
	return shown
}

// ends reports whether the answer ends with token number i, and why.
func (p *picker) ends(i int, token uint32) (receipt.Finish, bool) {
	if p.stops.Next(token) {
		return receipt.FinishStop, true
	}
	if i+1 == p.room {
		return receipt.FinishLength, true
	}
	return "", false
}

// Generate implements Model.
func (n *native) Generate(ctx context.Context, r receipt.Request, emit func(receipt.Token) error) (receipt.Answer, error) {
	p, err := n.picker(r)
	if err != nil {
		return receipt.Answer{}, err
	}
	state := n.weights.NewState(float.StateOptions{Threads: n.threads})
	a := receipt.Answer{Tokens: []uint32{}}
	var next receipt.Token
	feed := r.Tokens
	for {
		i := len(a.Tokens)
		err := state.Append(ctx, feed, len(feed)-1, func(_ int, logits []float32) (err error) {
			next, err = p.draw(i, logits)
			return err
		})
		if err != nil {
			return receipt.Answer{}, fmt.Errorf("answer token %d: %w", i, err)
		}
		if n.words.IsEnd(next.ID) {
			a.Finish = receipt.FinishStop
			return a, nil
		}
		a.Add(next)
		if err := emit(next); err != nil {
			return receipt.Answer{}, err
		}
		if finish, done := p.ends(i, next.ID); done {
			a.Finish = finish
			return a, nil
		}
		feed = []uint32{next.ID}
	}
}

// errJudged stops a replay whose outcome is known.
var errJudged = errors.New("judged")

// Replay implements Model. Decode and prefill give the same bits, so one pass
// over prompt and answer gives every logit that the provider drew from.
func (n *native) Replay(ctx context.Context, r receipt.Request, a receipt.Answer) (verify.Verdict, error) {
	p, err := n.picker(r)
	if err != nil {
		return verify.Verdict{}, err
	}
	last := len(r.Tokens) - 1
	paid := receipt.Answer{Tokens: []uint32{}}
	state := n.weights.NewState(float.StateOptions{Threads: n.threads})
	err = state.Append(ctx, n.feed(r, a, p.room), last, func(pos int, logits []float32) error {
		i := pos - last
		token, err := p.draw(i, logits)
		if err != nil {
			return err
		}
		if n.words.IsEnd(token.ID) {
			paid.Finish = receipt.FinishStop
			return errJudged
		}
		paid.Add(token)
		if a.Finish == receipt.FinishCancelled && i+1 == len(a.Tokens) { // the asker's choice, and not the model's
			paid.Finish = a.Finish
			return errJudged
		}
		if finish, done := p.ends(i, token.ID); done {
			paid.Finish = finish
			return errJudged
		}
		if i >= len(a.Tokens) || a.Tokens[i] != token.ID {
			return errJudged
		}
		return nil
	})
	if err != nil && !errors.Is(err, errJudged) {
		return verify.Verdict{}, fmt.Errorf("replay: %w", err)
	}
	return verify.Compare(paid, a), nil
}

// feed is what a replay computes over: the prompt, and the answer up to the
// first token that no honest answer could have.
func (n *native) feed(r receipt.Request, a receipt.Answer, room int) []uint32 {
	feed := slices.Clone(r.Tokens)
	for i, t := range a.Tokens {
		if i == room || int64(t) >= int64(n.weights.Vocab()) {
			break
		}
		feed = append(feed, t)
	}
	return feed
}
