package provider_test

import (
	"runtime"
	"strings"
	"testing"

	"daulat/link/session"
)

// TestCloseLeavesNothing: a provider that served, was left in mid-answer and was
// closed has no goroutine any more.
func TestCloseLeavesNothing(t *testing.T) {
	s := start(t)
	a := s.lease(100, 20)
	a.buy(2, 3)
	ask := a.ask(2, 3)
	a.send(session.Opening{Ask: &ask}).Reset()
	s.stop()
	stacks := make([]byte, 1<<22)
	s.eventually("the provider's goroutines end", func() bool {
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "daulat/compute/provider.(")
	})
	s.run() // for the harness, which stops it at the end
}
