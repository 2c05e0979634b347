package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	xrate "golang.org/x/time/rate"

	"daulat/core/canon"
	"daulat/data/blob"
	"daulat/link"
	"daulat/link/linktest"
)

const group = blob.GroupSize

func bytesOf(seed uint64, size int) []byte {
	p := make([]byte, size)
	randomReader(seed).Read(p)
	return p
}

func randomReader(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return mathrand.NewChaCha8(key)
}

func newNode(t testing.TB) *link.Node { return linktest.Node(t, linktest.Key(t)) }

func newStore(t testing.TB) *blob.Store {
	t.Helper()
	s, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *blob.Store, data []byte) canon.CID {
	t.Helper()
	c, _, err := s.Put(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func holds(t testing.TB, s *blob.Store, c canon.CID, data []byte) {
	t.Helper()
	got, err := s.Bytes(c, int64(len(data)))
	if err != nil || !bytes.Equal(got, data) {
		t.Fatal("the blob did not arrive:", err)
	}
}

// holdsNothing checks that not a byte of a blob lies in the store's folder.
func holdsNothing(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("%s was written", filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// honest serves data from a node of its own.
func honest(t testing.TB, data []byte) (addrs []string, c canon.CID) {
	t.Helper()
	n, s := newNode(t), newStore(t)
	c = put(t, s, data)
	Serve(n, s, ServeOptions{})
	return n.Addrs(), c
}

// twist changes what an otherwise honest provider says. It gets each request, the
// honest answer and slice, and returns what is sent; then, if not nil, runs next.
type twist func(r request, a *answer, slice []byte) (sent []byte, next func(context.Context, *link.Stream))

func fetch(t testing.TB, s *blob.Store, c canon.CID, providers ...[]string) error {
	t.Helper()
	return Fetch(t.Context(), newNode(t), s, c, providers, nil)
}

var sizes = []int{0, 1, 100, group, group + 1, 3*group + 7, 4 * group}

func TestFetch(t *testing.T) {
	client := newNode(t)
	for _, size := range sizes {
		data := bytesOf(uint64(size), size)
		addrs, c := honest(t, data)
		s := newStore(t)
		var heard []int64
		progress := func(done, total int64) {
			if total != int64(size) {
				t.Errorf("total is %d", total)
			}
			heard = append(heard, done)
		}
		if err := Fetch(t.Context(), client, s, c, [][]string{addrs}, progress); err != nil {
			t.Fatal(err)
		}
		holds(t, s, c, data)
		if !slices.IsSorted(heard) || heard[len(heard)-1] != int64(size) {
			t.Fatalf("progress of %d bytes: %v", size, heard)
		}
		if err := Fetch(t.Context(), client, s, c, nil, nil); err != nil {
			t.Fatalf("what is there is fetched again: %v", err)
		}
	}
}

func TestFetchDocument(t *testing.T) {
	n, from, to := newNode(t), newStore(t), newStore(t)
	c, err := from.PutBytes(canon.DagCBOR, []byte{0xa0})
	if err != nil {
		t.Fatal(err)
	}
	Serve(n, from, ServeOptions{})
	if err := fetch(t, to, c, n.Addrs()); err != nil {
		t.Fatal(err)
	}
	holds(t, to, c, []byte{0xa0})
}

func TestFetchRange(t *testing.T) {
	client, dir := newNode(t), t.TempDir()
	s, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range sizes {
		data := bytesOf(uint64(size), size)
		addrs, c := honest(t, data)
		local := newStore(t)
		put(t, local, data)
		for _, r := range [][2]int{{0, size}, {0, 10}, {size / 2, 1000}, {size, 1}, {max(size-1, 0), 1}, {0, 0}, {group - 3, 6}, {size + 1, 0}} {
			var want []byte
			if r[0] <= size {
				want = data[r[0]:min(r[0]+r[1], size)]
			}
			for where, store := range map[string]*blob.Store{"provider": s, "store": local} {
				got, err := FetchRange(t.Context(), client, store, c, [][]string{addrs}, int64(r[0]), int64(r[1]))
				if (err == nil) != (r[0] <= size) || !bytes.Equal(got, want) {
					t.Fatalf("range %v of %d bytes from the %s: %d bytes, %v", r, size, where, len(got), err)
				}
			}
		}
		for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, MaxRange + 1}, {1 << 62, 1}} {
			if _, err := FetchRange(t.Context(), client, s, c, [][]string{addrs}, r[0], r[1]); err == nil {
				t.Fatalf("range %v was read", r)
			}
		}
	}
	holdsNothing(t, dir)
}

// TestResumeAfterEveryCut cuts a download at every group boundary and inside
// every group; another provider then serves what is missing, and nothing else.
func TestResumeAfterEveryCut(t *testing.T) {
	data := bytesOf(5, 4*group+9)
	c := canon.NewCID(canon.Raw, canon.Sum(data))
	client := newNode(t)
	var mu sync.Mutex
	var cut int
	var asked []uint64
	first := liar(t, data, func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
		mu.Lock()
		defer mu.Unlock()
		if r.Length == 0 {
			return slice, nil
		}
		return slice[:min(cut, len(slice))], hangUp
	})
	second := liar(t, data, func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
		mu.Lock()
		defer mu.Unlock()
		if r.Length > 0 {
			asked = append(asked, r.Offset)
		}
		return slice, nil
	})
	seen := map[uint64]bool{}
	cuts := []int{0, 5, 8, 100, 8 + 3*64}
	for _, end := range groupEnds {
		cuts = append(cuts, end-1, end, end+70)
	}
	for _, at := range cuts[:len(cuts)-1] { // all but one behind the end
		for _, restart := range []bool{false, true} {
			mu.Lock()
			cut, asked = at, nil
			mu.Unlock()
			dir := t.TempDir()
			s, err := blob.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			providers := [][]string{first.Addrs(), second.Addrs()}
			if restart {
				err := Client{Node: oneDial{client, new(int)}, Store: s}.Fetch(t.Context(), c, providers[:1], nil)
				if err == nil || BadPeers(err) != nil {
					t.Fatalf("cut at %d: %v", at, err)
				}
				if s, err = blob.Open(dir); err != nil {
					t.Fatal(err)
				}
				providers = providers[1:]
			}
			if err := Fetch(t.Context(), client, s, c, providers, nil); err != nil {
				t.Fatalf("cut at %d: %v", at, err)
			}
			holds(t, s, c, data)
			mu.Lock()
			if len(asked) != 1 || asked[0] != groupsBefore(at) {
				t.Fatalf("cut at %d: the rest was asked from %v, not %d", at, asked, groupsBefore(at))
			}
			seen[asked[0]] = true
			mu.Unlock()
		}
	}
	if len(seen) != 5 {
		t.Fatalf("resumed only at %v", seen)
	}
}

