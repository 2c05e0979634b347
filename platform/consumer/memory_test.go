package consumer

import (
	"fmt"
	"log/slog"
	"testing"

	"daulat/core/match"
)

// A thousand providers that are heard of once don't fill the memory, and the newest
// of them are what is kept.
func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(nil, slog.New(slog.DiscardHandler))
	for i := range 2 * maxRemembered {
		provider := fmt.Sprintf("p%04d", i)
		m.note(provider, match.Facts.Broke)
		m.update(provider, func(r *Remembered) { r.Seen = int64(i) })
	}
	if len(m.kept.Providers) != maxRemembered {
		t.Errorf("%d are remembered", len(m.kept.Providers))
	}
	if _, old := m.kept.Providers["p0000"]; old {
		t.Error("the oldest is remembered")
	}
}
