package consumer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/link"
)

// idle is a ledger on which nobody takes an order; each transaction waits for
// the next block.
type idle struct {
	Ledger
	excluded [][]string // of the orders
}

const block = 600 * time.Millisecond

func (l *idle) PlaceOrder(_ context.Context, _ canon.PublicKey, t job.Terms) (uint64, error) {
	time.Sleep(block)
	l.excluded = append(l.excluded, t.Excluded)
	return uint64(len(l.excluded)), nil
}

// Market is full of offers whose machines don't answer.
func (*idle) Purse(context.Context) (uint64, error) { return 1 << 40, nil }

func (*idle) Market(_ context.Context, model canon.CID) (all []match.Candidate, err error) {
	for i := range 100 {
		all = append(all, match.Candidate{Offer: match.Offer{Provider: fmt.Sprint(i), Model: model, Slots: 1}})
	}
	return all, nil
}

type deafPeers struct{}

func (deafPeers) DialKey(ctx context.Context, _ canon.PublicKey, _ []string, _ string) (*link.Stream, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (*idle) Order(_ context.Context, id uint64) (job.Order, error) {
	return job.Order{ID: id, State: job.OrderOpen, Explanation: "1 of 1 is excluded"}, nil
}

func (*idle) CancelOrder(context.Context, uint64) error {
	time.Sleep(block)
	return nil
}

// TestReasonComesWithinFiveSeconds: that nobody takes an order is said in time,
// by the bubble's clock, also where a provider that failed is asked once more.
func TestReasonComesWithinFiveSeconds(t *testing.T) {
	key, err := canon.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		shunned map[string]shun
		orders  int
	}{
		"nobody failed":      {nil, 1},
		"one failed":         {map[string]shun{"p": {until: time.Now().AddDate(99, 0, 0)}}, 2},
		"one lied":           {map[string]shun{"p": {until: time.Now().AddDate(99, 0, 0), lied: true}}, 1},
		"one of each of two": {map[string]shun{"p": {until: time.Now().AddDate(99, 0, 0)}, "q": {until: time.Now().AddDate(99, 0, 0), lied: true}}, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			ledger := &idle{}
			client := New(Config{Ledger: ledger, Link: deafPeers{}, Key: key, Log: slog.New(slog.DiscardHandler)})
			for provider, s := range c.shunned {
				client.shunned[provider] = s
			}
			model := canon.NewCID(canon.DagCBOR, canon.Hash{1})
			client.resumed[model] = true
			begun := time.Now()
			_, err := client.take(t.Context(), job.Terms{Model: model}, Prompt{})
			var none *NoMatchError
			if !errors.As(err, &none) || none.Order != uint64(c.orders) || len(ledger.excluded) != c.orders {
				t.Fatalf("%s: %v after %d orders, want %d", name, err, len(ledger.excluded), c.orders)
			}
			if took := time.Since(begun); took < matchWait || took > 5*time.Second {
				t.Errorf("%s: the reason comes after %v", name, took)
			}
			if first := ledger.excluded[0]; len(first) != len(c.shunned) {
				t.Errorf("%s: the first order excludes %v", name, first)
			}
		})
	}
}
