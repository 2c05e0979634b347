package transfer

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/data/blob"
	"daulat/link"
)

// openBelow lists the files below dir that this process has open.
func openBelow(t *testing.T, dir string) (open []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if file, err := os.Readlink(l); err == nil && strings.HasPrefix(file, dir+"/") {
			open = append(open, file)
		}
	}
	return open
}

// TestTransfersLeaveNothingOpen: neither a place at the provider nor a file, on
// either side, however a transfer ends. The collector, which closes forgotten
// files now and then, is off.
func TestTransfersLeaveNothingOpen(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	data := bytesOf(14, 3*group)
	server, dirs := newNode(t), []string{t.TempDir(), t.TempDir()}
	from, to := storeIn(t, dirs[0]), storeIn(t, dirs[1])
	c := put(t, from, data)
	Serve(server, from, ServeOptions{})
	cut := liar(t, data, func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
		if r.Length == 0 {
			return slice, nil
		}
		return slice[:len(slice)/2], hangUp
	})
	client := Client{Node: newNode(t), Store: to}
	absent := canon.NewCID(canon.Raw, canon.Sum([]byte("absent")))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 10 {
		_, missing := client.FetchRange(ctx, absent, [][]string{server.Addrs()}, 0, 1)
		broken := client.Fetch(ctx, c, [][]string{cut.Addrs()}, nil)
		if missing == nil || broken == nil || ctx.Err() != nil {
			t.Fatalf("an absent blob: %v; a provider that hangs up: %v", missing, broken)
		}
		for { // the provider may not yet have seen that the last stream ended
			_, err := client.FetchRange(ctx, c, [][]string{server.Addrs()}, 5, 100)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("what was before holds the provider's places: %v", err)
			}
			runtime.Gosched()
		}
	}
	deadline := time.Now().Add(5 * time.Second) // for the provider to see the ends
	for _, dir := range dirs {
		for open := openBelow(t, dir); len(open) > 0; open = openBelow(t, dir) {
			if time.Now().After(deadline) {
				t.Fatalf("still open: %q", open)
			}
		}
	}
}

func storeIn(t *testing.T, dir string) *blob.Store {
	t.Helper()
	s, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
