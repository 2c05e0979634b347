package validator_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"daulat/ledger/client"
	"daulat/ledger/validator"
)

// clockLimit bounds what would otherwise never happen.
const clockLimit = time.Minute

// begin is Start by a clock that is so much behind.
func begin(t *testing.T, c validator.Config, behind *atomic.Int64) (v *validator.Validator, err error) {
	t.Helper()
	began := make(chan struct{})
	go func() {
		defer close(began)
		v, err = validator.Start(t.Context(), c.By(func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) }))
	}()
	select {
	case <-began:
		return v, err
	case <-time.After(clockLimit):
		t.Fatal("the node neither starts nor says why")
	}
	return nil, nil
}

// TestClockBehindTheLedger: minutes are nothing, and hours are one sentence, be it at a
// start or later.
func TestClockBehindTheLedger(t *testing.T) {
	var behind atomic.Int64
	s := foundAhead(t, 1, 5*time.Minute)
	c := s.config(s.homes[0])
	refused := func(what string) {
		t.Helper()
		v, err := begin(t, c, &behind)
		if v != nil {
			stop(t, v)
		}
		if !errors.Is(err, client.ErrBehind) || errors.Is(err, client.ErrHalted) {
			t.Errorf("%s: %v", what, err)
		}
	}
	behind.Store(int64(2 * time.Hour))
	refused("before the first block")
	behind.Store(0)
	v, err := begin(t, c, &behind)
	if err != nil {
		t.Fatal(err)
	}
	reach(t, 5, v)
	stop(t, v)
	s = foundAhead(t, 1, -3*time.Hour) // so that the genesis is no reason
	c = s.config(s.homes[0])
	if v, err = begin(t, c, &behind); err != nil {
		t.Fatal(err)
	}
	reach(t, 5, v)
	behind.Store(int64(2 * time.Hour))
	select {
	case <-v.Halted():
		if err := v.Err(); !errors.Is(err, client.ErrBehind) || !errors.Is(err, client.ErrHalted) {
			t.Errorf("set back: %v", err)
		}
	case <-time.After(clockLimit):
		t.Error("a node whose clock is set back by hours says nothing")
	}
	stop(t, v)
	refused("after some blocks")
}
