package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Token lets its bearer ask, within limits.
type Token struct {
	Name       string            // for the ledger and the log; never secret
	Secret     string            // at least 16 bytes; empty where only its hash is known
	Hash       [sha256.Size]byte // of a secret that is not given
	DailySpend uint64            // udlt per UTC day; 0 allows free answers only
	Concurrent int               // requests at a time, waiting ones included
	Owner      bool              // may do what is behind Owner, besides asking
}

// Spend is what a token spent on one day, open reservations included.
type Spend struct {
	Day   int64  // days since 1970-01-01 UTC
	Spent uint64 // udlt
}

// Ledger keeps the daily spend of each token, by its name. Save is durable when
// it returns; Load of an unknown name is the zero Spend. While a gateway runs,
// what is kept is never less than what was spent, and at most 1 % of the daily
// limit more, so that few answers wait for a Save; Serve leaves the exact figure.
type Ledger interface {
	Load(token string) (Spend, error)
	Save(token string, s Spend) error
}

// HashSecret is what a home keeps of a random secret: enough to know it again.
func HashSecret(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }

// account is a token in use.
type account struct {
	Token
	ledger  Ledger
	revoked context.Context // ends with the token
	revoke  context.CancelFunc

	mu     sync.Mutex
	active int
	spend  Spend
	kept   Spend // what the ledger holds; never less than spend
}

func newAccount(t Token, ledger Ledger) (*account, error) {
	if t.Secret != "" {
		t.Hash = HashSecret(t.Secret)
	}
	if t.Name == "" || t.Hash == [sha256.Size]byte{} || t.Secret != "" && len(t.Secret) < 16 || t.Concurrent < 1 {
		return nil, fmt.Errorf("token %q needs a name, a secret of 16 bytes or more, and at least one request at a time", t.Name)
	}
	spend, err := ledger.Load(t.Name)
	if err != nil {
		return nil, fmt.Errorf("load the spend of token %q: %w", t.Name, err)
	}
	a := &account{Token: t, ledger: ledger, spend: spend, kept: spend}
	a.revoked, a.revoke = context.WithCancel(context.Background())
	a.Secret = ""
	return a, nil
}

// enter takes one of the token's places, which leave gives back.
func (a *account) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.active >= a.Concurrent {
		return false
	}
	a.active++
	return true
}

func (a *account) leave() {
	a.mu.Lock()
	a.active--
	a.mu.Unlock()
}

const secondsPerDay = 86400

// reservation is money that one answer may cost.
type reservation struct {
	day    int64
	amount uint64
}

// keep brings what the ledger holds in step with spend, unless it is close
// enough: short of nothing, and within the slack above. What it writes lies in
// the middle of that, so that spend can move both ways before the next write.
func (a *account) keep(spend Spend) error {
	slack := a.DailySpend / 100
	if spend.Day == a.kept.Day && spend.Spent <= a.kept.Spent && a.kept.Spent-spend.Spent <= slack {
		return nil
	}
	ahead := spend.Spent + min(slack/2, a.DailySpend-min(spend.Spent, a.DailySpend))
	return a.save(Spend{spend.Day, ahead})
}

// save makes s what the ledger holds.
func (a *account) save(s Spend) error {
	if a.revoked.Err() != nil {
		return nil // its name may be another's by now
	}
	if err := a.ledger.Save(a.Name, s); err != nil {
		return fmt.Errorf("record the spend: %w", err)
	}
	a.kept = s
	return nil
}

// exact leaves the exact figure on the ledger.
func (a *account) exact() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == a.spend {
		return nil
	}
	return a.save(a.spend)
}

// reserve counts amount as spent, on disk too, before it can be.
func (a *account) reserve(now time.Time, amount uint64) (reservation, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := a.spend
	if day := now.Unix() / secondsPerDay; day > next.Day { // a clock set back does not open a new day
		next = Spend{Day: day}
	}
	if next.Spent > a.DailySpend || amount > a.DailySpend-next.Spent {
		return reservation{}, fmt.Errorf("%w: up to %d udlt, with %d of %d spent today", ErrSpend, amount, next.Spent, a.DailySpend)
	}
	next.Spent += amount
	if err := a.keep(next); err != nil {
		return reservation{}, err
	}
	a.spend = next
	return reservation{next.Day, amount}, nil
}

// settle replaces a reservation by the price. A price above the ceiling still
// counts, for it was paid, and is reported.
func (a *account) settle(r reservation, price uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var over error
	if price > r.amount {
		over = fmt.Errorf("%d udlt were paid, more than the ceiling of %d", price, r.amount)
	}
	if a.spend.Day != r.day || price == r.amount {
		return over
	}
	a.spend.Spent -= r.amount
	a.spend.Spent += min(price, ^uint64(0)-a.spend.Spent)
	return errors.Join(over, a.keep(a.spend))
}
