package inference

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"daulat/core/canon"
	"daulat/core/receipt"
)

// maxCalls bounds how many tools one answer calls.
const maxCalls = 128

// telling is one answer of a server as it comes in.
type telling struct {
	request receipt.Request
	emit    func(receipt.Token) error
	failed  error // emit's

	text, thought []byte
	held          receipt.Token // not emitted yet, so that no more pieces come than there may be tokens
	size          int           // of the message so far, escaped as JSON
	pieces        uint64        // emitted
	deltas        uint64        // with text, reasoning or calls: the tokens, where the server counts none
	calls         []call
	finish        string
	usage         *receipt.Usage
	full          bool // the message has no more room
}

type call struct {
	id, name  string
	arguments []byte
}

// chunk is what matters of one event.
type chunk struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
			// Reasoning has the first name at llama.cpp, vLLM and DeepSeek, and the other
			// one at Ollama; some send both.
			Reasoning words       `json:"reasoning_content"`
			Thinking  words       `json:"reasoning"`
			Calls     []callDelta `json:"tool_calls"`
		} `json:"delta"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Input  uint64 `json:"prompt_tokens"`
		Output uint64 `json:"completion_tokens"`
	} `json:"usage"`
	Error json.RawMessage `json:"error"`
}

// words is a text, or empty for anything else.
type words string

// UnmarshalJSON implements json.Unmarshaler.
func (w *words) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*w = words(s)
	}
	return nil
}

type callDelta struct {
	Index    int    `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// event takes one event, and reports whether it was the last.
func (t *telling) event(data []byte) (last bool, err error) {
	if bytes.Equal(data, []byte("[DONE]")) {
		return true, nil
	}
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return false, fmt.Errorf("an event can't be read: %w", err)
	}
	if len(c.Error) > 0 && string(c.Error) != "null" {
		return false, fmt.Errorf("it broke off: %.200s", c.Error)
	}
	if c.Usage != nil {
		t.usage = &receipt.Usage{Input: c.Usage.Input, Output: c.Usage.Output}
	}
	if len(c.Choices) == 0 {
		return false, nil
	}
	choice := c.Choices[0]
	if choice.Finish != "" {
		t.finish = choice.Finish
	}
	delta := choice.Delta
	said := receipt.Token{Text: delta.Content, Reasoning: string(cmp.Or(delta.Reasoning, delta.Thinking))}
	if said.Size() > 0 {
		if err := t.say(said); err != nil {
			return false, err
		}
	}
	for _, d := range delta.Calls {
		if err := t.call(d); err != nil {
			return false, err
		}
	}
	return t.full, nil
}

// take reports whether the message has room for so much more.
func (t *telling) take(size int) bool {
	const braces = 64 // of the message itself
	t.full = t.full || t.size+size+braces > t.request.Params.MessageRoom()
	if !t.full {
		t.size += size
	}
	return !t.full
}

func (t *telling) say(said receipt.Token) error {
	t.deltas++
	if !t.take(len(canon.JSON(said.Text)) + len(canon.JSON(said.Reasoning))) {
		return nil
	}
	t.text, t.thought = append(t.text, said.Text...), append(t.thought, said.Reasoning...)
	if t.pieces+1 >= t.request.Params.MaxTokens {
		t.held.Text += said.Text
		t.held.Reasoning += said.Reasoning
		return nil
	}
	return t.pass(said)
}

func (t *telling) pass(said receipt.Token) error {
	t.pieces++
	t.failed = t.emit(said)
	return t.failed
}

func (t *telling) call(d callDelta) error {
	t.deltas++
	if d.Index < 0 || d.Index > len(t.calls) || d.Index >= maxCalls {
		return errors.New("it calls tools out of order")
	}
	const fields = 80 // of one call's JSON
	size := len(canon.JSON(d.ID)) + len(canon.JSON(d.Function.Name)) + len(canon.JSON(d.Function.Arguments))
	if d.Index == len(t.calls) {
		t.calls = append(t.calls, call{})
		size += fields
	}
	if !t.take(size) {
		return nil
	}
	c := &t.calls[d.Index]
	c.id, c.name = c.id+d.ID, c.name+d.Function.Name
	c.arguments = append(c.arguments, d.Function.Arguments...)
	return nil
}

// end is the answer, once the last event was there.
func (t *telling) end() (receipt.Answer, error) {
	if t.held.Size() > 0 {
		if err := t.pass(t.held); err != nil {
			return receipt.Answer{}, err
		}
	}
	calls := make([]any, len(t.calls))
	for i, c := range t.calls {
		calls[i] = map[string]any{"id": c.id, "type": "function", "function": map[string]any{"name": c.name, "arguments": string(c.arguments)}}
	}
	a := receipt.Answer{Tokens: []uint32{}, Finish: t.reason(), Message: receipt.Message{Content: string(t.text), Reasoning: string(t.thought), Calls: calls}.Encode()}
	counted := receipt.Usage{Output: t.deltas} // where the server says nothing
	if t.usage != nil {
		counted = *t.usage
	}
	bill := counted.Capped(t.request.MostFor(a.Message))
	a.Usage = &bill
	return a, nil
}

func (t *telling) reason() receipt.Finish {
	switch {
	case t.full || t.finish == "length":
		return receipt.FinishLength
	case len(t.calls) > 0:
		return receipt.FinishTools
	}
	return receipt.FinishStop
}
