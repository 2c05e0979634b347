package job

import (
	"errors"
	"fmt"

	"daulat/core/canon"
)

// ErrDebt says that a provider takes nothing more on for an account.
var ErrDebt = errors.New("its account has left too many answers unpaid")

// DebtLasts is for how long, in seconds of block time, a provider holds it against
// an account what it left unpaid in a session that is over. An account costs next
// to nothing, so a longer memory would only make defaulters change theirs more
// often; a shorter one is kind to people whose machine or line broke down.
const DebtLasts = 3600

// Debt is the worth, in udlt, of answers of this session that are not going to
// be paid for: those that were dropped, and once the session is over, the one
// whose voucher never came, if there is one.
func (s Session) Debt(m Served, unpaid *Served) uint64 {
	if unpaid == nil || !s.settled() {
		return m.Lost
	}
	return add(m.Lost, unpaid.Tally.Amount-m.Tally.Amount)
}

// DebtLapsed reports that what was left unpaid in a session that was over at
// block time ended is no longer held against its account. A session that is not
// over has none, and counts.
func DebtLapsed(ended, now uint64) bool { return ended != 0 && now >= add(ended, DebtLasts) }

// Trusts refuses a request while the session's account owes more than one exposure
// step over all its sessions with the provider, besides what of the same answer was
// lost in this one.
func (s Session) Trusts(m Served, owed uint64, request canon.Hash) error {
	if owed -= min(owed, m.again(request)); owed <= s.Terms.Step {
		return nil
	}
	return fmt.Errorf("session %d: %w: answers for %d udlt, and one exposure step is %d; they are forgotten %d seconds after their session's end",
		s.ID, ErrDebt, owed, s.Terms.Step, uint64(DebtLasts))
}
