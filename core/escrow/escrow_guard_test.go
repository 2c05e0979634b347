package escrow_test

import (
	"errors"
	"math"
	"testing"

	"daulat/core/escrow"
)

func TestSettleTakesNoMoreThanIsLocked(t *testing.T) {
	a, refund, err := escrow.Lock(10).Settle(7)
	if err != nil || refund != 3 || a.Withheld != 7 || a.Locked != 0 || !a.Balanced() {
		t.Fatal(a, refund, err)
	}
	for _, account := range []escrow.Account{escrow.Lock(10), a} {
		after, refund, err := account.Settle(account.Locked + 1)
		if !errors.Is(err, escrow.ErrInsufficient) || after != account || refund != 0 {
			t.Errorf("settling one too many of %+v gives %+v, %d, %v", account, after, refund, err)
		}
	}
}

func TestTopUpOverflow(t *testing.T) {
	full := escrow.Lock(math.MaxUint64)
	if after, err := full.TopUp(1); !errors.Is(err, escrow.ErrOverflow) || after != full {
		t.Errorf("one too many gives %+v, %v", after, err)
	}
	if a, err := escrow.Lock(5).TopUp(6); err != nil || a.Locked != 11 || !a.Balanced() {
		t.Errorf("a top-up gives %+v, %v", a, err)
	}
}

func TestReleasePaysOnce(t *testing.T) {
	a, _, err := escrow.Lock(10).Settle(7)
	if err != nil {
		t.Fatal(err)
	}
	a, first := a.Release()
	a, again := a.Release()
	if first != 7 || again != 0 || a.Paid != 7 || !a.Balanced() {
		t.Errorf("released %d, then %d: %+v", first, again, a)
	}
}

func TestBalancedCannotWrap(t *testing.T) {
	if (escrow.Account{Deposited: 1, Locked: math.MaxUint64, Withheld: 2}).Balanced() {
		t.Error("parts that wrap around to the sum pass as balanced")
	}
}
