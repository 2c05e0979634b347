// Package costless is an engine that costs nothing, for benchmarks of all that is
// around one.
//
// Start at [Load].
package costless

import (
	"context"
	"fmt"
	"strings"
	"time"

	"daulat/compute/executor/inference"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/model/gguf"
	"daulat/model/synthetic"
	"daulat/model/text"
)

const (
	// Name is the model's.
	Name      = "costless"
	MaxTokens = 4096 // in one answer
)

// Engine answers with as many tokens as were asked for, at a pace, and spends
// no time on them. What comes where depends on the request alone, so that an
// audit can tell.
type Engine struct {
	vocabulary []uint32 // tokens that are letters
	pace       time.Duration
}

var _ inference.Model = Engine{}

// Load returns a tokenizer, and a manifest with its ID. They are a real tokenizer's and a real
// model's, though nobody computes with its weights.
func Load() (*text.Text, []byte, canon.CID, error) {
	fail := func(err error) (*text.Text, []byte, canon.CID, error) { return nil, nil, canon.CID{}, err }
	data, err := synthetic.Llama(1, synthetic.Options{})
	if err != nil {
		return fail(err)
	}
	f, err := gguf.Parse(data)
	if err != nil {
		return fail(err)
	}
	words, err := text.FromGGUF(f)
	if err != nil {
		return fail(err)
	}
	m, err := inference.DescribeGGUF(f)
	if err != nil {
		return fail(err)
	}
	manifest, id, err := artifact.Manifest{Version: canon.Version, Name: Name, Media: "application/x-gguf", Licence: "Apache-2.0", Model: m,
		Parts: []artifact.Part{{Role: artifact.Weights, Blob: canon.NewCID(canon.Raw, canon.Sum(data)), Size: uint64(len(data))}}}.Encode()
	return words, manifest, id, err
}

// New returns an engine that waits for pace after each token.
func New(words *text.Text, pace time.Duration) (Engine, error) {
	c := Engine{pace: pace}
	for t := range uint32(words.Size()) {
		if s := words.Decode([]uint32{t}); s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == "" && !words.IsControl(t) && !words.IsEnd(t) {
			c.vocabulary = append(c.vocabulary, t)
		}
	}
	if len(c.vocabulary) == 0 {
		return c, fmt.Errorf("the tokenizer has no token of letters")
	}
	return c, nil
}

func (c Engine) token(hash canon.Hash, i uint64) uint32 {
	return c.vocabulary[(uint64(hash[i%32])+i)%uint64(len(c.vocabulary))]
}

// Generate implements inference.Model. The first token comes at once.
func (c Engine) Generate(ctx context.Context, r receipt.Request, emit func(receipt.Token) error) (receipt.Answer, error) {
	a := receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishLength}
	hash, due := r.Hash(), time.Now()
	for i := range r.Params.MaxTokens {
		if i > 0 && c.pace > 0 {
			due = due.Add(c.pace)
			select {
			case <-ctx.Done():
				return a, ctx.Err()
			case <-time.After(time.Until(due)):
			}
		}
		a.Tokens = append(a.Tokens, c.token(hash, i))
		if err := emit(receipt.Token{ID: a.Tokens[i]}); err != nil {
			return a, err
		}
	}
	return a, nil
}

// Replay implements inference.Model.
func (c Engine) Replay(_ context.Context, r receipt.Request, a receipt.Answer) (verify.Verdict, error) {
	paid := receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishLength}
	hash := r.Hash()
	for i := range r.Params.MaxTokens {
		paid.Tokens = append(paid.Tokens, c.token(hash, i))
	}
	return verify.Compare(paid, a), nil
}

// Context and Close implement inference.Model.
func (Engine) Context() int { return 2 * MaxTokens }
func (Engine) Close() error { return nil }

// Shelf has this one model: for the provider, and for the consumer's audits.
type Shelf struct {
	ID     canon.CID
	Engine Engine
}

// Model implements provider.Models.
func (s Shelf) Model(_ context.Context, id canon.CID) (inference.Model, error) {
	if id != s.ID {
		return nil, fmt.Errorf("model %s is not served", id)
	}
	return s.Engine, nil
}

// Replay implements verify.Runner.
func (s Shelf) Replay(ctx context.Context, id canon.CID, r receipt.Request, a receipt.Answer) (verify.Verdict, error) {
	m, err := s.Model(ctx, id)
	if err != nil {
		return verify.Verdict{}, err
	}
	return m.Replay(ctx, r, a)
}
