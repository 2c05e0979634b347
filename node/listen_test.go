package node

import (
	"net"
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
