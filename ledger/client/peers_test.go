package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto/ed25519"
	cmtbytes "github.com/cometbft/cometbft/libs/bytes"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	ctypes "github.com/cometbft/cometbft/rpc/core/types"
	rpctypes "github.com/cometbft/cometbft/rpc/jsonrpc/types"
	cmttypes "github.com/cometbft/cometbft/types"
	"github.com/cosmos/gogoproto/proto"

	"daulat/core/canon"
	marketpb "daulat/gen/market"
	registrypb "daulat/gen/registry"
)

// peerRPC is a peer that does wrong in the ways that are set. It counts who asks it
// for the height, as every proof begins with that.
type peerRPC struct {
	lyingRPC
	asked   *int
	tip     int64 // height that it shows; 0 for the true one
	mute    bool  // answers nothing
	broken  error
	refuses uint32 // code of every query and transaction
	set     func([]*cmttypes.Validator) []*cmttypes.Validator
	bare    bool  // commits have no header
	forgot  int64 // up to which height it keeps no commits
}

func (r peerRPC) ABCIInfo(ctx context.Context) (*ctypes.ResultABCIInfo, error) {
	*r.asked++
	if r.mute {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	answer, err := r.lyingRPC.ABCIInfo(ctx)
	if r.tip != 0 {
		answer.Response.LastBlockHeight = r.tip
	}
	return answer, errors.Join(err, r.broken)
}

func (r peerRPC) Commit(ctx context.Context, height *int64) (*ctypes.ResultCommit, error) {
	if *height > testTip || *height <= r.forgot {
		return nil, &rpctypes.RPCError{Code: -32603, Message: "Internal error", Data: "no such height"}
	}
	if r.bare {
		return &ctypes.ResultCommit{}, nil
	}
	return r.lyingRPC.Commit(ctx, height)
}

func (r peerRPC) Validators(ctx context.Context, height *int64, page, size *int) (*ctypes.ResultValidators, error) {
	answer, err := r.lyingRPC.Validators(ctx, height, page, size)
	if err == nil && r.set != nil {
		changed := *answer
		changed.Validators = r.set(append([]*cmttypes.Validator(nil), answer.Validators...))
		return &changed, nil
	}
	return answer, err
}

func (r peerRPC) ABCIQueryWithOptions(ctx context.Context, path string, data cmtbytes.HexBytes, o rpcclient.ABCIQueryOptions) (*ctypes.ResultABCIQuery, error) {
	if r.refuses != 0 {
		return &ctypes.ResultABCIQuery{Response: abci.ResponseQuery{Code: r.refuses, Log: "no"}}, nil
	}
	return r.lyingRPC.ABCIQueryWithOptions(ctx, path, data, o)
}

func (r peerRPC) BroadcastTxSync(ctx context.Context, _ cmttypes.Tx) (*ctypes.ResultBroadcastTx, error) {
	if r.mute {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &ctypes.ResultBroadcastTx{Code: r.refuses, Log: "no"}, r.broken
}

// several are peers in that order, which are given up soon. Each counts.
func several(l *ledger, all ...peerRPC) (*Peers, []int) {
	counts := make([]int, len(all))
	var peers []Peer
	for i, r := range all {
		r.tipRPC, r.asked = tipRPC{l}, &counts[i]
		peers = append(peers, Peer{Name: string(rune('a' + i)), RPC: r})
	}
	p := NewPeers(peers)
	p.patience = time.Millisecond // of the mute one; the last may take all the time that it needs
	return p, counts
}

type wrong struct {
	says string // what is said of it
	peerRPC
}

func wrongs() []wrong {
	rich := testSession(testID)
	rich.Escrow.Deposited, rich.Escrow.Locked = 1_000_000, 1_000_000
	altered := func(b *cmtproto.LightBlock) { b.SignedHeader.Header.AppHash[0] ^= 1 }
	lie := func(l lyingRPC) peerRPC { return peerRPC{lyingRPC: l} }
	return []wrong{
		{"lied (proof does not start at the trusted header", lie(lyingRPC{block: altered, from: 2})},
		{"lied (header is not signed", lie(lyingRPC{block: altered, from: 3})},
		{"lied (record is not in the ledger's state: market", lie(lyingRPC{value: func([]byte) []byte { return canon.MustMarshal(rich) }})},
		{"lied (record is not in the ledger's state: market", lie(lyingRPC{value: func([]byte) []byte { return nil }})},
		{"lied (height is told and its header not shown", peerRPC{tip: testTip + 1000}},
		{"did not help (ask ledger for its height: garbage", peerRPC{broken: errors.New("garbage")}},
		{"did not answer in time", peerRPC{mute: true}},
		{"could not be reached", peerRPC{broken: dialError{errors.New("nobody there")}}},
		{"did not help (no", peerRPC{refuses: 7}},
	}
}

// One peer that lies, talks nonsense, stalls, refuses or is gone does not keep the
// ledger from who knows an honest one; it is not asked again soon. Of peers that are
// all alike, one sentence says what each did.
func TestOneWrongPeerIsSetAside(t *testing.T) {
	l := newLedger(t, 1, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // or the mute one holds it up for ever
	defer cancel()
	want := string(canon.MustMarshal(testSession(testID)))
	for _, wrong := range wrongs() {
		says := wrong.says
		p, asked := several(l, wrong.peerRPC, peerRPC{})
		c := follows(l, p, nil)
		for range 2 {
			s, err := c.Session(ctx, testID)
			if err != nil || string(canon.MustMarshal(s)) != want {
				t.Errorf("%s: %+v, %v", says, s, err)
			}
		}
		p.first = 0 // as it may be once the other fails
		if before := asked[0]; p.all[0].aside.IsZero() || c.Current(ctx) != nil || asked[0] != before {
			t.Errorf("%s: who was wrong is asked again", says)
		}
		now := time.Now().Add(asideFor)
		p.now = func() time.Time { return now }
		if order, fresh := p.order(); fresh != 2 || order[0] != 1 {
			t.Errorf("%s: set aside for ever: %v, %d", says, order, fresh)
		}
		if wrong.mute {
			continue // the last one has all the time that there is
		}
		p, _ = several(l, wrong.peerRPC, peerRPC{broken: dialError{errors.New("all dials failed\n  * connection refused")}})
		_, err := follows(l, p, nil).Session(t.Context(), testID)
		if shown := "this home was shown a false ledger"; err != nil && strings.Contains(err.Error(), shown) != strings.HasPrefix(says, "lied") {
			t.Errorf("%s: %q is said of it, or is not: %v", says, shown, err)
		}
		if err == nil || !strings.Contains(err.Error(), "none of the 2 peers that were asked helps: a "+says) || !strings.Contains(err.Error(), "; b could not be reached (connection refused)") {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// What a node sends as validators and commits is JSON, in which anything may be
// missing. It must not end the program of who asks.
func TestPeersCrashNobody(t *testing.T) {
	l := newLedger(t, 1, 0)
	with := func(v ...*cmttypes.Validator) peerRPC {
		return peerRPC{set: func(all []*cmttypes.Validator) []*cmttypes.Validator { return append(all, v...) }}
	}
	twice := l.blocks[2].ValidatorSet.Validators[0]
	for name, wrong := range map[string]peerRPC{
		"no header":         {bare: true},
		"no validator":      with(nil),
		"no key":            with(&cmttypes.Validator{}),
		"a key of no bytes": with(&cmttypes.Validator{PubKey: ed25519.PubKey{}}),
		"one that is twice": with(twice),
	} {
		func() {
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("%s: %v", name, r)
				}
			}()
			p, _ := several(l, wrong, peerRPC{})
			if err := follows(l, p, nil).Current(t.Context()); err != nil || p.first != 1 {
				t.Errorf("%s: %v", name, err)
			}
			p, _ = several(l, wrong)
			if err := follows(l, p, nil).Current(t.Context()); !errors.Is(err, ErrMalformed) || !Lied(err) {
				t.Errorf("%s, alone: %v", name, err)
			}
		}()
	}
}

// That nothing is there is believed with a proof, and then nobody else is asked.
func TestAbsenceIsProven(t *testing.T) {
	l := newLedger(t, 1, 0)
	p, asked := several(l, peerRPC{}, peerRPC{})
	c := follows(l, p, nil)
	if _, err := c.Session(t.Context(), 99); !errors.Is(err, ErrNotFound) || asked[1] != 0 {
		t.Errorf("an absent session: %v, asked %v", err, asked)
	}
	hides := lyingRPC{tipRPC: tipRPC{l}, value: func([]byte) []byte { return nil }}
	if _, err := follows(l, hides, nil).Session(t.Context(), testID); !errors.Is(err, ErrState) {
		t.Errorf("a session that is hidden: %v", err)
	}
}

// What is no peer's fault is not tried elsewhere, and sets nobody aside.
func TestOwnFailuresBlameNobody(t *testing.T) {
	l := newLedger(t, 1, 0)
	p, asked := several(l, peerRPC{}, peerRPC{})
	full := errors.New("disk full")
	if err := follows(l, p, func(Trust) error { return full }).Current(t.Context()); !errors.Is(err, full) || asked[1] != 0 || !p.all[0].aside.IsZero() {
		t.Errorf("a home that can't be written: %v, asked %v", err, asked)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p, asked = several(l, peerRPC{mute: true}, peerRPC{})
	if err := follows(l, p, nil).Current(ended); !errors.Is(err, context.Canceled) || asked[1] != 0 || !p.all[0].aside.IsZero() {
		t.Errorf("a command that was ended: %v, asked %v", err, asked)
	}
}

// A refusal is no proof: it counts if nobody answers otherwise, and a transaction
// goes to all, whatever the first does with it.
func TestRefusalsAreHeardElsewhere(t *testing.T) {
	l := newLedger(t, 1, 0)
	query := func(p *Peers) (*ctypes.ResultABCIQuery, error) {
		return p.ABCIQueryWithOptions(t.Context(), "/store/"+marketStore+"/key", sessionKey(testID), rpcclient.ABCIQueryOptions{Height: 1})
	}
	p, _ := several(l, peerRPC{refuses: 7}, peerRPC{})
	if r, err := query(p); err != nil || r.Response.Code != 0 || p.first != 1 {
		t.Errorf("one refuses: %+v, %v", r, err)
	}
	p, _ = several(l, peerRPC{refuses: 7}, peerRPC{refuses: 8})
	if r, err := query(p); err != nil || r.Response.Code != 7 {
		t.Errorf("both refuse: %+v, %v", r, err)
	}
	for name, wrong := range map[string]peerRPC{"refuses": {refuses: 7}, "is gone": {broken: errors.New("gone")}, "is mute": {mute: true}} {
		p, _ = several(l, wrong, peerRPC{})
		if r, err := p.BroadcastTxSync(t.Context(), nil); err != nil || r.Code != 0 {
			t.Errorf("one %s: %+v, %v", name, r, err)
		}
	}
	for _, all := range [][]peerRPC{{{refuses: 7}}, {{refuses: 7}, {refuses: 7}}} {
		p, _ = several(l, all...)
		if r, err := p.BroadcastTxSync(t.Context(), nil); err != nil || r.Code != 7 {
			t.Errorf("all %d refuse: %+v, %v", len(all), r, err)
		}
	}
	p, _ = several(l, peerRPC{refuses: 7}, peerRPC{broken: errors.New("gone")})
	if r, err := p.BroadcastTxSync(t.Context(), nil); err != nil || r.Code != 7 {
		t.Errorf("a refusal, and one that is gone: %+v, %v", r, err)
	}
	p, _ = several(l, peerRPC{refuses: 7}, peerRPC{broken: errors.New("tx already exists in cache")})
	if _, err := p.BroadcastTxSync(t.Context(), nil); !inCache(err) {
		t.Errorf("one has it already: %v", err)
	}
}

// A peer that shows no new blocks does not keep a transaction's result back.
func TestBlocksThatStandStill(t *testing.T) {
	l := newLedger(t, 1, 0)
	p, _ := several(l, peerRPC{tip: 3}, peerRPC{})
	w := &watcher{rpc: p, moved: time.Now().Add(-time.Hour), next: 4}
	w.doubt()
	if p.first != 1 {
		t.Error("still the same peer is asked")
	}
	w.doubt()
	if p.first != 1 {
		t.Error("the next has no time")
	}
}

// madeUp shows an offer, its maker and its record, none of which is on the ledger,
// and one manifest in place of each.
type madeUp struct {
	tipRPC
	model canon.CID
	key   canon.PublicKey
}

func (r madeUp) ABCIQueryWithOptions(ctx context.Context, path string, data cmtbytes.HexBytes, o rpcclient.ABCIQueryOptions) (*ctypes.ResultABCIQuery, error) {
	liar := registrypb.Provider{Account: "liar", Key: r.key.String(), Bond: 1_000_000}
	answer, shown := map[string]proto.Message{
		registryQuery + "Offers": &registrypb.QueryOffersResponse{Offers: []registrypb.Offer{{Provider: "liar", Model: r.model.String(), Executor: "float/1",
			InputPrice: 1, OutputPrice: 1, Slots: 1}}},
		registryQuery + "Providers": &registrypb.QueryProvidersResponse{Providers: []registrypb.Provider{liar}},
		registryQuery + "Provider":  &registrypb.QueryProviderResponse{Provider: &liar},
		registryQuery + "Artifact":  &registrypb.QueryArtifactResponse{Artifact: &registrypb.Artifact{Manifest: []byte("another")}},
		marketQuery + "Standings":   &marketpb.QueryStandingsResponse{Standings: []marketpb.ProviderStanding{{Provider: "liar", Standing: marketpb.Standing{Withheld: 1_000_000}}}},
		marketQuery + "Standing":    &marketpb.QueryStandingResponse{Standing: marketpb.Standing{Withheld: 1_000_000}},
	}[path]
	if !shown {
		return r.tipRPC.ABCIQueryWithOptions(ctx, path, data, o)
	}
	value, err := proto.Marshal(answer)
	return &ctypes.ResultABCIQuery{Response: abci.ResponseQuery{Value: value}}, err
}

// Lists are hearsay, to choose by: a peer can put anything there. What stands behind
// an offer (key, bond, withheld pay) is taken with a proof alone, and a manifest by
// its name.
func TestMadeUpOffersHaveNothingBehindThem(t *testing.T) {
	l := newLedger(t, 1, 0)
	c := follows(l, madeUp{tipRPC{l}, canon.NewCID(canon.DagCBOR, canon.Hash{9}), canon.PublicKey{7}}, nil)
	heard, err := c.Market(t.Context(), canon.CID{})
	if err != nil || len(heard) != 1 || heard[0].Offer.Provider != "liar" {
		t.Fatalf("heard %+v, %v", heard, err)
	}
	if p, err := c.Provider(t.Context(), "liar"); !errors.Is(err, ErrNotFound) {
		t.Errorf("its maker: %+v, %v", p, err)
	}
	if s, err := c.Standing(t.Context(), "liar"); err != nil || s != (Standing{}) {
		t.Errorf("its record: %+v, %v", s, err)
	}
	if stake, err := c.Stake(t.Context(), "liar"); err == nil {
		t.Errorf("%d udlt are said to be at stake", stake)
	}
	if m, err := c.Artifact(t.Context(), heard[0].Offer.Model); err == nil {
		t.Errorf("its model's manifest is taken for %q", m)
	}
}

// A lie is said first, wherever its maker stands among the peers, and last who was
// not reached.
func TestLiesAreSaidFirst(t *testing.T) {
	gone, slow := dialError{errors.New("nobody there")}, errors.New("too busy")
	for _, lie := range []error{ErrRoot, ErrHeader, ErrHeight, ErrState, ErrMalformed} {
		for _, u := range []Unhelpful{
			{{"a", gone}, {"b", slow}, {"c", lie}},
			{{"c", lie}, {"a", gone}, {"b", slow}},
			{{"b", slow}, {"c", fmt.Errorf("tip: %w", lie)}, {"a", gone}},
		} {
			said := u.Error()
			c, b, a := strings.Index(said, "false ledger; none of the 3 peers that were asked helps: c lied ("), strings.Index(said, "b did not help ("), strings.Index(said, "a could not be reached (")
			if c < 0 || b < c || a < b {
				t.Errorf("it is said: %s", said)
			}
		}
	}
	if said := (Unhelpful{{"a", gone}, {"b", slow}}).Error(); strings.Contains(said, "false") || !strings.Contains(said, "helps: b did") {
		t.Errorf("nobody lied, and it is said: %s", said)
	}
}

// Who keeps no header as old as the one that a home starts from has not lied.
func TestForgottenHeadersAreNoLie(t *testing.T) {
	l := newLedger(t, 1, 0)
	p, _ := several(l, peerRPC{forgot: testTip - 1})
	if err := follows(l, p, nil).Current(t.Context()); err == nil || Lied(err) {
		t.Errorf("of a peer that begins later: %v", err)
	}
}

// TestSilent: peers that are gone are told from one that is there and wrong.
func TestSilent(t *testing.T) {
	gone, wrong := fault{"a", fmt.Errorf("ask: %w", dialError{errors.New("nobody there")})}, fault{"b", ErrHeader}
	for _, c := range []struct {
		err    error
		silent bool
	}{
		{Unhelpful{gone}, true},
		{fmt.Errorf("status: %w", Unhelpful{gone, gone}), true},
		{Unhelpful{gone, wrong}, false},
		{Unhelpful{wrong}, false},
		{gone.err, true},
		{ErrHeader, false},
		{nil, false},
	} {
		if Silent(c.err) != c.silent {
			t.Errorf("%v is of silent peers: %v", c.err, !c.silent)
		}
	}
}
