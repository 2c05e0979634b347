package receipt

import (
	"errors"
	"fmt"

	"daulat/core/canon"
)

// Message is what a declared model answers.
type Message struct {
	Content   string
	Reasoning string // what the model thought before, if its server shows that
	Calls     []any  // of tools, if there are any
}

// Encode returns the canonical text. What there is nothing of is left out, so a
// message without reasoning has the bytes that it always had.
func (m Message) Encode() string {
	fields := map[string]any{"content": m.Content}
	if m.Reasoning != "" {
		fields["reasoning_content"] = m.Reasoning
	}
	if len(m.Calls) > 0 {
		fields["tool_calls"] = m.Calls
	}
	return string(canon.JSON(fields))
}

// DecodeMessage reads what Encode wrote.
func DecodeMessage(text string) (Message, error) {
	v, err := canon.CheckJSON([]byte(text))
	if err != nil {
		return Message{}, fmt.Errorf("message: %w", err)
	}
	fields, _ := v.(map[string]any)
	var m Message
	var told bool
	m.Content, told = fields["content"].(string)
	m.Reasoning, _ = fields["reasoning_content"].(string)
	m.Calls, _ = fields["tool_calls"].([]any)
	known := 1
	if m.Reasoning != "" {
		known++
	}
	if len(m.Calls) > 0 {
		known++
	}
	if !told || len(fields) != known {
		return Message{}, errors.New("message: it has a text, what was thought before and the tools that it calls, if any, and nothing else")
	}
	return m, nil
}
