package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/ledger/client"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
	"daulat/platform/gateway/openai"
)

func asked(prompt, most int) consumer.Prompt {
	return consumer.Prompt{Tokens: make([]uint32, prompt), Params: receipt.Params{MaxTokens: uint64(most), TopP: receipt.MaxTopP}}
}

// The exposure step carries the longest answer that fits the model, and hardly
// more; the escrow is a few of them.
func TestStepIsTheLongestAnswer(t *testing.T) {
	model := canon.NewCID(canon.DagCBOR, canon.Hash{1})
	for _, context := range []uint64{1, 128, 8192, 1 << 20, ^uint64(0)} {
		got, err := terms(model, context)
		if err != nil || got.Validate() != nil {
			t.Fatalf("context %d: %+v, %v", context, got, err)
		}
		prompt, answer := min(context, receipt.MaxPrompt), min(context, receipt.MaxAnswer)
		if want := (prompt*ceilingInput + answer*ceilingOutput + 999) / 1000; got.Step != want || got.Escrow != 8*want {
			t.Errorf("context %d: step %d, escrow %d, longest answer %d", context, got.Step, got.Escrow, want)
		}
	}
}

func TestRequestFitsTheContext(t *testing.T) {
	model := canon.NewCID(canon.DagCBOR, canon.Hash{1})
	for _, c := range []struct{ prompt, most, want int }{{10, 20, 20}, {10, 90, 90}, {10, 91, 90}, {99, 5000, 1}} {
		got, err := fit(model, 100, asked(c.prompt, c.most), "prompt")
		if err != nil || got.Params.MaxTokens != uint64(c.want) {
			t.Errorf("%+v: %d tokens, %v", c, got.Params.MaxTokens, err)
		}
	}
	var refused gateway.ErrPrompt
	if _, err := fit(model, 100, asked(100, 1), "prompt"); !errors.As(err, &refused) || refused.Code != "context_length_exceeded" {
		t.Errorf("a prompt as long as the context: %v", err)
	}
}

// TestUnreachedIsSaid: who asks while nobody of the network is reached is told so, and
// not to look into a log.
func TestUnreachedIsSaid(t *testing.T) {
	rpc, err := client.Over(func(context.Context) (net.Conn, error) { return nil, errors.New("network is unreachable") })
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = client.New(client.NewPeers([]client.Peer{{Name: "friend", RPC: rpc}}), "ledger", nil).Status(t.Context())
	var said *openai.Error
	if !errors.As(translate(fmt.Errorf("list offers: %w", err), false), &said) || said.Code != "network_unreached" || !strings.Contains(said.Message, nobody) {
		t.Errorf("%v is told as %v", err, said)
	}
	if err := translate(errors.New("disk full"), false); errors.As(err, &said) && said.Code == "network_unreached" {
		t.Errorf("another error is told as %v", said)
	}
}

// TestRefusedPinIsToBeChanged: another model helps nobody who named who may answer it.
func TestRefusedPinIsToBeChanged(t *testing.T) {
	for pinned, want := range map[bool]string{true: "name other providers, or none", false: "another model"} {
		err := translate(&consumer.NoMatchError{Order: 7, Explanation: "of 2 offers 2 are not named"}, pinned)
		if !errors.As(err, new(gateway.ErrNoProvider)) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "another model") == pinned {
			t.Errorf("pinned %t: %v", pinned, err)
		}
	}
}
