package manners

import (
	"testing"
	"time"
)

func at(clock string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04:05", "2026-03-04 "+clock, time.Local)
	if err != nil {
		panic(err)
	}
	return t
}

// Each rule alone makes the machine rest exactly while its sign holds.
func TestRules(t *testing.T) {
	now := at("23:30:00")
	for name, c := range map[string]struct {
		rules Rules
		signs Signs
		want  string
	}{
		"no rule":           {Rules{}, Signs{Input: now, Busy: now, Battery: true, Memory: 1 << 40}, ""},
		"told":              {Rules{}, Signs{Told: true}, "its owner told it to rest"},
		"quiet":             {Rules{Quiet: Hours{22 * time.Hour, 7 * time.Hour}}, Signs{}, "it is within the quiet hours 22:00-07:00"},
		"loud":              {Rules{Quiet: Hours{7 * time.Hour, 23 * time.Hour}}, Signs{}, ""},
		"battery":           {Rules{Mains: true}, Signs{Battery: true}, "the machine runs on battery"},
		"mains":             {Rules{Mains: true}, Signs{}, ""},
		"memory":            {Rules{Memory: 1 << 30}, Signs{Memory: 1<<30 + 1}, "it holds 1024 MiB, and --max-memory is 1024 MiB"},
		"memory that fits":  {Rules{Memory: 1 << 30}, Signs{Memory: 1 << 30}, ""},
		"owner":             {Rules{WhenIdle: time.Minute}, Signs{Input: now.Add(-59 * time.Second)}, "its owner was here 59s ago, and --when-idle is 1m0s"},
		"owner has left":    {Rules{WhenIdle: time.Minute}, Signs{Input: now.Add(-time.Minute)}, ""},
		"load":              {Rules{WhenIdle: time.Minute}, Signs{Busy: now.Add(-time.Second)}, "other programs worked hard 1s ago, and --when-idle is 1m0s"},
		"load that is over": {Rules{WhenIdle: time.Minute}, Signs{Busy: now.Add(-time.Minute)}, ""},
		"nobody ever came":  {Rules{WhenIdle: 24 * time.Hour}, Signs{}, ""},
		"a clock set back":  {Rules{WhenIdle: time.Minute}, Signs{Input: now.Add(time.Hour)}, "its owner was here -1h0m0s ago, and --when-idle is 1m0s"},
	} {
		c.signs.Now = now
		if got := c.rules.Rest(c.signs); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Work of the processor is nobody's wish while an answer is under way beside this
// program, and a moment after; what was seen before and since is, and the owner's
// input always.
func TestWorkBeside(t *testing.T) {
	now := at("12:00:00")
	look, early := now.Add(-time.Second), now.Add(-time.Minute)
	for name, c := range map[string]struct{ signs, want Signs }{
		"nobody works":                 {Signs{}, Signs{Busy: early}},
		"others work":                  {Signs{Busy: now}, Signs{Busy: now}},
		"an answer is under way":       {Signs{Busy: now, Beside: now}, Signs{Busy: early}},
		"it ended since the last look": {Signs{Busy: now, Beside: now.Add(-time.Second / 2)}, Signs{Busy: early}},
		"it ended a moment ago":        {Signs{Busy: now, Beside: look.Add(-aftermath + 1)}, Signs{Busy: early}},
		"it ended before that":         {Signs{Busy: now, Beside: look.Add(-aftermath)}, Signs{Busy: now}},
		"the owner is here meanwhile":  {Signs{Busy: now, Beside: now, Input: now}, Signs{Busy: early, Input: now}},
	} {
		c.signs.Now, c.want.Now, c.want.Beside = now, now, c.signs.Beside
		if got := c.signs.after(Signs{Now: look, Busy: early}); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// Hours hold their first second and not their end, across midnight too.
func TestHours(t *testing.T) {
	for text, clocks := range map[string]map[string]bool{
		"22:00-07:00": {"21:59:59": false, "22:00:00": true, "23:59:59": true, "00:00:00": true, "06:59:59": true, "07:00:00": false, "12:00:00": false},
		"09:30-17:00": {"09:29:59": false, "09:30:00": true, "16:59:59": true, "17:00:00": false, "00:00:00": false},
		"00:00-12:00": {"00:00:00": true, "11:59:59": true, "12:00:00": false, "23:59:59": false},
		"12:00-00:00": {"11:59:59": false, "12:00:00": true, "23:59:59": true, "00:00:00": false},
	} {
		h, err := ParseHours(text)
		if err != nil || h.String() != text {
			t.Errorf("%s is read as %s: %v", text, h, err)
		}
		for clock, want := range clocks {
			if h.holds(at(clock)) != want {
				t.Errorf("%s at %s is %v", text, clock, !want)
			}
		}
	}
	for _, text := range []string{"22:00", "22:00-", "-07:00", "24:00-07:00", "22-07", "22:00-07:60", "07:00-07:00", "22:00-07:00-09:00", " 22:00-07:00"} {
		if h, err := ParseHours(text); err == nil {
			t.Errorf("%q is read as %s", text, h)
		}
	}
	if h, err := ParseHours(""); err != nil || h.holds(at("12:00:00")) || h.String() != "" {
		t.Errorf("no hours are %s: %v", h, err)
	}
}

func FuzzParseHours(f *testing.F) {
	f.Add("22:00-07:00")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHours(text)
		if err != nil {
			return
		}
		if again, err := ParseHours(h.String()); err != nil || again != h {
			t.Errorf("%q is %s, which is read as %s: %v", text, h, again, err)
		}
	})
}
