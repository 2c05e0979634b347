package control

import "fmt"

// Count is a number with its noun, of which an s makes many.
func Count[N int | int64 | uint64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}

// Thousandths shows n/1000 with one digit, rounded down.
func Thousandths(n uint64) string { return fmt.Sprintf("%d.%d", n/1000, n%1000/100) }

// Work says whether a provider takes work now, and if not, why it rests.
func Work(resting string) string {
	if resting == "" {
		return "working: requests are taken"
	}
	return "resting: " + resting
}

// Audits says how much of a provider's work is checked, and why: more once pay was
// released, which is at stake no more.
func (e Earnings) Audits() (rate, why string) {
	stake := fmt.Sprintf("%d udlt are at stake: %s", e.Stake, e.staked())
	if e.Unaudited {
		return "unaudited: nobody can run answers of declared models again", stake
	}
	why = "as " + stake + "; the more is at stake, the fewer"
	if e.Released > 0 {
		why += "; pay was released, so less is at stake, and more are run again until other pay is withheld"
	}
	return fmt.Sprintf("askers run %d.%d %% of its answers again", e.Audited/10_000, e.Audited/1_000%10), why
}

// staked says what a provider's stake is made of.
func (e Earnings) staked() string {
	if e.Bond == 0 {
		return "withheld pay, and no bond, as none can be posted yet"
	}
	return fmt.Sprintf("a bond of %d, and withheld pay", e.Bond)
}
