package job

import (
	"errors"
	"fmt"

	"daulat/core/canon"
)

// OrderState is where an order stands.
type OrderState string

// The states of an order. Only OrderOpen is not final.
const (
	OrderOpen      OrderState = "open"
	OrderMatched   OrderState = "matched"
	OrderCancelled OrderState = "cancelled"
	OrderExpired   OrderState = "expired"
)

// Order waits in the market for a provider. Its escrow is locked meanwhile.
type Order struct {
	Version     uint64          `cbor:"v"`
	ID          uint64          `cbor:"id"`
	Consumer    string          `cbor:"consumer"` // account
	SessionKey  canon.PublicKey `cbor:"session_key"`
	Terms       Terms           `cbor:"terms"`
	State       OrderState      `cbor:"state"`
	Placed      uint64          `cbor:"placed"`      // block time, seconds
	Expires     uint64          `cbor:"expires"`     // block time, seconds
	Explanation string          `cbor:"explanation"` // why there is no match yet
}

// ErrOrderClosed says that an order is no longer open.
var ErrOrderClosed = errors.New("order is not open")

// MaxHeld is how many orders and sessions of one account may be open at a time. An
// order costs no fee and locks what its account says, as little as 1 udlt, and a
// session holds a provider's slot for up to [MaxDuration]: so one account could keep
// all others from all providers. A home that asks needs two for each request at once.
const MaxHeld = 256

// ErrHeld says that an account holds as many as it may.
var ErrHeld = fmt.Errorf("an account has at most %d orders and sessions open at a time", MaxHeld)

// MayPlace reports an error if an account that holds so many may place no order.
func MayPlace(held uint64) error {
	if held >= MaxHeld {
		return ErrHeld
	}
	return nil
}

// Place opens an order at block time now.
func Place(id uint64, consumer string, key canon.PublicKey, t Terms, now uint64) (Order, error) {
	if err := t.Validate(); err != nil {
		return Order{}, err
	}
	if key.IsZero() {
		return Order{}, errors.New("order: session key is missing")
	}
	return Order{Version: canon.Version, ID: id, Consumer: consumer, SessionKey: key, Terms: t,
		State: OrderOpen, Placed: now, Expires: now + t.Patience}, nil
}

// Cancel ends an open order at its owner's wish; the caller refunds the escrow.
func (o Order) Cancel(consumer string) (Order, error) {
	if o.State != OrderOpen {
		return o, fmt.Errorf("cancel order %d: %w but %s", o.ID, ErrOrderClosed, o.State)
	}
	if consumer != o.Consumer {
		return o, fmt.Errorf("cancel order %d: %w", o.ID, ErrStranger)
	}
	o.State = OrderCancelled
	return o, nil
}

// Tick expires an order whose patience is over; the caller refunds the escrow.
func (o Order) Tick(now uint64) (next Order, expired bool) {
	if o.State != OrderOpen || now < o.Expires {
		return o, false
	}
	o.State = OrderExpired
	return o, true
}

// Party is the provider's side of a match.
type Party struct {
	Account string
	Key     canon.PublicKey // identity key that signs receipts
	Price   Price
}

// Match turns an open order into a session at block time now.
func (o Order) Match(p Party, now uint64) (Order, Session, error) {
	if o.State != OrderOpen {
		return o, Session{}, fmt.Errorf("match order %d: %w but %s", o.ID, ErrOrderClosed, o.State)
	}
	if !p.Price.Within(o.Terms.Ceiling) {
		return o, Session{}, fmt.Errorf("match order %d: price is above the ceiling", o.ID)
	}
	o.State, o.Explanation = OrderMatched, ""
	return o, open(o, p, now), nil
}
