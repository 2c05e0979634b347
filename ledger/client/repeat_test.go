package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// A call whose connection breaks under it is made again over another one, once. A
// node that can't be reached is not called twice.
func TestCallsOutliveTheirConnection(t *testing.T) {
	for name, c := range map[string]struct {
		broken, dials int64 // connections that break, and that are asked for
		works         bool
	}{"one breaks": {1, 2, true}, "two break": {2, 2, false}} {
		t.Run(name, func(t *testing.T) {
			var dials atomic.Int64
			rpc, err := Over(func(context.Context) (net.Conn, error) {
				near, far := net.Pipe()
				go answerStatus(far, dials.Add(1) <= c.broken)
				return near, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = rpc.Status(t.Context())
			if (err == nil) != c.works || dials.Load() != c.dials {
				t.Errorf("%v after %d connections", err, dials.Load())
			}
		})
	}
	var dials int
	rpc, err := Over(func(context.Context) (net.Conn, error) { dials++; return nil, errors.New("nobody is there") })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rpc.Status(t.Context()); err == nil || dials != 1 {
		t.Errorf("%v after %d dials", err, dials)
	}
}

// answerStatus reads one call, and answers it or hangs up.
func answerStatus(c net.Conn, hangUp bool) {
	defer c.Close()
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	var call struct {
		ID json.RawMessage `json:"id"`
	}
	if json.NewDecoder(r.Body).Decode(&call) != nil || hangUp {
		return
	}
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{}}`, call.ID)
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
