package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"daulat/ui/control"
)

// behind is a node whose program an upgrade has left behind.
type behind struct{ liar }

func (behind) Node(context.Context, control.NodeOptions, control.Progress, func(control.Node)) error {
	return control.UpgradeDue{Err: errors.New("the rules change here")}
}

// A supervisor tells a node that wants its next program from every other end, an
// unaudited answer's among them.
func TestUpgradeHasItsOwnStatus(t *testing.T) {
	var out, errOut bytes.Buffer
	if status := Run(t.Context(), []string{"node", someInvite()}, &out, &errOut, behind{}); status != 5 || errOut.String() != "daulat: the rules change here\n" {
		t.Errorf("status %d, %q", status, errOut.String())
	}
}

func TestEarningsAreShownAsTheyAre(t *testing.T) {
	for _, c := range []struct {
		e       control.Earnings
		has, no string
	}{
		{control.Earnings{Requests: 1, Sessions: 1, Audited: 250_000}, "1 request in 1 session, 0 complaints", "unaudited"},
		{control.Earnings{Audited: 250_000}, "askers run 25.0 % of its answers again", "unaudited"},
		{control.Earnings{Requests: 2, Sessions: 3, Complaints: 1, Unaudited: true}, "2 requests in 3 sessions, 1 complaint\n", "askers run"},
		{control.Earnings{Audited: 750_000, Stake: 80}, "as 80 udlt are at stake: withheld pay, and no bond, as none can be posted yet; the more is at stake, the fewer\n", "released, so"},
		{control.Earnings{Audited: 1_000_000, Released: 80}, "the more is at stake, the fewer; pay was released, so less is at stake", "a bond of"},
		{control.Earnings{Audited: 100_000, Stake: 80, Bond: 70}, "a bond of 70, and withheld pay", "no bond"},
		{control.Earnings{Unaudited: true}, "unaudited: nobody can run answers of declared models again", "%"},
	} {
		var out bytes.Buffer
		if sayEarnings(&out, c.e); !strings.Contains(out.String(), c.has) || strings.Contains(out.String(), c.no) {
			t.Errorf("%+v is shown as\n%s", c.e, out.String())
		}
	}
}

func TestErrorsAsJSON(t *testing.T) {
	for _, args := range [][]string{{"job", "show", "one", "--json"}, {"--json", "job", "show", "one"}, {"--frobnicate", "--json"}, {"frobnicate", "--json"}} {
		var out, errOut bytes.Buffer
		status := Run(t.Context(), args, &out, &errOut, liar{})
		var failed struct {
			Error  string `json:"error"`
			Status int    `json:"status"`
		}
		d := json.NewDecoder(&errOut)
		d.DisallowUnknownFields()
		if err := d.Decode(&failed); err != nil || status != 2 || failed.Status != 2 || failed.Error == "" || d.More() || out.Len() > 0 {
			t.Errorf("%v: status %d, %+v, %v", args, status, failed, err)
		}
	}
	var out, errOut bytes.Buffer
	if Run(t.Context(), []string{"job", "show", "--", "--json"}, &out, &errOut, liar{}); !strings.HasPrefix(errOut.String(), "daulat: ") {
		t.Errorf("an argument made the error %q", errOut.String())
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	table{{"NAME", "N"}}.add("é", 12).add("longer\nname", "").write(&out)
	if want := "NAME         N\né            12\nlonger name\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// broken ends as it is told to.
type broken struct {
	Runtime
	err error
}

func (b broken) Node(context.Context, control.NodeOptions, control.Progress, func(control.Node)) error {
	return b.err
}

// What was interrupted says so and no more, unless something else failed, too.
func TestInterrupted(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	carried := fmt.Errorf("receive *admittance: %w", context.Canceled)
	for want, c := range map[string]struct {
		ctx context.Context
		err error
	}{
		"daulat: interrupted\n":                   {ended, errors.Join(carried, context.Canceled)},
		"daulat: " + carried.Error() + "\n":       {t.Context(), carried},
		"daulat: context canceled\n  disk full\n": {ended, errors.Join(context.Canceled, errors.New("disk full"))},
	} {
		var out, errOut bytes.Buffer
		if status := Run(c.ctx, []string{"node"}, &out, &errOut, broken{err: c.err}); status != 1 || errOut.String() != want {
			t.Errorf("status %d, %q, want %q", status, errOut.String(), want)
		}
	}
}
