package validator

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"daulat/ledger/client"
)

// TestBlocksOfTheFuture: a node that catches up ends over one, and one whose consensus
// ended over one says so; but a proposer can claim any time, so a proposal ends nothing.
func TestBlocksOfTheFuture(t *testing.T) {
	now := time.Now()
	early := fmt.Errorf("block time %v is too far in the future (wall clock %v + tolerance %v)", now.Add(2*time.Hour).UTC(), now, client.ClockDrift)
	for name, row := range map[string]struct {
		message      string
		err          error
		ends, behind bool
	}{
		"catching up":                {unfit, early, true, true},
		"catching up with a bad one": {unfit, errors.New("wrong Block.Header.AppHash"), false, false},
		"a proposal":                 {"prevote step: consensus deems this block invalid; prevoting nil", early, false, false},
		"consensus":                  {halting, fmt.Errorf("+2/3 committed an invalid block: %w", early), false, true},
		"consensus, for a bad one":   {halting, errors.New("wrong Block.Header.AppHash"), false, false},
	} {
		h := &halt{done: make(chan struct{})}
		r := slog.NewRecord(now, slog.LevelError, row.message, 0)
		r.AddAttrs(slog.Any("err", row.err))
		h.notice(r)
		if ended := h.err(); (ended != nil) != row.ends || row.ends && !errors.Is(ended, client.ErrBehind) {
			t.Errorf("%s: ended with %v", name, ended)
		}
		if h.end(h.sentence()); errors.Is(h.err(), client.ErrBehind) != row.behind {
			t.Errorf("%s: %v", name, h.err())
		}
	}
}