// groupEnds is where the whole groups end in a slice over 4 groups and 9 bytes:
// its nodes lie before groups 0 (three of them) and 2 (one).
var groupEnds = []int{8 + 3*64 + group, 8 + 3*64 + 2*group, 8 + 4*64 + 3*group, 8 + 4*64 + 4*group}

// groupsBefore is how many bytes of whole groups lie before the cut.
func groupsBefore(cut int) (whole uint64) {
	for i, end := range groupEnds {
		if cut >= end {
			whole = uint64(i+1) * group
		}
	}
	return whole
}

// oneDial lets one dial through: the process ends before a second.
type oneDial struct {
	Dialer
	dials *int
}

func (d oneDial) Dial(ctx context.Context, addrs []string, protocol string) (*link.Stream, error) {
	if *d.dials++; *d.dials > 1 {
		return nil, errors.New("gone")
	}
	return d.Dialer.Dial(ctx, addrs, protocol)
}

func TestProviderThatKeepsHangingUpIsAskedAgain(t *testing.T) {
	data := bytesOf(6, 5*group)
	c := canon.NewCID(canon.Raw, canon.Sum(data))
	flaky := liar(t, data, func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
		if r.Length == 0 {
			return slice, nil
		}
		return slice[:min(len(slice), group+1000)], hangUp
	})
	s := newStore(t)
	if err := fetch(t, s, c, flaky.Addrs()); err != nil {
		t.Fatal(err)
	}
	holds(t, s, c, data)
}

