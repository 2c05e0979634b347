// Package inference is the executor that sells a language model's answers. An
// [Engine] runs models; this package turns engines into answers that are a
// function of model and request alone, and into the replay that judges them.
//
// [Upstream] is the other kind of source: a server of the provider's own, whose
// models are declared and whose answers nobody can run again.
//
// Every engine passes the suite in engine_test.go before it is offered, and every
// Model, of an engine or of an upstream, the one in model_test.go.
package inference

import (
	"context"
	"errors"
	"fmt"

	"daulat/core/artifact"
	"daulat/core/receipt"
	"daulat/core/verify"
)

// Engine makes a model that lies on disk runnable.
type Engine interface {
	// Semantics is the meaning of the engine's arithmetic, as offers and
	// manifests name it.
	Semantics() string
	// Load opens the model whose weights lie at path. It refuses a manifest
	// that states other semantics or another architecture than the file's.
	Load(ctx context.Context, m artifact.Manifest, path string) (Model, error)
}

// Model answers requests. It is safe for concurrent use.
type Model interface {
	// Generate computes the answer to r and calls emit with each token as soon
	// as it is drawn, with log-probabilities if r asks for them, or of a declared
	// model with stretches of its text; at most as often as r asks for tokens.
	// emit's error stops it.
	Generate(ctx context.Context, r receipt.Request, emit func(receipt.Token) error) (receipt.Answer, error)
	// Replay judges an answer by computing it again as one prefill.
	Replay(ctx context.Context, r receipt.Request, a receipt.Answer) (verify.Verdict, error)
	// Context is the most tokens that prompt and answer may have together.
	Context() int
	// Close frees the model; no call may be under way.
	Close() error
}

var (
	// ErrPrompt says that a request does not fit the model.
	ErrPrompt = errors.New("request does not fit the model")
	// ErrAway says that what answers for a declared model can't be reached, or does
	// not have the model, or takes nothing more on: another provider may.
	ErrAway = errors.New("the server of this model does not answer now")
	// ErrDeclared says that a model is only declared, so that nobody can run it again.
	ErrDeclared = errors.New("the model is only declared: nobody can run it again")
)

// fits reports whether a prompt leaves room for at least one token.
func fits(r receipt.Request, context, vocabulary int) error {
	if len(r.Tokens) >= context {
		return fmt.Errorf("%w: %d prompt tokens leave no room in a context of %d", ErrPrompt, len(r.Tokens), context)
	}
	for i, t := range r.Tokens {
		if int64(t) >= int64(vocabulary) {
			return fmt.Errorf("%w: prompt token %d is %d, and the vocabulary has %d", ErrPrompt, i, t, vocabulary)
		}
	}
	return nil
}
