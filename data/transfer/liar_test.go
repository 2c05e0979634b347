package transfer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/data/blob"
	"daulat/link"
)

// liar serves data with a twist, and hangs up after a twisted answer.
func liar(t testing.TB, data []byte, w twist) *link.Node {
	t.Helper()
	n, s := newNode(t), newStore(t)
	c := put(t, s, data)
	n.Handle(Protocol, func(ctx context.Context, stream *link.Stream) {
		for {
			var r request
			if stream.Receive(&r) != nil {
				return
			}
			b, err := s.Open(c)
			if err != nil {
				t.Error(err)
				return
			}
			var slice bytes.Buffer
			if r.Length == 0 {
				err = b.WriteSize(ctx, &slice)
			} else {
				err = b.WriteSlice(ctx, &slice, int64(r.Offset), int64(r.Length))
			}
			b.Close()
			if err != nil {
				t.Error(err)
				return
			}
			a := answer{Size: uint64(len(data))}
			sent, next := w(r, &a, slice.Bytes())
			if stream.Send(a) != nil {
				return
			}
			if _, err := stream.Write(sent); err != nil {
				return
			}
			if next != nil {
				next(ctx, stream)
				return
			}
		}
	})
	return n
}

func hangUp(context.Context, *link.Stream) {}

func stall(ctx context.Context, s *link.Stream) {
	s.SetFrameTimeout(time.Hour)
	s.Read(make([]byte, 1)) // until the other side gives up
}

// TestLiarIsConvicted flips one byte of what a provider sends, in each kind of
// place: the header, each node and each group of the proof and of the slice.
func TestLiarIsConvicted(t *testing.T) {
	data := bytesOf(1, 3*group+7)
	good, c := honest(t, data)
	const whole = 8 + 3*64 + 3*group + 7 // bytes of the slice over everything
	type place struct {
		proof bool
		at    int
	}
	var places []place
	for _, at := range []int{0, 7, 8, 39, 40, 71, 72, 135, 136, 142} {
		places = append(places, place{true, at}) // header, two nodes, the last group
	}
	for _, at := range []int{0, 7, 8, 71, 72, 135, 136, 136 + group - 1, 136 + group, 136 + 2*group - 1, 136 + 2*group, 136 + 2*group + 63, 200 + 2*group, whole - 8, whole - 7, whole - 1} {
		places = append(places, place{false, at})
	}
	client := newNode(t)
	var mu sync.Mutex
	var now place
	bad := liar(t, data, func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
		mu.Lock()
		defer mu.Unlock()
		if now.proof == (r.Length == 0) && now.at < len(slice) {
			slice[now.at] ^= 0x10
		}
		return slice, nil
	})
	for _, now = range places {
		dir := t.TempDir()
		s, err := blob.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		err = Fetch(t.Context(), client, s, c, [][]string{bad.Addrs()}, nil)
		if !slices.Equal(BadPeers(err), []canon.PublicKey{bad.Key()}) || !strings.Contains(err.Error(), link.PeerID(bad.Key())) {
			t.Fatalf("%+v: %v", now, err)
		}
		if s.Has(c) {
			t.Fatalf("%+v: a false blob is in the store", now)
		}
		kept, err := os.ReadFile(filepath.Join(dir, "partial", c.String()))
		if now.proof && !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%+v: something was written before the size was proved: %v", now, err)
		}
		if !bytes.HasPrefix(data, kept) {
			t.Fatalf("%+v: false bytes were written", now)
		}
		if _, err := FetchRange(t.Context(), client, s, c, [][]string{bad.Addrs()}, 0, int64(len(data))); BadPeers(err) == nil {
			t.Fatalf("%+v: range: %v", now, err)
		}
		for _, order := range [][][]string{{bad.Addrs(), good}, {good, bad.Addrs()}} {
			s := newStore(t)
			if err := Fetch(t.Context(), client, s, c, order, nil); err != nil {
				t.Fatalf("%+v: with an honest provider: %v", now, err)
			}
			holds(t, s, c, data)
		}
		got, err := FetchRange(t.Context(), client, s, c, [][]string{bad.Addrs(), good}, 5, group)
		if err != nil || !bytes.Equal(got, data[5:5+group]) {
			t.Fatalf("%+v: range with an honest provider: %v", now, err)
		}
	}
}

func TestClaimedSizeMustBeProved(t *testing.T) {
	data := bytesOf(2, 3*group)
	c := canon.NewCID(canon.Raw, canon.Sum(data))
	client := newNode(t)
	for _, claim := range []uint64{0, 1, group, 2 * group, 3*group - 1, 3*group + 1, 4 * group, 1 << 47, blob.MaxSize, blob.MaxSize + 1, 1 << 63, 1<<64 - 1} {
		bad := liar(t, data, func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
			a.Size = claim
			binary.LittleEndian.PutUint64(slice, claim)
			return append(slice, make([]byte, 4*group)...), nil
		})
		dir := t.TempDir()
		s, err := blob.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := Fetch(t.Context(), client, s, c, [][]string{bad.Addrs()}, nil); BadPeers(err) == nil {
			t.Fatalf("claim of %d bytes: %v", claim, err)
		}
		holdsNothing(t, dir)
		if _, err := FetchRange(t.Context(), client, s, c, [][]string{bad.Addrs()}, 0, 100); BadPeers(err) == nil {
			t.Fatalf("range under a claim of %d bytes: %v", claim, err)
		}
	}
}

