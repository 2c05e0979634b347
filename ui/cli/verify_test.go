package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daulat/ui/control"
)

// judge is a program whose checks end as they are told to.
type judge struct {
	Runtime
	verdict string
	asked   *control.VerifyOptions
}

func (j judge) Verify(_ context.Context, o control.VerifyOptions, _ control.Progress) (control.Report, error) {
	*j.asked = o
	power := 0.99999
	r := control.Report{Verdict: j.verdict, Line: j.verdict}
	if o.Replay != "" {
		r.Replay = &control.Replay{With: o.Replay, Tokens: 7, FalseAlarm: 0.001, Tests: []control.ReplayTest{
			{Against: "smaller", Statistic: 1.5, Threshold: 9.8}, {Against: "4-bit", Statistic: 2, Threshold: 9.8, Power: &power}}}
	}
	return r, nil
}

// Only agree is a yes, to scripts too.
func TestVerifyStatus(t *testing.T) {
	file := filepath.Join(t.TempDir(), "receipt")
	if err := os.WriteFile(file, []byte("receipt"), 0o600); err != nil {
		t.Fatal(err)
	}
	replay := []string{"--replay", "big.gguf", "--against", "smaller=http://127.0.0.1:1/a=b"}
	for _, c := range []struct {
		verdict string
		flags   []string
		status  int
	}{
		{"agree", nil, 0}, {"disagree", nil, 3}, {"inconclusive", nil, 3}, {"unavailable", nil, 3}, {"unaudited", nil, 4},
		{"consistent", replay, 4}, {"inconclusive", replay, 4}, {"disagree", replay, 3},
		{"agree", []string{"--trust", ""}, 2}, // an unset variable in a script: whom to believe is not for the home to say
		{"", []string{"--against", "smaller=x"}, 2}, {"", []string{"--replay", "x", "--against", "smaller"}, 2},
		{"", []string{"--replay", "x", "--against", "smaller=a", "--against", "smaller=b"}, 2},
	} {
		var out, errOut bytes.Buffer
		var asked control.VerifyOptions
		status := Run(t.Context(), append([]string{"verify", file, "--trust", "line"}, c.flags...), &out, &errOut, judge{verdict: c.verdict, asked: &asked})
		if status != c.status || (c.status == 2) != (asked.Trust == "") {
			t.Errorf("%s with %q: status %d, %+v, %s", c.verdict, c.flags, status, asked, &errOut)
		}
		if c.status == 2 || c.flags == nil {
			continue
		}
		if asked.Replay != "big.gguf" || asked.Against["smaller"] != "http://127.0.0.1:1/a=b" {
			t.Errorf("asked for %+v", asked)
		}
		for _, want := range []string{"7 tokens read again by big.gguf", "at most 0.1 % of cases", "not measured", "99.99 %"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%q is not in %s", want, &out)
			}
		}
	}
}
