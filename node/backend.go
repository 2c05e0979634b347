package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"daulat/compute/executor/inference"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/ledger/client"
	"daulat/link/session"
	"daulat/model/chat"
	"daulat/model/text"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
	"daulat/platform/gateway/openai"
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
	shelf    *Shelf
	client   *consumer.Client
	declared *catalogue
	choice   gateway.Choice // of the home, for prompts without one
}

var _ gateway.Backend = backend{}

// Models implements gateway.Backend.
func (b backend) Models(ctx context.Context) ([]gateway.Model, error) {
	declared, err := b.declared.offered(ctx)
	if err != nil {
		return nil, err
	}
	var models []gateway.Model
	for _, e := range append(b.shelf.List(), declared...) {
		models = append(models, gateway.Model{Name: e.Name, ID: e.ID.String(), Label: label(e)})
	}
	return models, nil
}

// find is the model of a name: one of this home's, or else one that is declared.
func (b backend) find(ctx context.Context, name string) (ModelEntry, error) {
	e, err := b.shelf.Find(name)
	if errors.Is(err, ErrNoModel) {
		e, err = b.declared.find(ctx, name)
	}
	if errors.Is(err, ErrNoModel) || errors.Is(err, client.ErrNotFound) {
		err = fmt.Errorf("%w: %w", gateway.ErrUnknownModel, err)
	}
	return e, err
}

// admit tells the gateway who will answer.
func admit(e ModelEntry, begin func(gateway.Admission) error) func(consumer.Admission) error {
	return func(a consumer.Admission) error {
		return begin(gateway.Admission{Receipt: a.Receipt, Model: e.Name, ModelID: e.ID.String(), Provider: a.Provider, Ceiling: a.Ceiling})
	}
}

