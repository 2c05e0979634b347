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
	return r.Worst().Capped(Usage{Input: math.MaxUint64, Output: said(message)})
}

// said is how many bytes of a message its model can have written: the text, what it
// thought before, and the JSON of the calls, if there are any.
func said(message string) uint64 {
	m, err := DecodeMessage(message)
	if err != nil {
		return 0
	}
	size := uint64(len(m.Content) + len(m.Reasoning))
	if len(m.Calls) == 0 {
		return size
	}
	return size + uint64(len(canon.JSON(m.Calls)))
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
	if a.Finish == FinishCancelled && r.Bill(a).Output == 0 {
		return errors.New("answer: it was stopped before it began, and nothing is owed for it")
	}
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

// Cut is the answer to r that ended when these tokens, or stretches of text, had
// been passed on. A declared model's stretches count as a token each.
func (r Request) Cut(passed []Token) Answer {
	a := Answer{Tokens: []uint32{}, Finish: FinishCancelled}
	if r.Chat == "" {
		for _, t := range passed {
			a.Add(t)
		}
		return a
	}
	var text, reasoning strings.Builder
	for _, t := range passed {
		text.WriteString(t.Text)
		reasoning.WriteString(t.Reasoning)
	}
	a.Message = Message{Content: text.String(), Reasoning: reasoning.String()}.Encode()
	bill := Usage{Input: r.textTokens(), Output: uint64(len(passed))}.Capped(r.MostFor(a.Message))
	a.Usage = &bill
	return a
}

// textTokens is about how many tokens the text of a request has, where no server
// counts them: one for 4 bytes, and none for what comes as a data: URL.
func (r Request) textTokens() uint64 {
	const bytesPerToken = 4
	chat, err := canon.CheckJSON([]byte(r.Chat))
	if err != nil {
		return 0
	}
	return uint64(textBytes(chat)) / bytesPerToken
}

// textBytes is the length of all strings in v that are no data: URL.
func textBytes(v any) (sum int) {
	switch v := v.(type) {
	case string:
		if !strings.HasPrefix(v, "data:") {
			sum = len(v)
		}
	case []any:
		for _, part := range v {
			sum += textBytes(part)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			sum += textBytes(v[key])
		}
	}
	return sum
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
