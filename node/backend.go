package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"daulat/compute/executor/inference"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/link/session"
	"daulat/model/chat"
	"daulat/model/text"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
)

// What a gateway's session asks for. Prices are ceilings.
const (
	sessionSteps     = 8        // exposure steps in a session's escrow
	sessionPatience  = 60       // seconds
	sessionDuration  = 6 * 3600 // seconds
	ceilingInput     = 2_000    // udlt per 1,000 tokens
	ceilingOutput    = 10_000   // udlt per 1,000 tokens
	defaultMaxTokens = 256
	busyRetry        = 2 * time.Second
)

// backend answers the gateway's prompts through sessions.
type backend struct {
	shelf  *Shelf
	client *consumer.Client
}

var _ gateway.Backend = backend{}

// Models implements gateway.Backend.
func (b backend) Models(context.Context) ([]gateway.Model, error) {
	var models []gateway.Model
	for _, e := range b.shelf.List() {
		models = append(models, gateway.Model{Name: e.Name, ID: e.ID.String(), Label: label(e.Name)})
	}
	return models, nil
}

// Answer implements gateway.Backend.
func (b backend) Answer(ctx context.Context, p gateway.Prompt, begin func(gateway.Admission) error, piece func(string) error) (gateway.Result, error) {
	entry, err := b.shelf.Find(p.Model)
	if err != nil {
		return gateway.Result{}, fmt.Errorf("%w: %w", gateway.ErrUnknownModel, err)
	}
	words, err := b.shelf.Text(ctx, entry.ID)
	if err != nil {
		return gateway.Result{}, err
	}
	prompt, err := encode(words, p)
	if err != nil {
		return gateway.Result{}, err
	}
	manifest, err := b.shelf.Manifest(ctx, entry.ID)
	if err != nil {
		return gateway.Result{}, err
	}
	if prompt, err = fit(entry.ID, manifest.Context(), prompt, fieldOf(p)); err != nil {
		return gateway.Result{}, err
	}
	wanted, err := terms(entry.ID, manifest.Context())
	if err != nil {
		return gateway.Result{}, err
	}
	out := newCut(words.Decoder(), p.Stop)
	r, err := b.client.Ask(ctx, wanted, prompt,
		func(a consumer.Admission) error {
			return begin(gateway.Admission{Receipt: a.Receipt, Model: entry.Name, ModelID: entry.ID.String(), Provider: a.Provider, Ceiling: a.Ceiling})
		},
		func(token uint32) error { return send(piece, out.next(token)) })
	if err != nil {
		return gateway.Result{}, translate(err)
	}
	result := gateway.Result{Receipt: r.Receipt(), Provider: r.Provider, Input: r.Input, Output: uint64(len(r.Answer.Tokens)),
		Finish: string(r.Answer.Finish), Price: r.Price, ModelLabel: label(entry.Name)}
	return result, send(piece, out.flush())
}

// fit refuses what no provider could answer, before a session is opened for it,
// and asks for no more tokens than the model's context leaves.
func fit(model canon.CID, context uint64, p consumer.Prompt, field string) (consumer.Prompt, error) {
	if p.Params.MaxTokens > receipt.MaxAnswer {
		return p, gateway.ErrPrompt{Param: "max_tokens", Reason: fmt.Sprintf("max_tokens is too large: an answer has at most %d", receipt.MaxAnswer)}
	}
	for _, stop := range p.Params.Stop {
		if len(stop) > receipt.MaxStopBytes {
			return p, gateway.ErrPrompt{Param: "stop", Reason: fmt.Sprintf("a stop string has at most %d bytes", receipt.MaxStopBytes)}
		}
	}
	r := receipt.Request{Version: canon.Version, Key: canon.PublicKey{1}, Model: model, Tokens: p.Tokens, Params: p.Params}
	if err := r.Validate(); err != nil {
		return p, gateway.ErrPrompt{Reason: err.Error()}
	}
	length := uint64(len(p.Tokens))
	if length >= context {
		return p, gateway.ErrPrompt{Param: field, Code: "context_length_exceeded",
			Reason: fmt.Sprintf("%d prompt tokens leave no room in a context of %d", length, context)}
	}
	p.Params.MaxTokens = min(p.Params.MaxTokens, context-length)
	return p, nil
}

