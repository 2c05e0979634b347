package match

import (
	"errors"

	"daulat/core/canon"
)

// Binding is which identity key signs for an account, and which will. It has no
// clock of its own to run out: [Binding.At] says how it stands at a given time.
type Binding struct {
	Key  canon.PublicKey // in force; zero if none is
	Next canon.PublicKey // takes over at From; zero if none does
	From uint64          // block time, seconds
}

// ErrNoKey says that no identity key of an account is in force.
var ErrNoKey = errors.New("no identity key is in force")

// At is the binding as it stands at block time now.
func (b Binding) At(now uint64) Binding {
	if b.Next.IsZero() || now < b.From {
		return b
	}
	return Binding{Key: b.Next}
}

// Rotate lets key take over delay seconds from now, in place of another that
// was to take over. It waits after a revocation too, else that would be a way
// around the delay. Asking for the same again changes nothing, and asking for
// the key in force takes a rotation back.
func (b Binding) Rotate(key canon.PublicKey, now, delay uint64) (Binding, error) {
	b = b.At(now)
	switch {
	case key.IsZero():
		return b, errors.New("rotate identity key: the new key is missing")
	case key == b.Key:
		return Binding{Key: key}, nil
	case key == b.Next:
		return b, nil
	}
	return Binding{Key: b.Key, Next: key, From: now + delay}.At(now), nil
}

// Revoke puts the key in force out of force at once, and returns it. A rotation
// under way goes on.
func (b Binding) Revoke(now uint64) (Binding, canon.PublicKey, error) {
	b = b.At(now)
	if b.Key.IsZero() {
		return b, canon.PublicKey{}, ErrNoKey
	}
	return Binding{Next: b.Next, From: b.From}, b.Key, nil
}
