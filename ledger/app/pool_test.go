package app

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
)

// wait is a transaction of an account with a name and a gas limit.
func wait(account, name string, gas uint64, own bool) waiting {
	raw := []byte(account + ":" + name)
	return waiting{key: sha256.Sum256(raw), raw: raw, account: account, gas: gas, own: own}
}

// holding is a pool in which all wait, with a sixteenth of each block for plain ones.
func holding(all ...waiting) *pool {
	p := newPool()
	p.plainShare = 16
	for _, w := range all {
		p.add(w)
	}
	return &p
}

func names(raws [][]byte) (all []string) {
	for _, r := range raws {
		all = append(all, string(r))
	}
	return all
}

// TestBlockIsSharedByAccounts: whoever has much waiting comes once in a round, the
// network's own messages come first, and neither kind gets the other's part.
func TestBlockIsSharedByAccounts(t *testing.T) {
	var all []waiting
	for i := range 100 {
		all = append(all, wait("mallory", fmt.Sprint("send", i), 300, false), wait("mallory", fmt.Sprint("order", i), 1000, true))
	}
	all = append(all, wait("alice", "send", 300, false), wait("alice", "order", 1000, true), wait("bob", "order", 1000, true))
	for what, c := range map[string]struct {
		bytes, gas uint64
		want       []string
	}{
		"by gas": {1 << 20, 10_000, []string{"mallory:order0", "alice:order", "bob:order", "mallory:order1", "mallory:order2", "mallory:order3", "mallory:order4", "mallory:order5", "mallory:order6", "mallory:send0", "alice:send"}},
		"by bytes": {256, 1 << 40, []string{"mallory:order0", "alice:order", "bob:order", "mallory:order1", "mallory:order2", "mallory:order3", "mallory:order4", "mallory:order5", "mallory:order6",
			"mallory:order7", "mallory:order8", "mallory:order9", "mallory:order10", "mallory:order11", "mallory:order12", "mallory:send0"}},
		"not enough": {1 << 20, 299, nil},
	} {
		if got := names(holding(all...).choose(c.bytes, c.gas)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// A transaction that does not fit ends its account's turns, and no other's.
func TestOrderOfAnAccountIsKept(t *testing.T) {
	p := holding(wait("alice", "1", 10, false), wait("alice", "2", 90, false), wait("alice", "3", 10, false),
		wait("bob", "1", 10, false), wait("bob", "2", 10, false))
	if got := names(p.choose(1<<20, 16*50)); !slices.Equal(got, []string{"alice:1", "bob:1", "bob:2"}) {
		t.Fatal(got)
	}
}

// TestPoolLeavesRoom: however much some accounts send, there is room for another's, and
// what has left makes room again.
func TestPoolLeavesRoom(t *testing.T) {
	for what, size := range map[string]int{"small": 200, "large": MaxTxBytes} {
		p, capacity := holding(), min(MaxWaiting, MaxWaitingBytes/size)
		for _, accounts := range []int{1, 10} {
			for n := range 2 * capacity {
				w := wait(fmt.Sprint("mallory", n%accounts), fmt.Sprint(n), 1, false)
				w.raw = append(w.raw, make([]byte, size-len(w.raw))...)
				if w.key = sha256.Sum256(w.raw); p.room(w) == nil {
					p.add(w)
				}
			}
			honest := wait("alice", fmt.Sprint(accounts), 1, false)
			if err := p.room(honest); err != nil || p.total.txs > capacity*9/10 {
				t.Fatalf("%s, %d accounts, %v waiting: %v", what, accounts, p.total, err)
			}
		}
		for w := p.list; len(w) > 0; w = p.list {
			p.forget(w[0].raw, w[len(w)-1].raw)
		}
		if p.total != (load{}) || len(p.by) != 0 {
			t.Fatalf("%s: nothing waits, and yet %v", what, p.total)
		}
	}
}

// A great many accounts fill the pool, and no further.
func TestPoolIsBounded(t *testing.T) {
	p := holding()
	for n := range MaxWaiting + 1 {
		if w := wait(fmt.Sprint("account", n), "1", 1, false); p.room(w) == nil {
			p.add(w)
		}
	}
	if n := p.total.txs; n > MaxWaiting || n < MaxWaiting-freeShare {
		t.Fatalf("%d of %d wait", n, MaxWaiting)
	}
}
