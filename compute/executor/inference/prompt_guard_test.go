package inference

import (
	"errors"
	"testing"

	"daulat/core/receipt"
)

func TestPromptMustFit(t *testing.T) {
	const context, vocabulary = 4, 10
	if err := fits(receipt.Request{Tokens: []uint32{0, 9, 5}}, context, vocabulary); err != nil {
		t.Fatal(err)
	}
	for name, tokens := range map[string][]uint32{
		"a prompt that fills the context": {1, 2, 3, 4},
		"a prompt beyond the context":     {1, 2, 3, 4, 5},
		"a token outside the vocabulary":  {1, 10},
		"the highest token":               {1, 1<<32 - 1},
	} {
		if err := fits(receipt.Request{Tokens: tokens}, context, vocabulary); !errors.Is(err, ErrPrompt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
