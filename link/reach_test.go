package link

import (
	"errors"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

func addrs(texts ...string) []multiaddr.Multiaddr {
	all := make([]multiaddr.Multiaddr, len(texts))
	for i, text := range texts {
		all[i] = multiaddr.StringCast(text)
	}
	return all
}

const someone = "12D3KooWNZR75QM3bk4B68ULHDdNHrfjpRiMJo8g7Mj2JYzbWXpN"

// TestStrangersAddresses: what is dialed of what strangers say, by what a person
// said before.
func TestStrangersAddresses(t *testing.T) {
	nothing := newReach(addrs("/ip4/0.0.0.0/tcp/4700", "/ip6/::/tcp/4700"), nil, nil)
	internet := newReach(nil, addrs("/ip4/5.0.0.2/tcp/4700", "/dns4/friend.example/tcp/4700"), nil)
	home := newReach(nil, addrs("/ip4/192.168.1.5/tcp/4700"), nil)
	machine := newReach(addrs("/ip4/127.0.0.1/tcp/0"), nil, nil)
	beside := newReach(nil, nil, addrs("/ip4/192.168.1.5/tcp/4700", "/ip4/127.0.0.1/tcp/4700"))
	through := newReach(nil, addrs("/ip4/10.0.0.2/tcp/4700/p2p/"+someone+"/p2p-circuit"), nil)
	every := []reach{nothing, internet, home, machine, beside, through}
	for text, allowed := range map[string][]reach{
		"/ip4/8.8.8.8/tcp/4700":                                    every,
		"/ip6/2606:4700::1111/tcp/4700":                            every,
		"/ip4/5.0.0.2/tcp/22":                                      every,
		"/ip4/192.168.1.1/tcp/80":                                  {home}, // a router
		"/ip4/192.168.1.5/tcp/4700":                                {home, beside},
		"/ip4/192.168.1.5/tcp/4701":                                {home},
		"/ip4/127.0.0.1/tcp/26657":                                 {machine}, // a ledger's RPC
		"/ip4/127.0.0.1/tcp/4700":                                  {machine, beside},
		"/ip4/127.1.2.3/tcp/5":                                     {machine},
		"/ip6/::1/tcp/26657":                                       {machine},
		"/ip6/::ffff:127.0.0.1/tcp/26657":                          {machine},
		"/ip6/::ffff:192.168.1.1/tcp/80":                           {home},
		"/ip4/10.0.0.3/tcp/4700":                                   {through},
		"/ip4/172.16.0.1/tcp/80":                                   nil,
		"/ip4/172.31.255.1/tcp/80":                                 nil,
		"/ip4/100.64.0.1/tcp/80":                                   nil,
		"/ip4/169.254.169.254/tcp/80":                              nil, // a cloud's metadata
		"/ip6/fe80::1/tcp/80":                                      nil,
		"/ip6zone/eth0/ip6/fe80::1/tcp/80":                         nil,
		"/ip6/fd00::1/tcp/80":                                      nil,
		"/ip4/0.0.0.0/tcp/26657":                                   nil, // which Linux takes for loopback
		"/ip6/::/tcp/26657":                                        nil,
		"/ip4/224.0.0.251/tcp/5353":                                nil,
		"/ip4/255.255.255.255/tcp/80":                              nil,
		"/ip4/203.0.113.7/tcp/80":                                  nil,
		"/ip6/64:ff9b::7f00:1/tcp/80":                              nil, // IPv4 once more
		"/ip6/2002:7f00:1::/tcp/80":                                nil,
		"/ip6/2001:0:7f00:1::/tcp/80":                              nil,
		"/ip6/ff02::1/tcp/80":                                      nil,
		"/ip4/8.8.8.8/tcp/0":                                       nil,
		"/ip4/8.8.8.8/udp/4700":                                    nil,
		"/ip4/8.8.8.8/tcp/4700/ws":                                 nil,
		"/dns4/friend.example/tcp/4700":                            {internet}, // a person's word, and only this one
		"/dns4/friend.example/tcp/80":                              nil,
		"/dns4/localhost/tcp/26657":                                nil,
		"/dnsaddr/friend.example":                                  nil,
		"/unix/%2Fvar%2Frun%2Fdocker.sock":                         nil,
		"/ip4/8.8.8.8/tcp/1/p2p/" + someone + "/p2p-circuit":       every,
		"/ip4/192.168.1.1/tcp/80/p2p/" + someone + "/p2p-circuit":  {home},
		"/ip4/127.0.0.1/tcp/26657/p2p/" + someone + "/p2p-circuit": {machine},
		"/ip4/8.8.8.8/tcp/1/p2p/" + someone + "/p2p-circuit/ip4/192.168.1.1/tcp/80":          nil,
		"/ip4/8.8.8.8/tcp/1/p2p/" + someone + "/p2p-circuit/p2p/" + someone + "/p2p-circuit": nil,
		"/ip4/8.8.8.8/tcp/1/p2p-circuit":                                                     nil,
		"/p2p/" + someone + "/p2p-circuit":                                                   nil,
		"/p2p-circuit":                                                                       nil,
	} {
		a, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			t.Fatal(text, err)
		}
		for i, r := range every {
			want := false
			for _, yes := range allowed {
				want = want || sameReach(yes, r)
			}
			if got := r.allows(a); got != want {
				t.Errorf("%s by reach %d: %v", text, i, got)
			}
		}
	}
}

