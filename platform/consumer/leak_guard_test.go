package consumer_test

import "testing"

// TestRequestsLeaveNoStream: after more requests than a peer may have streams,
// each still finds one.
func TestRequestsLeaveNoStream(t *testing.T) {
	s := start(t)
	s.sells("p", 1)
	for range 80 {
		s.buy(1, 1)
	}
	if n := len(s.node.Peers()); n != 1 {
		t.Errorf("the client has %d peers", n)
	}
}
