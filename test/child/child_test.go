package child

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

func lead(t *testing.T, script string) *Process {
	t.Helper()
	p, err := Lead(exec.Command("sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// TestLed: a process that is led answers each question, and ends well with its input.
func TestLed(t *testing.T) {
	p := lead(t, "exec cat")
	for _, question := range []string{"one", "two"} {
		var answer string
		if err := p.Ask(question, &answer); err != nil || answer != question {
			t.Errorf("%q: %q, %v", question, answer, err)
		}
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := p.Ask("three", new(string)); err == nil {
		t.Error("a process that has ended answered")
	}
}

// TestEndsBadly: how a process ended and what it said are in the error.
func TestEndsBadly(t *testing.T) {
	err := lead(t, "read x; echo why >&2; exit 3").Stop()
	if err == nil || !strings.HasSuffix(err.Error(), "ended with status 3: why") {
		t.Errorf("stopped: %v", err)
	}
	_, err = Start(exec.Command("sh", "-c", "echo why >&2; exit 3"), time.Minute, new(string))
	if err == nil || !strings.HasSuffix(err.Error(), "did not get ready: EOF: why") {
		t.Errorf("started: %v", err)
	}
}

// TestNeverReady: the limit ends a process that is silent.
func TestNeverReady(t *testing.T) {
	p := lead(t, "exec cat")
	if err := p.Ready(time.Millisecond, new(string)); err == nil {
		t.Error("a silent process was ready")
	}
	<-p.Ended()
	if p.Status() != -1 {
		t.Errorf("it ended with status %d and was not killed", p.Status())
	}
}

// TestInterrupted: Stop is what Ctrl-C is.
func TestInterrupted(t *testing.T) {
	p, err := Start(exec.Command("sh", "-c", `trap "exit 0" INT; echo '"ready"'; while :; do sleep 0.01; done`), time.Minute, new(string))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