func TestNobodyHasIt(t *testing.T) {
	addrs, _ := honest(t, []byte("other"))
	c := canon.NewCID(canon.Raw, canon.Sum([]byte("wanted")))
	gone := newNode(t)
	gone.Close()
	for _, providers := range [][][]string{nil, {addrs}, {{"nonsense"}}, {{}}, {gone.Addrs()}, {append([]string{"/ip4/127.0.0.1/tcp/1"}, "")}} {
		if err := fetch(t, newStore(t), c, providers...); err == nil || BadPeers(err) != nil {
			t.Errorf("providers %v: %v", providers, err)
		}
	}
}

// What fails on this machine is nobody else's fault, and no other provider helps.
func TestOwnDiskIsNotBlamedOnAPeer(t *testing.T) {
	data := bytesOf(8, group+1)
	addrs, c := honest(t, data)
	dir := t.TempDir()
	s, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "partial", c.String()), 0o700); err != nil {
		t.Fatal(err)
	}
	dials := new(int)
	client := Client{Node: oneDial{newNode(t), dials}, Store: s}
	if err := client.Fetch(t.Context(), c, [][]string{addrs, addrs}, nil); err == nil || isPeerError(err) || *dials != 1 {
		t.Fatalf("%d dials: %v", *dials, err)
	}
}

