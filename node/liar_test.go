package node

import (
	"errors"
	"fmt"
	"testing"

	"daulat/platform/consumer"
	"daulat/platform/gateway"
)

// TestLiarIsAskedAgain: an honest answer is no end before the third, and anything
// else is one at once.
func TestLiarIsAskedAgain(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		answers []error // nil is a lie
		want    error
		asked   int
	}{
		"at once":      {[]error{nil}, nil, 1},
		"second":       {[]error{errHonest, nil}, nil, 2},
		"third":        {[]error{errHonest, fmt.Errorf("again: %w", errHonest), nil}, nil, 3},
		"never":        {[]error{errHonest, errHonest, errHonest, nil}, errHonest, 3},
		"broken":       {[]error{broken, nil}, broken, 1},
		"broken later": {[]error{errHonest, broken, nil}, broken, 2},
	} {
		asked := 0
		receipt, err := caught(func() (string, error) {
			asked++
			if c.answers[asked-1] != nil {
				return "", c.answers[asked-1]
			}
			return "7-1", nil
		})
		if !errors.Is(err, c.want) || asked != c.asked || (receipt == "7-1") != (c.want == nil) {
			t.Errorf("%s: asked %d times, %q, %v", name, asked, receipt, err)
		}
	}
}

// TestLieOf: only the liar's own true answer says that the altered tensor
// changed nothing, whoever else may sell here.
func TestLieOf(t *testing.T) {
	lie := fmt.Errorf("ask: %w", &consumer.LieError{Receipt: "7-1"})
	if receipt, err := lieOf("liar", gateway.Result{}, lie); receipt != "7-1" || err != nil {
		t.Errorf("a lie: %q, %v", receipt, err)
	}
	if _, err := lieOf("liar", gateway.Result{Provider: "somebody"}, nil); !errors.Is(err, errHonest) {
		t.Errorf("another provider's answer: %v", err)
	}
	if _, err := lieOf("liar", gateway.Result{Provider: "liar"}, nil); err == nil || errors.Is(err, errHonest) {
		t.Errorf("the liar's true answer: %v", err)
	}
	broken := errors.New("broken")
	if _, err := lieOf("liar", gateway.Result{}, broken); err != broken {
		t.Errorf("no answer: %v", err)
	}
}
