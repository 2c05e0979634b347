package node

import (
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"daulat/ui/control"
)

// A port that somebody named is that port or an error; the default one may be
// replaced, and says so.
func TestTakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	var said []string
	say := func(step string) { said = append(said, step) }
	o := control.UpOptions{Listen: taken.Addr().String()}
	if l, err := listen(o, say); err == nil || !strings.Contains(err.Error(), "port "+port) || len(said) != 0 {
		t.Fatalf("%v, %v, said %v", l, err, said)
	}
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	at, err := linkAddr(o.Listen)
	if err != nil {
		t.Fatal(err)
	}
	if err := home.vacant(at); err == nil || !strings.Contains(err.Error(), "port "+port+" of 127.0.0.1 is taken") {
		t.Errorf("a taken --link: %v", err)
	}
	if err := home.vacant("/ip4/192.0.2.1/tcp/4700"); err == nil || !strings.Contains(err.Error(), "invite --peer") {
		t.Errorf("a --link that is another machine's: %v", err)
	}
	if err := errors.Join(home.vacant(""), home.vacant(linkNone), home.vacant("/ip4/127.0.0.1/tcp/0")); err != nil {
		t.Errorf("no --link, none, and a free one: %v", err)
	}
	if err := errors.Join(saveJSON(home.path(linkFile), keptLink{at}), home.vacant(linkNone)); err != nil || home.vacant("") == nil {
		t.Errorf("an earlier --link that is taken now, and --link none: %v", err)
	}
	o.AnyPort = true
	l, err := listen(o, say)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if len(said) != 1 || !strings.Contains(said[0], port) || !strings.Contains(said[0], l.Addr().String()) {
		t.Errorf("said %v", said)
	}
	for _, bad := range []string{"nonsense", "127.0.0.1:99999", "192.0.2.1:0"} {
		if _, err := listen(control.UpOptions{Listen: bad, AnyPort: true}, say); err == nil {
			t.Errorf("%s was listened on", bad)
		}
	}
}

// A wildcard is reached by loopback from here, and by real addresses from
// elsewhere; loopback alone is nobody else's.
func TestReach(t *testing.T) {
	for _, c := range []struct {
		ip, here string
		others   []string // nil: whatever this machine has
	}{
		{"0.0.0.0", "127.0.0.1:80", nil},
		{"::", "127.0.0.1:80", nil},
		{"127.0.0.1", "127.0.0.1:80", []string{}},
		{"::1", "[::1]:80", []string{}},
		{"192.0.2.7", "192.0.2.7:80", []string{"192.0.2.7"}},
	} {
		here, others := reach(&net.TCPAddr{IP: net.ParseIP(c.ip), Port: 80})
		if here != c.here || c.others != nil && !slices.Equal(others, c.others) {
			t.Errorf("%s is reached at %s, and by others at %v", c.ip, here, others)
		}
		for _, o := range others {
			if ip := net.ParseIP(o); ip == nil || ip.IsLoopback() || ip.IsUnspecified() {
				t.Errorf("%s: others are told %s", c.ip, o)
			}
		}
	}
}