func TestCancelledFetchKeepsWhatItHas(t *testing.T) {
	data := bytesOf(10, 4*group)
	addrs, c := honest(t, data)
	client, s := newNode(t), newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := Fetch(ctx, client, s, c, [][]string{addrs}, func(done, _ int64) {
		if done == 2*group {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || BadPeers(err) != nil {
		t.Fatal(err)
	}
	first := int64(-1)
	if err := Fetch(t.Context(), client, s, c, [][]string{addrs}, func(done, _ int64) {
		if first < 0 {
			first = done
		}
	}); err != nil || first < 2*group {
		t.Fatalf("went on from %d: %v", first, err)
	}
	holds(t, s, c, data)
}

func TestSameBlobTwiceAtOnce(t *testing.T) {
	data := bytesOf(11, 8*group)
	c := canon.NewCID(canon.Raw, canon.Sum(data))
	var proofs, downloads atomic.Int32
	begun := make(chan struct{}) // all four
	seeder := liar(t, data, func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
		if r.Length == 0 {
			if proofs.Add(1) == 4 {
				close(begun)
			}
			return slice, nil
		}
		downloads.Add(1)
		select { // none is done before all have begun
		case <-begun:
		case <-t.Context().Done():
		}
		return slice, nil
	})
	client, s := newNode(t), newStore(t)
	errs := make(chan error)
	for range 4 {
		go func() { errs <- Fetch(t.Context(), client, s, c, [][]string{seeder.Addrs()}, nil) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if downloads.Load() != 1 {
		t.Errorf("it was downloaded %d times", downloads.Load())
	}
	holds(t, s, c, data)
}

func TestServerLimits(t *testing.T) {
	data := bytesOf(12, group)
	client, stranger := newNode(t), newNode(t)
	server, from := newNode(t), newStore(t)
	c := put(t, from, data)
	Serve(server, from, ServeOptions{MaxStreams: 3, MaxPerPeer: 2, Allow: func(peer canon.PublicKey, id canon.CID) bool {
		return peer == client.Key() && id == c
	}})
	say := func(from *link.Node, r request) (answer, *link.Stream) {
		t.Helper()
		s, err := from.Dial(t.Context(), server.Addrs(), Protocol)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Reset)
		var a answer
		if err := errors.Join(s.Send(r), s.Receive(&a)); err != nil {
			t.Fatal(err)
		}
		return a, s
	}
	// One stream for all, as the room of a reset one is free only when the
	// server has seen the reset.
	_, asked := say(client, request{c, group + 1, 0})
	for _, r := range []request{{c, group + 1, 0}, {c, 1, 0}, {c, 0, group + 1}, {c, 1, 1<<64 - 1}, {c, 1<<64 - 1, 2}} {
		var a answer
		if err := errors.Join(asked.Send(r), asked.Receive(&a)); err != nil || a.Reason != invalid {
			t.Fatalf("%+v: %+v, %v", r, a, err)
		}
	}
	asked.Reset()
	a, s := say(stranger, request{CID: c})
	if a.Reason != absent {
		t.Fatalf("a stranger: %+v", a)
	}
	s.Reset()
	late := time.Now().Add(15 * time.Second)
	// Rooms: the client gets two, then somebody else one, then nobody any.
	for _, want := range []struct {
		from   *link.Node
		reason string
	}{{client, ""}, {client, ""}, {client, busy}, {stranger, absent}, {newNode(t), busy}} {
		for {
			a, s := say(want.from, request{CID: c})
			if a.Reason == want.reason {
				break
			}
			if a.Reason != busy || time.Now().After(late) { // busy: the streams above have not left yet
				t.Fatalf("%q, not %q", a.Reason, want.reason)
			}
			s.Reset()
			runtime.Gosched()
		}
	}
}

// A client that falls silent, or that takes no more of what it asked for, gives
// its place to the next one.
func TestClientThatStallsLosesItsPlace(t *testing.T) {
	data := bytesOf(13, 8<<20) // more than a stream holds under way
	for name, r := range map[string]request{"asks for nothing more": {}, "takes no more": {Length: 8 << 20}} {
		t.Run(name, func(t *testing.T) {
			server, from := newNode(t), newStore(t)
			r.CID = put(t, from, data)
			Serve(server, from, ServeOptions{MaxStreams: 1, Timeout: 200 * time.Millisecond})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // far longer than the server's patience
			defer cancel()
			// served asks until it gets a place; a busy machine may let a try run out.
			served := func(from *link.Node, r request) *link.Stream {
				for {
					s, err := from.Dial(ctx, server.Addrs(), Protocol)
					if err == nil {
						var a answer
						if err = errors.Join(s.Send(r), s.Receive(&a)); err == nil && a.Reason == "" {
							return s
						}
						s.Reset()
					}
					if ctx.Err() != nil {
						t.Fatalf("no place comes free: %v", err)
					}
					runtime.Gosched()
				}
			}
			defer served(newNode(t), r).Reset() // which says no more, for as long as the test runs
			served(newNode(t), request{CID: r.CID}).Reset()
		})
	}
}

func TestPaceIsKept(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	var out bytes.Buffer
	// At a byte a second the second burst cannot leave before ctx ends, and the
	// limiter says so without waiting.
	n, err := paced{ctx, xrate.NewLimiter(1, burst), &out}.Write(make([]byte, 2*burst))
	if err == nil || n != burst || out.Len() != burst {
		t.Fatalf("%d bytes left: %v", n, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const size = 50 << 20
	n, from := newNode(t), newStore(t)
	c, _, err := from.Put(t.Context(), io.LimitReader(randomReader(13), size))
	if err != nil {
		t.Fatal(err)
	}
	Serve(n, from, ServeOptions{})
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, peak := m.HeapAlloc, uint64(0)
	start := time.Now()
	to := newStore(t)
	if err := Fetch(t.Context(), newNode(t), to, c, [][]string{n.Addrs()}, func(done, _ int64) {
		if done%(1<<20) == 0 {
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB in %s, heap grew by %.1f MiB", size>>20, time.Since(start).Round(time.Millisecond), float64(peak-before)/(1<<20))
	if peak > before+size/2 {
		t.Fatalf("the heap grew by %d bytes", peak-before)
	}
	if err := to.Verify(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// FuzzRequest: a request that is served lies within the blob.
func FuzzRequest(f *testing.F) {
	c := canon.NewCID(canon.Raw, canon.Hash{1})
	f.Add(canon.MustMarshal(request{c, 1, 2}), int64(10))
	f.Add(canon.MustMarshal(request{c, 1<<64 - 1, 2}), int64(10))
	f.Add(canon.MustMarshal(request{c, 0, 0}), int64(0))
	f.Fuzz(func(t *testing.T, in []byte, size int64) {
		var r request
		if size < 0 || size > blob.MaxSize || canon.Unmarshal(in, &r) != nil {
			return
		}
		offset, length, ok := r.span(size)
		if ok && (offset < 0 || length < 0 || offset+length > size || uint64(offset) != r.Offset || uint64(length) != r.Length) {
			t.Fatalf("%+v of %d bytes is served as %d from %d", r, size, length, offset)
		}
	})
}
