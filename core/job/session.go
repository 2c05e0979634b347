package job

import (
	"errors"
	"fmt"

	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/receipt"
)

// SessionState is where a session stands.
type SessionState string

// The states of a session. Only SessionReleased is final.
const (
	SessionOpen     SessionState = "open"     // until its deadline
	SessionClosing  SessionState = "closing"  // a newer pair may still come, until the close window ends
	SessionSettled  SessionState = "settled"  // split; pay withheld until the challenge window ends
	SessionReleased SessionState = "released" // pay is out
)

// Reason is why a session left SessionOpen.
type Reason string

// The reasons.
const (
	ReasonFinal    Reason = "both sides agreed"
	ReasonConsumer Reason = "consumer closed"
	ReasonProvider Reason = "provider closed"
	ReasonDeadline Reason = "deadline passed"
)

// Windows are the clocks that a session freezes when it opens, in seconds of
// block time.
type Windows struct {
	Close     uint64 `cbor:"close"`     // for a newer pair after one side closed
	Challenge uint64 `cbor:"challenge"` // for which pay is withheld
}

// MaxWindow bounds both windows, in seconds, so that every state ends soon.
const MaxWindow = 30 * 24 * 3600

// Validate reports windows that are empty or too long.
func (w Windows) Validate() error {
	if min(w.Close, w.Challenge) == 0 || max(w.Close, w.Challenge) > MaxWindow {
		return fmt.Errorf("a window must be 1 to %d seconds", MaxWindow)
	}
	return nil
}

// Session is a provider's lease for a stream of requests from one consumer.
type Session struct {
	Version     uint64          `cbor:"v"`
	ID          uint64          `cbor:"id"` // of the order that it came from
	Consumer    string          `cbor:"consumer"`
	Provider    string          `cbor:"provider"`
	SessionKey  canon.PublicKey `cbor:"session_key"`
	ProviderKey canon.PublicKey `cbor:"provider_key"`
	Terms       Terms           `cbor:"terms"`
	Price       Price           `cbor:"price"`
	Windows     Windows         `cbor:"windows"`
	State       SessionState    `cbor:"state"`
	Reason      Reason          `cbor:"reason"`
	Opened      uint64          `cbor:"opened"` // block time, seconds
	Clock       uint64          `cbor:"clock"`  // block time at which the state ends
	Escrow      escrow.Account  `cbor:"escrow"`
	Claim       *receipt.Entry  `cbor:"claim,omitempty"` // the newest pair
}

func open(o Order, p Party, now uint64) Session {
	return Session{Version: canon.Version, ID: o.ID, Consumer: o.Consumer, Provider: p.Account,
		SessionKey: o.SessionKey, ProviderKey: p.Key, Terms: o.Terms, Price: p.Price,
		State: SessionOpen, Opened: now, Clock: now + o.Terms.Duration, Escrow: escrow.Lock(o.Terms.Escrow)}
}

// Ordered reports an error unless the session is what became of that order: a node
// that nobody trusts may show another account's, or one with other terms.
func (s Session) Ordered(o Order) error {
	if s.ID != o.ID || s.Consumer != o.Consumer || s.SessionKey != o.SessionKey || !s.Terms.Equal(o.Terms) || !s.Price.Within(o.Terms.Ceiling) {
		return fmt.Errorf("session %d: %w", s.ID, ErrOtherOrder)
	}
	return nil
}

// Errors of the session's rules.
var (
	ErrOtherOrder    = errors.New("it did not come of the order that was placed")
	ErrStale         = errors.New("a newer pair of receipt and voucher is known")
	ErrSessionClosed = errors.New("session is settled")
	ErrStranger      = errors.New("that is another account's to do")
	ErrRevoked       = errors.New("the identity key that signed the receipt is revoked")
)

// Freeze sets the windows of a session that has just opened.
func (s Session) Freeze(w Windows) Session {
	s.Windows = w
	return s
}

// Sound is a pair that a session's [Session.Check] has found sound. There is no
// other way to one.
type Sound struct {
	entry   receipt.Entry
	session uint64
}

// Check reports whether a pair is of this chain and session and is signed by
// its two keys. What it finds rests on what the session froze when it opened,
// and holds in all its later states.
func (s Session) Check(chain string, e receipt.Entry) (Sound, error) {
	if err := e.Check(chain, s.ID, s.ProviderKey, s.SessionKey); err != nil {
		return Sound{}, fmt.Errorf("session %d: %w", s.ID, err)
	}
	return Sound{entry: e, session: s.ID}, nil
}

// Settle checks a pair whose provider key is in force and records it.
func (s Session) Settle(by, chain string, e receipt.Entry, shut bool, now uint64) (Session, []escrow.Payment, error) {
	p, err := s.Check(chain, e)
	if err != nil {
		return s, nil, err
	}
	return s.Record(by, p, false, shut, now)
}

