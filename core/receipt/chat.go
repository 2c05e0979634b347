package receipt

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"daulat/core/canon"
)

// A declared model is asked in text and answers in text: its tokens are its
// provider's own affair, and so is how many there were. What it may say of that
// is bounded here.
const (
	// MaxChat bounds the text of a request, in bytes.
	MaxChat = 1 << 20
	// chatFrame is what a server's template may add to the text of a request, in
	// tokens.
	chatFrame = 256
	// maxMessage bounds the text of an answer, in bytes; so do messageFrame and
	// tokenBytes: no vocabulary has longer tokens, escaped as JSON.
	maxMessage   = 1 << 20
	messageFrame = 4 << 10
	tokenBytes   = 256
)

// Usage is how many tokens the server of a declared model counts.
type Usage struct {
	Input  uint64 `cbor:"input"`
	Output uint64 `cbor:"output"`
}

// Within reports that u exceeds most in neither part.
func (u Usage) Within(most Usage) bool { return u.Input <= most.Input && u.Output <= most.Output }

// Capped is u, or of each part what most allows.
func (u Usage) Capped(most Usage) Usage {
	return Usage{Input: min(u.Input, most.Input), Output: min(u.Output, most.Output)}
}

// MaxUsage is the most tokens that any request for a declared model is billed for.
var MaxUsage = Usage{Input: MaxChat + chatFrame, Output: MaxAnswer}

// Worst is the most tokens that a request can be billed for, whatever the answer.
func (r Request) Worst() Usage {
	if r.Chat == "" {
		return Usage{Input: uint64(len(r.Tokens)), Output: r.Params.MaxTokens}
	}
	return Usage{Input: uint64(len(r.Chat)) + chatFrame, Output: r.Params.MaxTokens}
}

// Bill is how many tokens an answer is paid for: the model's own, or of a
// declared model what its server counts.
func (r Request) Bill(a Answer) Usage {
	if r.Chat == "" {
		return Usage{Input: uint64(len(r.Tokens)), Output: uint64(len(a.Tokens))}
	}
	if a.Usage == nil {
		return Usage{}
	}
	return *a.Usage
}

// MostFor bounds what a declared model's answer of that message is billed for: a
// token has a byte or more.
func (r Request) MostFor(message string) Usage {
	return r.Worst().Capped(Usage{Input: math.MaxUint64, Output: uint64(len(message))})
}

// MessageRoom is the longest message that p leaves room for, in bytes.
func (p Params) MessageRoom() int {
	return int(min(maxMessage, messageFrame+tokenBytes*min(p.MaxTokens, MaxAnswer)))
}

// ErrUsage says that a provider counts more than an answer can have.
var ErrUsage = errors.New("the provider counts more tokens than the answer can have")

// Fits reports what no answer to r may be, whoever gave it: of another form than
// was asked for, longer than allowed, or billed for more than it can have.
func (r Request) Fits(a Answer) error {
	if r.Chat == "" {
		if a.Message != "" || a.Usage != nil {
			return errors.New("answer: text came for a request in tokens")
		}
		return nil
	}
	switch {
	case len(a.Tokens)+len(a.Logprobs) > 0:
		return errors.New("answer: tokens came for a request in text")
	case a.Usage == nil:
		return errors.New("answer: the provider does not say how many tokens it has")
	case len(a.Message) > r.Params.MessageRoom():
		return fmt.Errorf("answer: its %d bytes are more than %d tokens can have", len(a.Message), r.Params.MaxTokens)
	}
	if _, _, err := ReadMessage(a.Message); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if most := r.MostFor(a.Message); !a.Usage.Within(most) {
		return fmt.Errorf("answer: %w: %d in and %d out, and at most %d and %d", ErrUsage, a.Usage.Input, a.Usage.Output, most.Input, most.Output)
	}
	return nil
}

// NewMessage is the canonical message of a text and the tools that it calls, if
// there are any.
func NewMessage(content string, calls []any) string {
	return Message{Content: content, Calls: calls}.Encode()
}

// ReadMessage reads text and calls of a message.
func ReadMessage(message string) (content string, calls []any, err error) {
	m, err := DecodeMessage(message)
	return m.Content, m.Calls, err
}

// chatFields are what the text of a request may say; all else that steers an
// answer is in Params.
var chatFields = []string{"messages", "response_format", "tool_choice", "tools"}

// validateChat reports what is wrong with the text of a request.
func (r Request) validateChat() error {
	switch {
	case len(r.Tokens) > 0:
		return errors.New("request: it is in tokens or in text, not both")
	case r.Params.Logprobs > 0:
		return errors.New("request: a declared model shows no log-probabilities")
	case len(r.Chat) > MaxChat:
		return fmt.Errorf("request: text has more than %d bytes", MaxChat)
	}
	v, err := canon.CheckJSON([]byte(r.Chat))
	if err != nil {
		return fmt.Errorf("request: text: %w", err)
	}
	chat, _ := v.(map[string]any)
	for _, field := range slices.Sorted(maps.Keys(chat)) {
		if !slices.Contains(chatFields, field) {
			return fmt.Errorf("request: text has the field %.64q, and may have %s", field, strings.Join(chatFields, ", "))
		}
	}
	messages, _ := chat["messages"].([]any)
	if len(messages) == 0 {
		return errors.New("request: text has no messages")
	}
	for _, m := range messages {
		message, _ := m.(map[string]any)
		parts, _ := message["content"].([]any)
		if !slices.ContainsFunc(parts, foreign) {
			continue
		}
		return errors.New("request: a part of a message is text, or an image or sound that comes with it (an image as a data: URL)")
	}
	return nil
}

// references are the keys under which a part of a message names its bytes
// elsewhere, unless they are in the URL itself.
var references = []string{"image_url", "video_url", "audio_url", "file", "file_url"}

// foreign reports a part of a message for which the provider's server might fetch
// what a stranger names.
func foreign(part any) bool {
	p, _ := part.(map[string]any)
	switch p["type"] {
	case "text", "refusal", "image_url", "input_audio":
	default:
		return true
	}
	return slices.ContainsFunc(references, func(key string) bool {
		v, named := p[key]
		if m, ok := v.(map[string]any); ok {
			v = m["url"]
		}
		url, _ := v.(string)
		return named && !strings.HasPrefix(url, "data:")
	})
}
