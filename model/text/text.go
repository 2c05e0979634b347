// Package text is the words of a model: the tokenizer and chat template that
// its GGUF file carries, bound together. A consumer needs it to turn a
// conversation into the token IDs it signs, a provider to see where a stop
// string ends an answer; neither needs the weights for that.
//
// Guarantee: what a message says never becomes a control token.
package text

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"daulat/model/chat"
	"daulat/model/gguf"
	"daulat/model/tokenizer"
)

// Text is a model's tokenizer and chat template, safe for concurrent use.
type Text struct {
	*tokenizer.Tokenizer
	template *chat.Template // nil where the file has none
	bos, eos string
}

// TemplateDate is the day that chat templates are told, so that the same
// conversation gives the same tokens on every day.
var TemplateDate = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// ErrNoTemplate says that a model can complete text but not chat.
var ErrNoTemplate = errors.New("model has no chat template")

// FromGGUF reads the tokenizer and the chat template of f, which may be closed
// afterwards.
func FromGGUF(f *gguf.File) (*Text, error) {
	v := vocabulary(f)
	tok, err := tokenizer.New(v)
	if err != nil {
		return nil, err
	}
	t := &Text{Tokenizer: tok, bos: name(tok, v.BOS), eos: name(tok, v.EOS)}
	if src, ok := f.String("tokenizer.chat_template"); ok {
		if t.template, err = chat.Parse(src); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func vocabulary(f *gguf.File) tokenizer.Vocabulary {
	var v tokenizer.Vocabulary
	v.Model, _ = f.String("tokenizer.ggml.model")
	v.Pre, _ = f.String("tokenizer.ggml.pre")
	v.Tokens, _ = f.Strings("tokenizer.ggml.tokens")
	v.Merges, _ = f.Strings("tokenizer.ggml.merges")
	v.Scores, _ = f.Floats("tokenizer.ggml.scores")
	types, _ := f.Ints("tokenizer.ggml.token_type")
	for _, t := range types {
		v.Types = append(v.Types, int32(t))
	}
	v.BOS = id(f, "tokenizer.ggml.bos_token_id")
	v.EOS = id(f, "tokenizer.ggml.eos_token_id")
	v.EOT = id(f, "tokenizer.ggml.eot_token_id")
	v.Unknown = id(f, "tokenizer.ggml.unknown_token_id")
	v.AddBOS, _ = f.Bool("tokenizer.ggml.add_bos_token")
	return v
}

func id(f *gguf.File, key string) int64 {
	n, ok := f.Uint(key)
	if !ok {
		return -1
	}
	return int64(min(n, 1<<62))
}

func name(t *tokenizer.Tokenizer, id int64) string {
	if id < 0 {
		return ""
	}
	s, _ := t.Token(uint32(id))
	return s
}

// Chat renders a conversation, ready for the model's turn, as token IDs.
func (t *Text) Chat(messages []chat.Message) ([]uint32, error) {
	if t.template == nil {
		return nil, ErrNoTemplate
	}
	parts, err := t.template.RenderSegments(chat.Input{Messages: messages, AddGenerationPrompt: true,
		BOS: t.bos, EOS: t.eos, Date: TemplateDate})
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	segments := make([]tokenizer.Segment, len(parts))
	for i, p := range parts {
		segments[i] = tokenizer.Segment{Text: p.Text, Trusted: p.Trusted}
	}
	return t.EncodeSegments(segments)
}

// Stops watches an answer for stop strings, token by token.
type Stops struct {
	decoder *tokenizer.Decoder
	stops   []string
	longest int
	tail    string // the end of the text so far, just long enough to hold a stop string's start
}

// Watch starts to watch an answer for stop strings.
func (t *Text) Watch(stops []string) *Stops {
	s := &Stops{decoder: t.Decoder(), stops: stops}
	for _, stop := range stops {
		s.longest = max(s.longest, len(stop))
	}
	return s
}

// Next takes the answer's next token and reports whether the text now holds a
// stop string.
func (s *Stops) Next(token uint32) bool {
	if len(s.stops) == 0 {
		return false
	}
	s.tail += s.decoder.Next(token)
	for _, stop := range s.stops {
		if strings.Contains(s.tail, stop) {
			return true
		}
	}
	s.tail = s.tail[max(0, len(s.tail)-s.longest+1):]
	return false
}