func TestSizeMayNotChangeLater(t *testing.T) {
	data := bytesOf(2, 3*group)
	c := canon.NewCID(canon.Raw, canon.Sum(data))
	bad := liar(t, data, func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
		if r.Length > 0 {
			a.Size++
		}
		return slice, nil
	})
	if err := fetch(t, newStore(t), c, bad.Addrs()); BadPeers(err) == nil {
		t.Fatal(err)
	}
}

func TestTooLargeIsRefusedBeforeAnyWrite(t *testing.T) {
	data := bytesOf(3, 2*group)
	addrs, c := honest(t, data)
	dir := t.TempDir()
	s, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	client := Client{Node: newNode(t), Store: s, MaxSize: 2*group - 1}
	if err := client.Fetch(t.Context(), c, [][]string{addrs}, nil); !errors.Is(err, ErrTooLarge) || BadPeers(err) != nil {
		t.Fatal(err)
	}
	holdsNothing(t, dir)
	client.MaxSize++
	if err := client.Fetch(t.Context(), c, [][]string{addrs}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestMoreThanAskedIsNotRead(t *testing.T) {
	data := bytesOf(4, 2*group+5)
	c := canon.NewCID(canon.Raw, canon.Sum(data))
	bad := liar(t, data, func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
		if r.Length == 0 {
			return slice, nil
		}
		return append(slice, make([]byte, 1<<20)...), func(_ context.Context, s *link.Stream) {
			for { // until the client resets the stream
				if _, err := s.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}
	})
	s := newStore(t)
	if err := fetch(t, s, c, bad.Addrs()); err != nil {
		t.Fatal(err)
	}
	holds(t, s, c, data)
}

func TestStallingProviderIsLeft(t *testing.T) {
	data := bytesOf(7, 2*group)
	good, c := honest(t, data)
	for name, w := range map[string]twist{
		"before the proof": func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
			return slice[:9], stall
		},
		"inside a group": func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
			if r.Length == 0 {
				return slice, nil
			}
			return slice[:group], stall
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad := liar(t, data, w)
			s := newStore(t)
			client := Client{Node: newNode(t), Store: s, Timeout: 100 * time.Millisecond}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // far longer than the client's patience
			defer cancel()
			err := client.Fetch(ctx, c, [][]string{bad.Addrs()}, nil)
			if err == nil || BadPeers(err) != nil || ctx.Err() != nil {
				t.Fatalf("alone: %v", err)
			}
			if err := client.Fetch(ctx, c, [][]string{bad.Addrs(), good}, nil); err != nil {
				t.Fatal(err)
			}
			holds(t, s, c, data)
		})
	}
}

// A provider that sends a byte now and then is as slow as one that is silent.
func TestTricklingProviderIsLeft(t *testing.T) {
	data := bytesOf(7, 2*group)
	c := canon.NewCID(canon.Raw, canon.Sum(data))
	sent := make(chan int, 1)
	bad := liar(t, data, func(r request, a *answer, slice []byte) ([]byte, func(context.Context, *link.Stream)) {
		return nil, func(_ context.Context, s *link.Stream) {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for n := range slice { // far longer than the client's patience
				<-tick.C
				if _, err := s.Write(slice[n : n+1]); err != nil || n == 2500 {
					sent <- n
					return
				}
			}
		}
	})
	client := Client{Node: newNode(t), Store: newStore(t), Timeout: 100 * time.Millisecond}
	if err := client.Fetch(t.Context(), c, [][]string{bad.Addrs()}, nil); err == nil || BadPeers(err) != nil {
		t.Fatal(err)
	}
	if n := <-sent; n == 2500 {
		t.Fatal("the client bore with every byte")
	}
}

func TestMalformedAnswerConvicts(t *testing.T) {
	n := newNode(t)
	n.Handle(Protocol, func(_ context.Context, s *link.Stream) {
		s.Receive(&request{})
		s.Write([]byte{0, 0, 0, 1, 0xff})
		s.Read(make([]byte, 1))
	})
	c := canon.NewCID(canon.Raw, canon.Sum([]byte("wanted")))
	if err := fetch(t, newStore(t), c, n.Addrs()); !slices.Equal(BadPeers(err), []canon.PublicKey{n.Key()}) {
		t.Fatal(err)
	}
}

func TestProviderWithABadDiskIsNoLiar(t *testing.T) {
	data := bytesOf(9, 3*group)
	n, dir := newNode(t), t.TempDir()
	from, err := blob.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := put(t, from, data)
	Serve(n, from, ServeOptions{})
	path := filepath.Join(dir, "blobs", c.String())
	changed := bytes.Clone(data)
	changed[group+5] ^= 1
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fetch(t, newStore(t), c, n.Addrs()); err == nil || BadPeers(err) != nil {
		t.Fatal(err)
	}
	if from.Has(c) {
		t.Fatal("the damaged blob is still offered")
	}
}
