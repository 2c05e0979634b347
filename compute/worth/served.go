package worth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"daulat/core/canon"
	"daulat/core/receipt"
)

// Sizes of what a server is asked. The warm-up has it load the model.
const (
	servedWarmWords = 4
	servedWords     = 96
	servedAnswer    = 48
)

// MeasureServed times one short answer of a declared model, after a shorter one for
// which its server loads it. Tokens are those that are billed: as the server reports
// them, within what the ledger's rules allow. A seed that was used before
// measures what the server remembers of its prompt.
func (b Bench) MeasureServed(ctx context.Context, m Model, id canon.CID, seed uint64) (Speed, error) {
	return b.limited(ctx, func(ctx context.Context) (Speed, error) {
		_, err := b.served(ctx, m, servedRequest(id, seed, servedWarmWords, warmAnswer))
		if err != nil && !errors.Is(err, ErrTerse) {
			return Speed{}, err
		}
		return b.served(ctx, m, servedRequest(id, seed+1, servedWords, servedAnswer))
	})
}

// served times one answer. The first piece ends the prefill; of an answer in one
// piece that can't be told, so all of its time counts as either.
func (b Bench) served(ctx context.Context, m Model, r receipt.Request) (Speed, error) {
	began := b.Clock()
	first, last, pieces := began, began, 0
	a, err := m.Generate(ctx, r, func(receipt.Token) error {
		last = b.Clock()
		if pieces++; pieces == 1 {
			first = last
		}
		return nil
	})
	if err != nil {
		return Speed{}, err
	}
	bill := r.Bill(a)
	if bill.Output < 2 {
		return Speed{}, ErrTerse
	}
	if bill.Input == 0 { // it does not count: a word is a token or more
		bill.Input = uint64(len(strings.Fields(r.Chat)))
	}
	s := Speed{Prompt: bill.Input, Answer: r.Params.MaxTokens, Rounds: 1}
	if pieces < 2 {
		whole := b.Clock() - began
		s.Prefill, s.Decode = rate(int(bill.Input), whole), rate(int(bill.Output), whole)
		return s, nil
	}
	s.Prefill, s.Decode = rate(int(bill.Input), first-began), rate(int(bill.Output-1), last-first)
	return s, nil
}

// servedRequest asks for a long text about drawn numbers: what it says does not count.
func servedRequest(model canon.CID, seed uint64, words, answer int) receipt.Request {
	random := rand.New(rand.NewPCG(seed, 0x776f727468))
	var text strings.Builder
	for range words {
		fmt.Fprintf(&text, "%d ", random.Uint32N(10_000))
	}
	text.WriteString("Write a long story about these numbers.")
	chat := canon.JSON(map[string]any{"messages": []any{map[string]any{"role": "user", "content": text.String()}}})
	return receipt.Request{Version: canon.Version, Key: canon.PublicKey{1}, Counter: seed, Model: model, Chat: string(chat),
		Params: receipt.Params{MaxTokens: uint64(answer), Temperature: 1 << 16, TopP: receipt.MaxTopP}}
}