// Record takes a pair that is newer than the known one. Anybody may bring it,
// as both sides have signed it and it moves neither clock nor money: all a
// stranger can do is carry what the parties might have carried themselves.
// More is the parties' alone: with shut the session starts to close, and a
// final voucher that the provider brings settles at once, as both sides then
// agree.
//
// revoked says that the session's provider key has been revoked by now. Its
// signatures may be anybody's then, so no pair counts any more; one that was
// recorded before stays, and the clocks end the session by it.
func (s Session) Record(by string, p Sound, revoked, shut bool, now uint64) (Session, []escrow.Payment, error) {
	if p.session != s.ID {
		return s, nil, fmt.Errorf("session %d: %w", s.ID, receipt.ErrSession)
	}
	if err := s.live(); err != nil {
		return s, nil, err
	}
	if revoked {
		return s, nil, fmt.Errorf("session %d: %w", s.ID, ErrRevoked)
	}
	if shut && !s.party(by) {
		return s, nil, fmt.Errorf("close session %d: %w", s.ID, ErrStranger)
	}
	if s.Claim != nil && !p.entry.Newer(*s.Claim) && *s.Claim != p.entry {
		return s, nil, fmt.Errorf("session %d: %w", s.ID, ErrStale)
	}
	s.Claim = &p.entry
	if p.entry.Voucher.Final && by == s.Provider {
		return s.split(ReasonFinal, now)
	}
	return s.shut(by, shut, now), nil, nil
}

// Close starts to close without a pair of one's own: for a consumer whose
// provider never answered, or a provider that gives up.
func (s Session) Close(by string, now uint64) (Session, error) {
	if !s.party(by) {
		return s, fmt.Errorf("close session %d: %w", s.ID, ErrStranger)
	}
	if err := s.live(); err != nil {
		return s, err
	}
	return s.shut(by, true, now), nil
}

// TopUp locks more of the consumer's money.
func (s Session) TopUp(by string, amount uint64) (Session, error) {
	if s.State != SessionOpen {
		return s, fmt.Errorf("top up session %d: it is %s", s.ID, s.State)
	}
	if by != s.Consumer {
		return s, fmt.Errorf("top up session %d: %w", s.ID, ErrStranger)
	}
	account, err := s.Escrow.TopUp(amount)
	if err != nil {
		return s, err
	}
	s.Escrow = account
	return s, nil
}

func (s Session) party(account string) bool { return account == s.Consumer || account == s.Provider }

// live reports an error once no pair can change what is paid.
func (s Session) live() error {
	if s.State != SessionOpen && s.State != SessionClosing {
		return fmt.Errorf("session %d: %w", s.ID, ErrSessionClosed)
	}
	return nil
}

func (s Session) shut(by string, shut bool, now uint64) Session {
	if !shut || s.State != SessionOpen {
		return s
	}
	s.State, s.Clock, s.Reason = SessionClosing, now+s.Windows.Close, ReasonProvider
	if by == s.Consumer {
		s.Reason = ReasonConsumer
	}
	return s
}

// split divides the escrow by the newest pair: the provider's part is withheld
// for the challenge window, the rest goes back.
func (s Session) split(why Reason, now uint64) (Session, []escrow.Payment, error) {
	var due uint64
	if s.Claim != nil {
		due = min(s.Claim.Due(), s.Escrow.Locked)
	}
	account, refund, err := s.Escrow.Settle(due)
	if err != nil {
		return s, nil, fmt.Errorf("session %d: %w", s.ID, err)
	}
	s.Escrow, s.State, s.Clock = account, SessionSettled, now+s.Windows.Challenge
	if s.Reason == "" || why == ReasonFinal {
		s.Reason = why
	}
	return s, pay(s.Consumer, refund), nil
}

// Tick moves a session whose clock has run out by one state.
func (s Session) Tick(now uint64) (Session, []escrow.Payment, error) {
	if now < s.Clock {
		return s, nil, nil
	}
	switch s.State {
	case SessionOpen:
		s.State, s.Clock, s.Reason = SessionClosing, now+s.Windows.Close, ReasonDeadline
		return s, nil, nil
	case SessionClosing:
		return s.split(s.Reason, now)
	case SessionSettled:
		account, paid := s.Escrow.Release()
		s.Escrow, s.State, s.Clock = account, SessionReleased, 0
		return s, pay(s.Provider, paid), nil
	}
	return s, nil, nil
}

func pay(to string, amount uint64) []escrow.Payment {
	if amount == 0 {
		return nil
	}
	return []escrow.Payment{{To: to, Amount: amount}}
}