func send(piece func(string) error, s string) error {
	if s == "" {
		return nil
	}
	return piece(s)
}

// terms are what a session for a model is to keep to. The exposure step is what
// the longest answer can cost at the ceilings: so much has to be served before
// the voucher that pays for it, and no more.
func terms(model canon.CID, context uint64) (job.Terms, error) {
	ceiling := job.Price{Input: ceilingInput, Output: ceilingOutput}
	step, err := ceiling.Longest(context)
	return job.Terms{Version: canon.Version, Kind: job.Inference, Executor: inference.NativeSemantics, Model: model,
		Assurance: job.Sampled, Privacy: job.Open, Ceiling: ceiling,
		Escrow: sessionSteps * step, Step: step, Patience: sessionPatience, Duration: sessionDuration}, err
}

// encode turns a prompt into what the consumer signs.
func encode(words *text.Text, p gateway.Prompt) (consumer.Prompt, error) {
	tokens, err := promptTokens(words, p)
	if err != nil {
		return consumer.Prompt{}, gateway.ErrPrompt{Param: fieldOf(p), Reason: err.Error()}
	}
	q := consumer.Prompt{Tokens: tokens, Params: receipt.Params{MaxTokens: p.MaxTokens, Temperature: p.Temperature, TopP: p.TopP, Stop: p.Stop}}
	if q.Params.MaxTokens == 0 {
		q.Params.MaxTokens = defaultMaxTokens
	}
	if p.Seed != nil {
		q.Seed, q.Repeat = canon.Hash(*p.Seed), true
	} else if _, err := rand.Read(q.Seed[:]); err != nil {
		return q, fmt.Errorf("draw a seed: %w", err)
	}
	return q, nil
}

// fieldOf is OpenAI's name for where the prompt came from.
func fieldOf(p gateway.Prompt) string {
	if p.Messages == nil {
		return "prompt"
	}
	return "messages"
}

func promptTokens(words *text.Text, p gateway.Prompt) ([]uint32, error) {
	if p.Messages == nil {
		return words.Prompt(p.Text)
	}
	messages := make([]chat.Message, len(p.Messages))
	for i, m := range p.Messages {
		messages[i] = chat.Message{Role: m.Role, Content: m.Content}
	}
	return words.Chat(messages)
}

// translate gives the gateway the errors that it knows.
func translate(err error) error {
	var none *consumer.NoMatchError
	if errors.As(err, &none) {
		return gateway.ErrNoProvider{Explanation: none.Explanation}
	}
	var refused *session.Refusal
	if errors.As(err, &refused) {
		switch refused.Code {
		case session.Busy:
			return gateway.ErrBusy{RetryAfter: busyRetry}
		case session.Invalid, session.Spent:
			return gateway.ErrPrompt{Reason: refused.Reason}
		}
	}
	return err
}

// cut shows an answer's text up to the first stop string: what may be the start
// of one is held back until it is clear that it is not.
type cut struct {
	decoder interface {
		Next(token uint32) string
		Flush() string
	}
	stops []string
	held  string
	done  bool
}

func newCut(d interface {
	Next(token uint32) string
	Flush() string
}, stops []string) *cut {
	return &cut{decoder: d, stops: stops}
}

func (c *cut) next(token uint32) string { return c.take(c.decoder.Next(token), false) }
func (c *cut) flush() string            { return c.take(c.decoder.Flush(), true) }

func (c *cut) take(s string, last bool) string {
	if c.done {
		return ""
	}
	c.held += s
	end := len(c.held)
	for _, stop := range c.stops {
		if i := strings.Index(c.held, stop); i >= 0 && i < end {
			end, c.done = i, true
		}
	}
	if !c.done && !last {
		end -= c.suspect()
	}
	out := c.held[:end]
	c.held = c.held[end:]
	return out
}

// suspect is the length of the longest end of what is held that starts a stop
// string.
func (c *cut) suspect() int {
	longest := 0
	for _, stop := range c.stops {
		for n := min(len(stop)-1, len(c.held)); n > longest; n-- {
			if strings.HasSuffix(c.held, stop[:n]) {
				longest = n
			}
		}
	}
	return longest
}
