package job

import (
	"fmt"

	"daulat/core/receipt"
)

// PurseShare is the part of a purse that one order locks at the most: beside a
// session there is room for its successor, and for another provider's if the first
// one dies.
const PurseShare = 3

// TooLittleError says that a purse can't pay for a request at the prices that its
// terms allow.
type TooLittleError struct{ Purse, Most uint64 } // udlt

func (e *TooLittleError) Error() string {
	return fmt.Sprintf("%d udlt are too little for a request that may cost up to %d", e.Purse, e.Most)
}

// Fund bounds what an order locks by what its consumer can spend, in udlt: by a
// part of that, but never by less than the first request may cost, whose most is
// given, so that the session carries it. The exposure step shrinks with it.
func (t Terms) Fund(purse uint64, most receipt.Usage) (Terms, error) {
	cost, err := t.Ceiling.Cost(most.Input, most.Output)
	if err != nil {
		return t, err
	}
	t.Escrow = min(t.Escrow, max(purse/PurseShare, cost, 1))
	t.Step = min(t.Step, t.Escrow)
	if t.Escrow > purse {
		return t, &TooLittleError{Purse: purse, Most: t.Escrow}
	}
	return t, nil
}