// Answer implements gateway.Backend.
func (b backend) Answer(ctx context.Context, p gateway.Prompt, begin func(gateway.Admission) error, piece func(string, ...gateway.AnswerToken) error) (gateway.Result, error) {
	entry, err := b.find(ctx, p.Model)
	if err != nil {
		return gateway.Result{}, err
	}
	if artifact.IsDeclared(entry.ID) {
		return b.answerDeclared(ctx, entry, p, begin, piece)
	}
	if p.Native != nil {
		return gateway.Result{}, p.Native
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
	if wanted, prompt.Owners, err = chosen(wanted, p.Choice, b.choice); err != nil {
		return gateway.Result{}, gateway.ErrPrompt{Param: "daulat", Reason: err.Error()}
	}
	out := newCut(words, p.Stop)
	r, err := b.client.Ask(ctx, wanted, prompt, admit(entry, begin),
		func(token receipt.Token) error {
			text, tokens := out.next(token)
			return send(piece, text, tokens)
		})
	if err != nil {
		return paid(r, entry), translate(err, wanted.Only)
	}
	result := paid(r, entry)
	rest, tokens := out.flush()
	return result, send(piece, rest, tokens)
}

// paid is what the gateway needs to know of a result: also of one that was stopped,
// and nothing of one that never was.
func paid(r consumer.Result, e ModelEntry) gateway.Result {
	if r.Session == 0 {
		return gateway.Result{}
	}
	return gateway.Result{Receipt: r.Receipt(), Provider: r.Provider, Input: r.Usage.Input, Output: r.Usage.Output,
		Finish: string(r.Answer.Finish), Price: r.Price, Beside: r.Beside, ModelLabel: label(e)}
}

// chosen puts whom the client wants into the terms, and whom the home wants where
// the client says nothing of it. Whom the home excludes nobody gets, and its bound of
// sessions with one owner holds for all.
func chosen(t job.Terms, asked, home gateway.Choice) (job.Terms, consumer.Owners, error) {
	only := asked.Providers
	if len(only) == 0 {
		only = home.Providers
	}
	t.Preferred, t.Only = only, len(only) > 0
	t.Excluded = append(slices.Clone(asked.Not), home.Not...)
	owners := consumer.Owners{Spread: asked.Spread || home.Spread, PerOwner: lower(asked.PerOwner, home.PerOwner)}
	if err := checkChoice(asked); err != nil {
		return t, owners, err
	}
	return t, owners, t.Validate()
}

// lower is the lower of two bounds, of which 0 is none.
func lower(a, b uint64) uint64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// checkChoice refuses what names no accounts, and a bound that is none.
func checkChoice(c gateway.Choice) error {
	if c.PerOwner > openai.MaxPerOwner {
		return fmt.Errorf("the sessions per owner must be 0 to %d, not %d", openai.MaxPerOwner, c.PerOwner)
	}
	for _, account := range slices.Concat(c.Providers, c.Not) {
		if err := client.CheckAccount(account); err != nil {
			return err
		}
	}
	return nil
}

// fit refuses what no provider could answer, before a session is opened for it,
// and asks for no more tokens than the model's context leaves.
func fit(model canon.CID, context uint64, p consumer.Prompt, field string) (consumer.Prompt, error) {
	if err := answerable(model, p); err != nil {
		return p, err
	}
	length := uint64(len(p.Tokens))
	if length >= context {
		return p, gateway.ErrPrompt{Param: field, Code: "context_length_exceeded",
			Reason: fmt.Sprintf("%d prompt tokens leave no room in a context of %d", length, context)}
	}
	p.Params.MaxTokens = min(p.Params.MaxTokens, context-length)
	return p, nil
}

// answerable refuses what breaks the rules for requests, in the words of the API.
func answerable(model canon.CID, p consumer.Prompt) error {
	if p.Params.MaxTokens > receipt.MaxAnswer {
		return gateway.ErrPrompt{Param: "max_tokens", Reason: fmt.Sprintf("max_tokens is too large: an answer has at most %d", receipt.MaxAnswer)}
	}
	if n := p.Params.Logprobs; n*p.Params.MaxTokens > receipt.MaxShown {
		return gateway.ErrPrompt{Param: "max_tokens", Reason: fmt.Sprintf("max_tokens is too large: with %d log-probabilities for each token it is at most %d", n, receipt.MaxShown/n)}
	}
	for _, stop := range p.Params.Stop {
		if len(stop) > receipt.MaxStopBytes {
			return gateway.ErrPrompt{Param: "stop", Reason: fmt.Sprintf("a stop string has at most %d bytes", receipt.MaxStopBytes)}
		}
	}
	r := receipt.Request{Version: canon.Version, Key: canon.PublicKey{1}, Model: model, Tokens: p.Tokens, Chat: p.Chat, Params: p.Params}
	if err := r.Validate(); err != nil {
		return gateway.ErrPrompt{Reason: err.Error()}
	}
	return nil
}

func send(piece func(string, ...gateway.AnswerToken) error, s string, tokens []gateway.AnswerToken) error {
	if s == "" && len(tokens) == 0 {
		return nil
	}
	return piece(s, tokens...)
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
	q, err := signed(p)
	q.Tokens = tokens
	return q, err
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

// translate gives the gateway the errors that it knows, and its own words for
// what the asker should hear and can only be told here. pinned says that the asker
// named who may answer, and nobody else could.
func translate(err error, pinned bool) error {
	var (
		none    *consumer.NoMatchError
		lie     *consumer.LieError
		broken  *session.BrokenError
		refused *session.Refusal
		little  *job.TooLittleError
		all     *consumer.FailedError
		full    *consumer.FullError
	)
	switch {
	case errors.As(err, &little):
		return told{unfunded(fmt.Sprintf("this home has %d udlt to spend, and this question may cost up to %d at the highest prices it would pay", little.Purse, little.Most)), err}
	case client.Unfunded(err):
		return told{unfunded("the ledger says that this home has too few coins for the question"), err}
	case errors.As(err, &none):
		return gateway.ErrNoProvider{Explanation: unmatched(none, pinned)}
	case client.Silent(err):
		return told{openai.Error{Status: http.StatusServiceUnavailable, Message: "no peer of this network answers; " + nobody, Type: "server_error", Code: "network_unreached"}, err}
	case errors.As(err, &lie):
		return told{openai.Error{Status: http.StatusBadGateway, Message: lie.Error(), Type: "server_error", Code: "provider_lied"}, err}
	case errors.As(err, &full):
		why := openai.Error{Status: http.StatusTooManyRequests, Message: full.Error() + "; ask again when one is free, or allow more", Type: "rate_limit_error", Code: "owners_full"}
		return told{why, errors.Join(err, gateway.ErrBusy{RetryAfter: busyRetry})}
	case errors.As(err, &broken):
		return told{openai.Error{Status: http.StatusServiceUnavailable, Message: broken.Error(), Type: "server_error", Code: "journal_broken"}, err}
	case errors.As(err, &all) && all.Text, !errors.As(err, &refused):
		return failed(err)
	}
	switch refused.Code {
	case session.Busy:
		return gateway.ErrBusy{RetryAfter: busyRetry}
	case session.Invalid, session.Spent:
		return gateway.ErrPrompt{Reason: refused.Reason}
	}
	return failed(err)
}

// unmatched is why nobody took an order, and what to do about it.
func unmatched(none *consumer.NoMatchError, pinned bool) string {
	advice := "ask again in a while, or another model"
	if pinned {
		advice = "name other providers, or none (--provider), or ask again in a while"
	}
	why := fmt.Sprintf("%s (job %d): %s", none.Explanation, none.Order, advice)
	if none.Failed > 0 {
		why = "who had the question failed, and nobody takes over: " + why
	}
	return why
}

// failed says of providers that failed what the asker can do about it.
func failed(err error) error {
	var all *consumer.FailedError
	if !errors.As(err, &all) {
		return err
	}
	why := fmt.Sprintf("the provider failed, and so did each that was asked instead, %d in all: ask again in a while, or another model", all.Providers)
	if all.Text {
		why = "the provider broke off in mid-answer, and nobody can go on with an answer of this kind of model: ask again"
	}
	return told{openai.Error{Status: http.StatusBadGateway, Message: why, Type: "server_error", Code: "provider_failed"}, err}
}

// unfunded refuses as OpenAI does whose customer has no credit left.
func unfunded(why string) openai.Error {
	return openai.Error{Status: http.StatusTooManyRequests, Type: "insufficient_quota", Code: "insufficient_quota",
		Message: why + ": ask for a shorter answer (--max-tokens, or max_tokens), or get coins; what open sessions lock comes back when they end"}
}

// told is an error with what a client is told of it.
type told struct {
	client openai.Error
	err    error
}

func (t told) Error() string   { return t.err.Error() }
func (t told) Unwrap() []error { return []error{&t.client, t.err} }
