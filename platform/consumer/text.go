package consumer

import (
	"errors"
	"fmt"
	"strings"

	"daulat/core/canon"
	"daulat/core/receipt"
	wire "daulat/link/session"
)

// receiveText reads a declared model's answer up to its receipt. A provider that
// sends more than max tokens can have is cut off.
func receiveText(c wire.Conn, p receipt.Params, token func(receipt.Token) error) (receipt.Answer, wire.Done, error) {
	a := receipt.Answer{Tokens: []uint32{}}
	var text, reasoning strings.Builder
	var calls []any
	for {
		var r wire.Reply
		if err := c.Receive(&r); err != nil {
			return a, wire.Done{}, fmt.Errorf("provider broke off after %d bytes: %w", text.Len()+reasoning.Len(), err)
		}
		switch {
		case r.Refused != nil:
			return a, wire.Done{}, r.Refused
		case r.Done != nil:
			a.Finish, a.Usage = r.Done.Finish, r.Done.Usage
			a.Message = receipt.Message{Content: text.String(), Reasoning: reasoning.String(), Calls: calls}.Encode()
			return a, *r.Done, nil
		case r.Calls != "" && calls == nil:
			var err error
			if calls, err = readCalls(r.Calls); err != nil {
				return a, wire.Done{}, fmt.Errorf("provider calls no tools that can be read: %w", err)
			}
			continue
		case r.Text == "" && r.Reasoning == "" || calls != nil:
			return a, wire.Done{}, errors.New("provider sent a reply that is no text")
		}
		t := receipt.Token{Text: r.Text, Reasoning: r.Reasoning}
		if text.Len()+reasoning.Len()+t.Size() > p.MessageRoom() {
			return a, wire.Done{}, fmt.Errorf("provider sent more text than the %d tokens asked for can have", p.MaxTokens)
		}
		text.WriteString(t.Text)
		reasoning.WriteString(t.Reasoning)
		if err := token(t); err != nil {
			return a, wire.Done{}, err
		}
	}
}

func readCalls(text string) ([]any, error) {
	v, err := canon.CheckJSON([]byte(text))
	calls, _ := v.([]any)
	if err == nil && len(calls) == 0 {
		err = errors.New("not a list of calls")
	}
	return calls, err
}
