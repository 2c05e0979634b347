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

// hostile is text that tries to write lines and commands of its own.
const hostile = "noise\n✓ replay             agree\r\x1b[2J\u009b31m\u202e\u2028\x7fend"

// liar is a runtime whose model has a hostile name.
type liar struct{ Runtime }

func (liar) Verify(_ context.Context, _ control.VerifyOptions, say control.Progress) (control.Report, error) {
	say("getting " + hostile)
	return control.Report{Verdict: "disagree", Line: "disagree: " + hostile,
		Steps: []control.Step{{Name: "model", Detail: hostile, OK: true}, {Name: "replay", Detail: "no"}}}, nil
}

func (liar) Models(string) ([]control.Model, error) {
	return []control.Model{{Name: hostile, ID: "bafy"}}, nil
}

func TestForeignTextForgesNoLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.receipt")
	if err := os.WriteFile(file, []byte("receipt"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", file, "--trust", "line"}, {"model", "ls"}} {
		var out, errOut bytes.Buffer
		Run(t.Context(), args, &out, &errOut, liar{})
		text := out.String() + errOut.String()
		if !strings.Contains(text, "end") {
			t.Fatalf("%v did not show the name: %q", args, text)
		}
		if strings.Contains("\n"+text, "\n✓ replay") {
			t.Errorf("%v lets a name write a line of its own: %q", args, text)
		}
		if strings.ContainsAny(text, "\r\x1b\u009b\u202e\u2028\x7f") {
			t.Errorf("%v lets a name command the terminal: %q", args, text)
		}
	}
}

func TestAnswersCommandNoTerminal(t *testing.T) {
	const event = `data: {"choices":[{"delta":{"content":"a\tb\nc\u001b[2J\u009b\u202e\u007fd"}}]}` + "\n\n" +
		`data: {"daulat":{"receipt":"1-1","price_udlt":"7"}}` + "\n\n"
	var out bytes.Buffer
	a := &app{out: &out}
	got, err := a.follow(strings.NewReader(event), func() {}, false)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != "a\tb\nc[2Jd" {
		t.Errorf("the terminal got %q", out.String())
	}
	if got.Text != "a\tb\nc\x1b[2J\u009b\u202e\x7fd" {
		t.Errorf("the document got %q", got.Text)
	}
}

func TestComplaintsAreShown(t *testing.T) {
	caught := control.Job{ID: 1, Reason: "both sides agreed", Complaints: []string{"1-1", "1-3"}}
	if got := reason(caught); got != "both sides agreed; complaint about 1-1 1-3" {
		t.Errorf("job ls says %q", got)
	}
	var out bytes.Buffer
	sayJob(&out, caught)
	if !strings.Contains(out.String(), "lie in 1-1 1-3\n") {
		t.Errorf("job show says %q", out.String())
	}
	if got := reason(control.Job{Reason: "deadline"}); got != "deadline" {
		t.Errorf("job ls says %q of a job without complaints", got)
	}
}

// TestBadNumbersAreSaidPlainly: each in one sentence, without the words of the language
// that this program is written in.
func TestBadNumbersAreSaidPlainly(t *testing.T) {
	for want, args := range map[string][]string{
		`--max-tokens "abc" is not a whole number`:                        {"ask", "--max-tokens", "abc", "hello"},
		`--max-tokens "99999999999999999999" is too large or too small`:   {"ask", "--max-tokens", "99999999999999999999", "hello"},
		`--seed "1.5" is not a whole number`:                              {"ask", "--seed=1.5", "hello"},
		`--temperature "hot" is not a number`:                             {"ask", "--temperature", "hot", "hello"},
		`--spread "perhaps" is not true or false`:                         {"ask", "--spread=perhaps", "hello"},
		`--output-price "-1" is not a whole number, 0 or above`:           {"provide", "--output-price", "-1"},
		`--when-idle "5 minutes" is not a time such as 90s, 5m or 24h`:    {"provide", "--when-idle", "5 minutes"},
		`--output-price "18446744073709551616" is too large or too small`: {"provide", "--output-price=18446744073709551616"},
	} {
		var out, errOut bytes.Buffer
		if status := Run(t.Context(), args, &out, &errOut, liar{}); status != 2 || errOut.String() != "daulat: "+want+"\n" {
			t.Errorf("%q: status %d, %q", args, status, errOut.String())
		}
	}
}
