// Package escrow is the money of one session: locked before work starts, split
// once when it is settled, and paid out after the challenge window.
//
// Invariant, after every operation: deposited = locked + withheld + paid +
// refunded. All amounts are udlt.
package escrow

import (
	"errors"
	"fmt"
	"math/bits"
)

// Denom is the only coin: integers of 10⁻⁶ DLT.
const Denom = "udlt"

// Account is where the money of one session lies.
type Account struct {
	Deposited uint64 `cbor:"deposited"` // all that came in
	Locked    uint64 `cbor:"locked"`    // promised to the job
	Withheld  uint64 `cbor:"withheld"`  // earned, kept for the challenge window
	Paid      uint64 `cbor:"paid"`      // gone to the provider
	Refunded  uint64 `cbor:"refunded"`  // gone back to the consumer
}

// Payment is money that leaves escrow for an account.
type Payment struct {
	To     string
	Amount uint64
}

// Errors of the operations.
var (
	ErrOverflow     = errors.New("escrow: amount does not fit 64 bits")
	ErrInsufficient = errors.New("escrow: less is locked than is to be paid")
)

// Lock opens an account with amount locked.
func Lock(amount uint64) Account { return Account{Deposited: amount, Locked: amount} }

// TopUp locks more.
func (a Account) TopUp(amount uint64) (Account, error) {
	deposited, carry := bits.Add64(a.Deposited, amount, 0)
	if carry != 0 {
		return a, ErrOverflow
	}
	a.Deposited, a.Locked = deposited, a.Locked+amount // locked ≤ deposited
	return a, nil
}

// Settle withholds pay for the provider and refunds the rest of what is locked.
func (a Account) Settle(pay uint64) (next Account, refund uint64, err error) {
	if pay > a.Locked {
		return a, 0, fmt.Errorf("%w: %d of %d", ErrInsufficient, pay, a.Locked)
	}
	refund = a.Locked - pay
	a.Locked, a.Withheld, a.Refunded = 0, a.Withheld+pay, a.Refunded+refund
	return a, refund, nil
}

// Release pays out what was withheld.
func (a Account) Release() (next Account, paid uint64) {
	paid = a.Withheld
	a.Withheld, a.Paid = 0, a.Paid+paid
	return a, paid
}

// Balanced reports the invariant.
func (a Account) Balanced() bool {
	sum, rest := uint64(0), a.Deposited
	for _, part := range []uint64{a.Locked, a.Withheld, a.Paid, a.Refunded} {
		if part > rest {
			return false
		}
		sum, rest = sum+part, rest-part
	}
	return sum == a.Deposited
}
