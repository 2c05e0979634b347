package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	cmtbytes "github.com/cometbft/cometbft/libs/bytes"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	ctypes "github.com/cometbft/cometbft/rpc/core/types"

	"daulat/core/canon"
)

// follows is a client of a stranger's node that began at height 2.
func follows(l *ledger, rpc RPC, keep func(Trust) error) *Client {
	c := NewVerified(rpc, l.trust(2), nil, keep)
	c.follower.now = func() time.Time { return testStart.Add(testTip*time.Second + time.Minute) }
	return c
}

func TestFollowerTakesProvenSessions(t *testing.T) {
	l := newLedger(t, 1, 0)
	var kept []Trust
	c := follows(l, tipRPC{l}, func(trust Trust) error {
		kept = append(kept, trust)
		return nil
	})
	for range 3 { // the third time nothing is newer
		s, err := c.Session(t.Context(), testID)
		check(t, err)
		if string(canon.MustMarshal(s)) != string(canon.MustMarshal(testSession(testID))) {
			t.Fatalf("session %+v", s)
		}
	}
	if want := []Trust{l.trust(testTip - 1), l.trust(testTip)}; !slices.Equal(kept, want) {
		t.Fatalf("kept %+v, not %+v", kept, want)
	}
	asked[l] = 0 // what is absent is looked for in one more block
	if _, err := c.Session(t.Context(), 99); !errors.Is(err, ErrNotFound) {
		t.Errorf("absent session: %v", err)
	}
	asked[l] = 0
	if s, err := c.Standing(t.Context(), "nobody"); err != nil || s != (Standing{}) {
		t.Errorf("absent standing: %+v, %v", s, err)
	}
	refused := errors.New("disk full")
	c = follows(l, tipRPC{l}, func(Trust) error { return refused })
	if _, err := c.Session(t.Context(), testID); !errors.Is(err, refused) {
		t.Errorf("trust that can't be kept: %v", err)
	}
}

// TestFollowerSeesWhatItSent: the state that answers is not older than the last
// transaction, though the newest one has no proof yet.
func TestFollowerSeesWhatItSent(t *testing.T) {
	l := newLedger(t, 1, 0)
	c := follows(l, tipRPC{l}, nil)
	c.follower.sent(testTip - 1)
	c.follower.sent(1) // of a slower caller
	if _, header, err := c.verified(t.Context(), marketStore, sessionKey(testID)); err != nil || header.Height != testTip {
		t.Fatalf("proven by header %+v: %v", header, err)
	}
}

// lyingRPC answers as its node does, but for what the test changes.
type lyingRPC struct {
	tipRPC
	value func([]byte) []byte
	block func(*cmtproto.LightBlock)
	from  int64 // lowest height at which headers are changed
}

func (r lyingRPC) ABCIQueryWithOptions(ctx context.Context, path string, data cmtbytes.HexBytes, o rpcclient.ABCIQueryOptions) (*ctypes.ResultABCIQuery, error) {
	answer, err := r.tipRPC.ABCIQueryWithOptions(ctx, path, data, o)
	if err == nil && r.value != nil {
		answer.Response.Value = r.value(answer.Response.Value)
	}
	return answer, err
}

func (r lyingRPC) Commit(ctx context.Context, height *int64) (*ctypes.ResultCommit, error) {
	if r.block == nil || *height < r.from {
		return r.tipRPC.Commit(ctx, height)
	}
	p, err := r.blocks[*height].ToProto()
	if err != nil {
		return nil, err
	}
	data, err := p.Marshal()
	if err != nil {
		return nil, err
	}
	var copied cmtproto.LightBlock
	if err := copied.Unmarshal(data); err != nil {
		return nil, err
	}
	r.block(&copied)
	data, err = copied.Marshal()
	if err != nil {
		return nil, err
	}
	b, err := decodeBlock(data)
	if err != nil {
		return nil, err
	}
	return ctypes.NewResultCommit(b.Header, b.Commit, true), nil
}

