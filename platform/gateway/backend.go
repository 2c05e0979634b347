package gateway

import (
	"context"
	"errors"
	"time"

	"daulat/platform/gateway/openai"
)

// Prompt and Message are what a client asked, checked and with defaults filled
// in; their fields state the units.
type (
	Prompt  = openai.Prompt
	Message = openai.Message
	Choice  = openai.Choice
	Model   = openai.Model // Name is what clients ask for, ID the manifest
	// AnswerToken and Likely are what log-probabilities are shown of.
	AnswerToken = openai.Token
	Likely      = openai.Likely
)

// Backend answers prompts. Its methods are called concurrently.
type Backend interface {
	// Models lists what can be asked for.
	Models(ctx context.Context) ([]Model, error)

	// Answer serves p until the answer is complete and paid, or ctx ends.
	//
	// It calls begin exactly once, when the receipt ID is assigned and before
	// anything is spent, then piece for each stretch of text in order; both in
	// sequence and never after it returned. Pieces may split a character. If p asks
	// for log-probabilities, each token comes once, with the piece in which its
	// text begins; tokens of which nothing is shown come with none. What a model
	// thinks before it answers comes without text, as the Reasoning of one token.
	// If either returns an error, Answer stops, spends nothing more and returns it.
	//
	// Result.Price counts even beside an error: it is what was paid or is owed.
	// An error after begin with an empty Result.Receipt leaves the price unknown,
	// so that the whole ceiling counts as spent.
	Answer(ctx context.Context, p Prompt, begin func(Admission) error, piece func(text string, tokens ...AnswerToken) error) (Result, error)
}

// Admission says who will answer, and the most that it can cost.
type Admission struct {
	Receipt  string // receipt ID
	Model    string // name, as listed
	ModelID  string // manifest ID
	Provider string
	Ceiling  uint64 // udlt
}

// Result is a finished answer. Receipt and provider are not those of the
// admission if a provider failed and another one took over.
type Result struct {
	Receipt       string
	Provider      string
	Input, Output uint64 // tokens
	Finish        string // "stop", "length" or "tool_calls"
	Calls         []any  // the tools that the answer calls, as openai.Reply has them
	Price         uint64 // udlt
	Beside        uint64 // udlt that went to other providers meanwhile, for what they had begun
	ModelLabel    string
}

// What a Backend returns, wrapped or not, when it is not at fault itself.
var (
	ErrUnknownModel = errors.New("the model is not known here")
	ErrSpend        = errors.New("the spending limit does not allow this answer")
)

// ErrBusy says that the same request may succeed later.
type ErrBusy struct{ RetryAfter time.Duration }

func (ErrBusy) Error() string { return "too many requests are being answered" }

// ErrPrompt refuses a prompt that no provider could answer, such as one longer
// than the model's context. Param is OpenAI's name of the field at fault, and
// Code what programs switch on; both may be "".
type ErrPrompt struct{ Param, Reason, Code string }

func (e ErrPrompt) Error() string { return e.Reason }

// ErrNoProvider says which rule left no provider, and the nearest miss.
type ErrNoProvider struct{ Explanation string }

func (e ErrNoProvider) Error() string { return "no provider can answer: " + e.Explanation }