func sameReach(a, b reach) bool {
	return keysOf(a.scopes) == keysOf(b.scopes) && keysOf(a.named) == keysOf(b.named)
}

func keysOf(m map[string]bool) string {
	var b strings.Builder
	for _, r := range append([]string{public, loopback}, "private 10", "private 192", "/ip4/5.0.0.2/tcp/4700", "/ip4/192.168.1.5/tcp/4700", "/ip4/10.0.0.2/tcp/4700") {
		if m[r] {
			b.WriteString(r + " ")
		}
	}
	return b.String()
}

// A name may lead anywhere, today here and tomorrow there: strangers' names are
// not even resolved, and what a person's name resolves to is looked at once more.
func TestNamesDoNotLeadInward(t *testing.T) {
	server := node(t, Config{})
	server.Handle(echo, serveEcho)
	_, port, _ := strings.Cut(server.Listening()[0], "/tcp/")
	name := "/dns4/localhost/tcp/" + port
	stranger := node(t, Config{}) // it may dial loopback
	if s, err := stranger.DialKey(t.Context(), server.Key(), []string{name}, echo); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a stranger's name was followed to %v, %v", s, err)
	}
	named := node(t, Config{Named: []string{name}}) // it may not, though it may follow the name
	if s, err := named.DialKey(t.Context(), server.Key(), []string{name}, echo); err == nil {
		t.Errorf("a name led inward: %v", s)
	}
}

// What a peer says when a hole is to be punched is what a stranger says.
func TestPunchedAddressesAreFiltered(t *testing.T) {
	n := node(t, Config{Named: []string{"/ip4/5.0.0.2/tcp/4700"}})
	said := addrs("/ip4/192.168.1.1/tcp/80", "/ip4/5.0.0.4/tcp/1", "/ip4/127.0.0.1/tcp/26657", "/ip4/5.0.0.4/tcp/2",
		"/ip4/5.0.0.4/tcp/3", "/ip4/5.0.0.4/tcp/4", "/ip4/5.0.0.4/tcp/5", "/ip4/5.0.0.4/tcp/6")
	got := punchFilter{n.reach}.FilterRemote("", said)
	if len(got) != maxPunched {
		t.Errorf("%d addresses are dialed", len(got))
	}
	for _, a := range got {
		if !strings.HasPrefix(a.String(), "/ip4/5.0.0.4/") {
			t.Errorf("%s is dialed", a)
		}
	}
	id, err := peerOf(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextEnded(t)
	defer cancel()
	if n.host.Connect(ctx, peer.AddrInfo{ID: id, Addrs: said[:1]}) == nil {
		t.Error("connected to nobody")
	}
	if known := n.swarm.Peerstore().Addrs(id); len(known) != 0 {
		t.Errorf("%v may be dialed later", known)
	}
}

// FuzzReach holds what is dialed of a stranger's text to the standard library's
// view of the address.
func FuzzReach(f *testing.F) {
	for _, text := range []string{"/ip4/8.8.8.8/tcp/1", "/ip6/2606:4700::1111/tcp/1", "/ip4/8.8.8.8/tcp/1/p2p/" + someone + "/p2p-circuit/p2p/" + someone,
		"/ip4/192.168.1.1/tcp/80", "/dns4/a.example/tcp/1", "/p2p-circuit", "/ip6/::ffff:127.0.0.1/tcp/1/p2p/" + someone} {
		f.Add(text)
	}
	r := newReach(nil, addrs("/ip4/5.0.0.2/tcp/4700"), nil)
	f.Fuzz(func(t *testing.T, text string) {
		_, a, err := parseAddr(text)
		if err != nil || !r.allows(a) {
			return
		}
		leg, _, _ := splitCircuit(a)
		ip, ok := ipOf(leg)
		if !ok || !ip.IsGlobalUnicast() || ip.Unmap().IsPrivate() || ip.Unmap().IsLoopback() || ip.Unmap().IsMulticast() {
			t.Fatalf("%q is dialed", text)
		}
	})
}