func TestFollowerRefusesLies(t *testing.T) {
	l := newLedger(t, 1, 0)
	rich := testSession(testID)
	rich.Escrow.Deposited, rich.Escrow.Locked = 1_000_000, 1_000_000
	altered := func(b *cmtproto.LightBlock) { b.SignedHeader.Header.AppHash[0] ^= 1 }
	for name, row := range map[string]struct {
		rpc  lyingRPC
		want error
	}{
		"a session with more money": {lyingRPC{value: func([]byte) []byte { return canon.MustMarshal(rich) }}, ErrState},
		"another state":             {lyingRPC{block: altered, from: 3}, ErrHeader},
		"another trusted header":    {lyingRPC{block: altered, from: 2}, ErrRoot},
	} {
		row.rpc.tipRPC = tipRPC{l}
		if s, err := follows(l, row.rpc, nil).Session(t.Context(), testID); !errors.Is(err, row.want) {
			t.Errorf("%s: %+v, %v, not %v", name, s, err, row.want)
		}
	}
	// Of a ledger of the same name: nothing in it counts.
	other := newLedger(t, 2, 0)
	if _, err := follows(l, tipRPC{other}, nil).Session(t.Context(), testID); !errors.Is(err, ErrRoot) {
		t.Errorf("another ledger: %v", err)
	}
	// Too few of the validators signed.
	few := newLedger(t, 1, 2)
	if _, err := follows(few, tipRPC{few}, nil).Session(t.Context(), testID); !errors.Is(err, ErrHeader) {
		t.Errorf("headers that half signed: %v", err)
	}
}

func TestFollowerKeepsAnEyeOnTheClock(t *testing.T) {
	l := newLedger(t, 1, 0)
	tip := testStart.Add(testTip * time.Second)
	for name, row := range map[string]struct {
		now  time.Time
		want error
	}{
		"five minutes behind":   {tip.Add(-5 * time.Minute), nil},
		"five minutes ahead":    {tip.Add(5 * time.Minute), nil},
		"an old state":          {tip.Add(maxLag + time.Second), ErrLagging},
		"an old trust line":     {tip.Add(TrustingPeriod), ErrStale},
		"headers of the future": {tip.Add(-time.Hour), ErrBehind},
	} {
		c := follows(l, tipRPC{l}, nil)
		c.follower.now = func() time.Time { return row.now }
		for what, err := range map[string]error{"current": c.Current(t.Context()), "session": second(c.Session(t.Context(), testID))} {
			if !errors.Is(err, row.want) || (err == nil) != (row.want == nil) {
				t.Errorf("%s, %s: %v, not %v", name, what, err, row.want)
			}
		}
	}
}

// TestAWrongClockIsNoPeersFault: the sentence is about the clock and not about peers, of
// whom none is set aside; but a time that nobody signed says nothing about the clock.
func TestAWrongClockIsNoPeersFault(t *testing.T) {
	l, few := newLedger(t, 1, 0), newLedger(t, 1, 2)
	tip := testStart.Add(testTip * time.Second)
	by := func(l *ledger, now time.Time) (*Peers, error) {
		p := NewPeers([]Peer{{"a", tipRPC{l}}, {"b", tipRPC{l}}})
		c := follows(l, p, nil)
		c.follower.now = func() time.Time { return now }
		return p, c.Current(t.Context())
	}
	p, err := by(l, tip.Add(-2*time.Hour))
	if want := "this machine's clock is wrong: it is 1h59m"; !errors.Is(err, ErrBehind) || Lied(err) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("two hours behind: %v", err)
	}
	if _, fresh := p.order(); fresh != 2 {
		t.Errorf("two hours behind: %d of 2 peers are not set aside", fresh)
	}
	if _, err := by(l, tip.Add(2*time.Hour)); !errors.Is(err, ErrLagging) || strings.Count(err.Error(), "2h0m0s ago by this clock") != 1 {
		t.Errorf("two hours ahead: %v", err)
	}
	if _, err := by(few, tip.Add(-2*time.Hour)); !errors.Is(err, ErrHeader) || errors.Is(err, ErrBehind) {
		t.Errorf("a header of the future that half signed: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
