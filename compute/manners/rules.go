// Package manners lets a machine work for others only as its owner wishes: not
// while they use it, not at night, not on battery, and never with more of it than
// they give away.
//
// [Rules] decide by [Signs], and by nothing else; [Watch] reads the signs of this
// machine again and again and says when the decision changes. [Throttle] bounds
// the processor time of a running model.
package manners

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Rules are what the owner of a machine wishes. The zero value lets it work always.
type Rules struct {
	// WhenIdle is how long the owner must have left the machine alone; zero asks
	// for nothing.
	WhenIdle time.Duration
	Quiet    Hours
	Mains    bool   // rest while the machine runs on battery
	Memory   uint64 // bytes that the process may hold; zero sets no bound
}

// Signs are what was seen of a machine.
type Signs struct {
	Now     time.Time
	Input   time.Time // the owner's last input; zero if none was seen
	Busy    time.Time // when other programs last used much of the processor; zero for never
	Beside  time.Time // when a program beside this one last worked on an answer of ours; zero for never
	Battery bool      // the machine runs on battery
	Memory  uint64    // bytes that the process holds
	Told    bool      // the owner said to rest
}

// aftermath is how long a program beside this one may still compute after an answer
// of ours has ended, as when its asker left.
const aftermath = 3 * time.Second

// after are the signs as they are to be judged, once those of the look before are
// known. What the processor did while an answer was under way beside this program,
// and a moment later, may have been that answer, and is nobody's wish.
func (s Signs) after(before Signs) Signs {
	if s.Busy.IsZero() || !s.Beside.IsZero() && s.Beside.Add(aftermath).After(before.Now) {
		s.Busy = before.Busy
	}
	return s
}

// Rest says why the machine shall not work now; empty if it may.
func (r Rules) Rest(s Signs) (why string) {
	switch {
	case s.Told:
		return "its owner told it to rest"
	case r.Quiet.holds(s.Now):
		return "it is within the quiet hours " + r.Quiet.String()
	case r.Mains && s.Battery:
		return "the machine runs on battery"
	case r.Memory > 0 && s.Memory > r.Memory:
		return fmt.Sprintf("it holds %d MiB, and --max-memory is %d MiB", s.Memory>>20, r.Memory>>20)
	case r.WhenIdle > 0 && s.Now.Sub(s.Input) < r.WhenIdle:
		return fmt.Sprintf("its owner was here %s ago, and --when-idle is %s", s.Now.Sub(s.Input).Round(time.Second), r.WhenIdle)
	case r.WhenIdle > 0 && s.Now.Sub(s.Busy) < r.WhenIdle:
		return fmt.Sprintf("other programs worked hard %s ago, and --when-idle is %s", s.Now.Sub(s.Busy).Round(time.Second), r.WhenIdle)
	}
	return ""
}

// Hours are a part of each day, by the machine's own clock and time zone: on a day
// that a change of time makes longer or shorter, what the clock shows counts. The
// zero value is none of it.
type Hours struct{ From, To time.Duration } // since midnight

// ParseHours reads HH:MM-HH:MM, which may go past midnight. An empty text is none.
func ParseHours(text string) (h Hours, err error) {
	if text == "" {
		return h, nil
	}
	from, to, split := strings.Cut(text, "-")
	if !split {
		return h, fmt.Errorf("hours %q are not of the form 22:00-07:00", text)
	}
	begin, wrong := time.Parse("15:04", from)
	end, err := time.Parse("15:04", to)
	if err != nil || wrong != nil {
		return h, fmt.Errorf("hours %q are not of the form 22:00-07:00", text)
	}
	if begin.Equal(end) {
		return h, errors.New("hours that begin when they end are none: leave them out")
	}
	return Hours{sinceMidnight(begin), sinceMidnight(end)}, nil
}

// String is the text that ParseHours reads.
func (h Hours) String() string {
	if h == (Hours{}) {
		return ""
	}
	clock := func(d time.Duration) string { return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60) }
	return clock(h.From) + "-" + clock(h.To)
}

// sinceMidnight is what the hands of a clock say.
func sinceMidnight(t time.Time) time.Duration {
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second
}

func (h Hours) holds(now time.Time) bool {
	at := sinceMidnight(now)
	if h.From <= h.To {
		return h.From <= at && at < h.To
	}
	return h.From <= at || at < h.To
}
