package control

import (
	"errors"
	"time"
)

// StandingPoll is between two looks at the height of a ledger that is waited for.
const StandingPoll = 10 * time.Second

// standingMost is after how many looks at the same height a wait is given up: two
// minutes.
const standingMost = 12

// ErrStanding ends a wait for a ledger that makes no blocks.
var ErrStanding = errors.New("the ledger makes no blocks now: too many of its validators are off; ask who founded it, or try the same again later")

// Standing tells a ledger that stands still from one that makes blocks.
type Standing struct {
	height int64
	same   int // looks
}

// Look takes the height that a look found, 0 for none, and reports whether there is
// something to say of it, once for each height, and whether to wait no longer.
func (s *Standing) Look(height int64) (say, end bool) {
	switch {
	case height == 0:
		return false, false
	case height != s.height:
		s.height, s.same = height, 0
		return false, false
	}
	s.same++
	return s.same == 1, s.same >= standingMost
}
