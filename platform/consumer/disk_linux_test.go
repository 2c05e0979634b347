package consumer_test

import (
	"errors"
	"testing"

	wire "daulat/link/session"
	"daulat/link/session/sessiontest"
)

// TestFullDiskIsNoProvidersFault: a request that the asker's own disk had no room
// for goes nowhere else, and the error says why.
func TestFullDiskIsNoProvidersFault(t *testing.T) {
	s := start(t)
	x := s.sells("seller", 1)
	s.buy(1, 3)
	back := sessiontest.FillDisk(t, s.path)
	_, err := s.try(s.ctx, 1, 3)
	back()
	var broken *wire.BrokenError
	if !errors.As(err, &broken) || broken.Path != s.path {
		t.Errorf("it failed with %v", err)
	}
	if n := len(x.vouchers()); n != 1 {
		t.Errorf("%d vouchers left, and one is on disk", n)
	}
	if _, err := s.account.Order(s.ctx, 2); !errors.Is(err, sessiontest.ErrUnknown) {
		t.Errorf("another order was placed: %v", err)
	}
}
