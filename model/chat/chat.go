// Package chat turns a conversation into the text that a model expects, by
// running the chat template that came with the model.
//
// Templates are written in Jinja2 and come from strangers, so this is an
// interpreter of its own for the part of Jinja2 that templates use, with
// trim_blocks and lstrip_blocks on as the templates assume. A template can
// reach nothing but its input, and is bounded in size, steps, depth and output:
// a hostile one ends in one error, soon. Floats, `**`, `/`, import, include,
// extends, call, filter and raw are refused by name.
//
// Every string knows which of its bytes came from a message. RenderSegments
// hands that on, so that the tokenizer recognises the template's own control
// tokens and never those that a user typed. Operations that only cut or join
// keep the knowledge byte by byte; after any other the whole result counts as
// untrusted.
//
// A Template is immutable and safe for concurrent use. Start at Parse and
// Template.RenderSegments.
package chat

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"daulat/model/tokenizer"
)

// Limits on a template and one run of it.
const (
	MaxTemplate = 128 << 10 // bytes of source
	MaxOutput   = 1 << 20   // bytes of output, of any string on the way, and of all messages
	MaxSteps    = 1_000_000 // evaluated nodes, plus one for every 64 bytes or 4 items made
	MaxDepth    = 200       // nested expressions, statements and macro calls
	MaxMessages = 10_000
)

// Message is one turn of a conversation. Both fields are untrusted.
type Message struct {
	Role, Content string
}

// Input is what a template may see. BOS and EOS are the texts of the model's
// tokens and are trusted. Date is what strftime_now formats; the caller fixes
// it, so that a prompt can be rendered again.
type Input struct {
	Messages            []Message
	AddGenerationPrompt bool
	BOS, EOS            string
	Date                time.Time
}

// Segment is a stretch of output, trusted unless a message has shaped it.
type Segment = tokenizer.Segment

// Template is a parsed chat template.
type Template struct {
	body []stmt
}

// Parse checks the syntax of a template.
func Parse(src string) (*Template, error) {
	if len(src) > MaxTemplate {
		return nil, fmt.Errorf("chat template is longer than %d bytes", MaxTemplate)
	}
	if !utf8.ValidString(src) {
		return nil, errors.New("chat template is not valid UTF-8")
	}
	tokens, err := lex(src)
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	p := parser{tokens: tokens}
	body, err := p.block()
	if err == nil && p.peek().kind != tokEOF {
		err = p.fail("unexpected tag %q", p.peekAt(1).text)
	}
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	return &Template{body}, nil
}

// Render is the text of the conversation, as one string.
func (t *Template) Render(in Input) (string, error) {
	segments, err := t.RenderSegments(in)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, s := range segments {
		b.WriteString(s.Text)
	}
	return b.String(), nil
}

// RenderSegments is the text of the conversation, cut where trust changes.
func (t *Template) RenderSegments(in Input) ([]Segment, error) {
	messages, err := in.messages()
	if err != nil {
		return nil, err
	}
	r := &run{date: in.Date}
	globals := &scope{vars: map[string]value{
		"messages":              messages,
		"add_generation_prompt": in.AddGenerationPrompt,
		"bos_token":             literal(in.BOS),
		"eos_token":             literal(in.EOS),
	}}
	for name, f := range globalFunctions {
		globals.vars[name] = f
	}
	if _, err := r.execAll(t.body, &scope{vars: map[string]value{}, parent: globals}); err != nil {
		return nil, fmt.Errorf("chat template line %d: %w", r.line, err)
	}
	return r.out.segments(), nil
}

func (in Input) messages() (*list, error) {
	if len(in.Messages) > MaxMessages {
		return nil, fmt.Errorf("conversation has more than %d messages", MaxMessages)
	}
	total, out := 0, &list{}
	for i, m := range in.Messages {
		if total += len(m.Role) + len(m.Content); total > MaxOutput {
			return nil, fmt.Errorf("conversation is longer than %d bytes", MaxOutput)
		}
		if !utf8.ValidString(m.Role) || !utf8.ValidString(m.Content) {
			return nil, fmt.Errorf("message %d is not valid UTF-8", i)
		}
		d := &dict{}
		d.set("role", untrusted(m.Role))
		d.set("content", untrusted(m.Content))
		out.items = append(out.items, d)
	}
	return out, nil
}
