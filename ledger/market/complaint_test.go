package market

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	pb "daulat/gen/market"
	"daulat/ledger/record"
)

// accusation is a complaint by c about ask seq of its session with p.
func accusation(c, p actor, session, seq uint64) *pb.MsgComplain {
	r := pair(p, c, session, 3, 30, 30, false)
	return &pb.MsgComplain{Sender: c.account, Session: session, Seq: seq, Receipt: canon.MustMarshal(r.Receipt),
		ReceiptSignature: r.ReceiptSignature[:], Evidence: canon.Sum([]byte{byte(seq)}).String()}
}

func (w *world) complain(m *pb.MsgComplain) error {
	w.t.Helper()
	_, err := deliver(w, server{w.store}.Complain, m)
	return err
}

func (w *world) complaints(provider string) []pb.Complaint {
	w.t.Helper()
	r, err := queries{w.store}.Complaints(w.ctx, &pb.QueryComplaints{Provider: provider})
	w.check(err)
	return r.Complaints
}

func (w *world) stands(a actor) pb.Standing {
	w.t.Helper()
	r, err := queries{w.store}.Standing(w.ctx, &pb.QueryStanding{Provider: a.account})
	w.check(err)
	all, err := queries{w.store}.Standings(w.ctx, &pb.QueryStandings{})
	w.check(err)
	listed := slices.ContainsFunc(all.Standings, func(s pb.ProviderStanding) bool { return s.Provider == a.account && s.Standing == r.Standing })
	if listed != (r.Standing != pb.Standing{}) {
		w.t.Fatalf("one says %+v, the list %+v", r.Standing, all.Standings)
	}
	return r.Standing
}

func TestBadComplaintsChangeNothing(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 4)
	id, other := w.opened(c), w.opened(c)
	edit := func(change func(*pb.MsgComplain)) *pb.MsgComplain {
		m := accusation(c, p, id, 3)
		change(m)
		return m
	}
	before := w.snapshot()
	for name, m := range map[string]*pb.MsgComplain{
		"nobody":             edit(func(m *pb.MsgComplain) { m.Sender = "nobody" }),
		"provider":           edit(func(m *pb.MsgComplain) { m.Sender = p.account }),
		"stranger":           edit(func(m *pb.MsgComplain) { m.Sender = w.actor(3).account }),
		"no sequence number": edit(func(m *pb.MsgComplain) { m.Seq = 0 }),
		"unknown session":    edit(func(m *pb.MsgComplain) { m.Session = 1 << 40 }),
		"another session":    edit(func(m *pb.MsgComplain) { m.Session = other }),
		"signed by consumer": accusation(c, c, id, 3),
		"short signature":    edit(func(m *pb.MsgComplain) { m.ReceiptSignature = m.ReceiptSignature[:63] }),
		"no receipt":         edit(func(m *pb.MsgComplain) { m.Receipt = nil }),
		"trailing byte":      edit(func(m *pb.MsgComplain) { m.Receipt = append(m.Receipt, 0) }),
		"long integer": edit(func(m *pb.MsgComplain) {
			m.Receipt = bytes.Replace(m.Receipt, []byte("seq\x03"), []byte("seq\x18\x03"), 1)
		}),
		"voucher for receipt": edit(func(m *pb.MsgComplain) { m.Receipt = canon.MustMarshal(pair(p, c, id, 3, 30, 30, false).Voucher) }),
		"no evidence":         edit(func(m *pb.MsgComplain) { m.Evidence = "" }),
		"short evidence":      edit(func(m *pb.MsgComplain) { m.Evidence = m.Evidence[:62] }),
		"zero evidence":       edit(func(m *pb.MsgComplain) { m.Evidence = canon.Hash{}.String() }),
	} {
		if err := w.complain(m); err == nil || w.snapshot() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.complain(edit(func(m *pb.MsgComplain) { m.Sender = p.account })); !errors.Is(err, sdkerrors.ErrUnauthorized) {
		t.Errorf("by the provider: %v", err)
	}
	if err := w.complain(edit(func(m *pb.MsgComplain) { m.Session = 1 << 40 })); !errors.Is(err, sdkerrors.ErrNotFound) {
		t.Errorf("unknown session: %v", err)
	}
}

func TestComplaintsAreWrittenOnce(t *testing.T) {
	w := newWorld(t)
	c, p, q := w.actor(1), w.actor(2), w.actor(3)
	w.offer(p, 150, 4)
	id, other := w.opened(c), w.opened(c)
	money := w.balance(c) + w.balance(p)
	w.ctx = w.ctx.WithKVGasConfig(storetypes.GasConfig{})
	gas := w.ctx.GasMeter().GasConsumed()
	w.check(w.complain(accusation(c, p, id, 3)))
	if spent := w.ctx.GasMeter().GasConsumed() - gas; spent != authtypes.DefaultSigVerifyCostED25519 {
		t.Fatalf("a signature cost %d gas", spent)
	}
	if e := w.events("complaint_filed"); len(e) != 1 || e[0]["provider"] != p.account || e[0]["session"] != record.Number(id) || e[0]["seq"] != "3" {
		t.Fatalf("events %v", e)
	}
	if w.balance(c)+w.balance(p) != money {
		t.Fatal("a complaint moved money")
	}
	before, filed := w.snapshot(), w.now()
	w.block(1)
	w.check(w.complain(accusation(c, p, id, 3)))
	if w.snapshot() != before || len(w.events("complaint_filed")) != 0 {
		t.Fatal("a repeated complaint is not without effect")
	}
	changed := accusation(c, p, id, 3)
	changed.Evidence = canon.Sum([]byte("other")).String()
	if w.complain(changed) == nil || w.snapshot() != before {
		t.Fatal("a complaint was rewritten")
	}
	for seq := range uint64(MaxComplaints - 1) {
		w.check(w.complain(accusation(c, p, id, 100+seq)))
	}
	before = w.snapshot()
	if w.complain(accusation(c, p, id, 99)) == nil || w.snapshot() != before {
		t.Fatal("one complaint too many was taken")
	}
	w.check(w.complain(accusation(c, p, id, 3))) // still harmless
	w.check(w.complain(accusation(c, p, other, 1)))

	all := w.complaints(p.account)
	if len(all) != MaxComplaints+1 || len(w.complaints("")) != len(all) || len(w.complaints(q.account)) != 0 ||
		w.stands(p).Complaints != uint64(len(all)) || w.stands(q) != (pb.Standing{}) {
		t.Fatalf("%+v", all)
	}
	first := all[0]
	r, err := parseComplaint(first)
	w.check(err)
	if first.Session != id || first.Seq != 3 || first.Consumer != c.account || first.Model != testModel.String() || first.Filed != filed ||
		canon.Verify(p.key.Public(), receipt.DomainReceipt, r.Receipt.Receipt, r.Receipt.Signature) != nil {
		t.Fatalf("%+v", first)
	}
	_, err1 := queries{w.store}.Complaints(w.ctx, &pb.QueryComplaints{Provider: "nobody"})
	_, err2 := queries{w.store}.Standing(w.ctx, &pb.QueryStanding{Provider: "nobody"})
	if status.Code(err1) != codes.InvalidArgument || status.Code(err2) != codes.InvalidArgument {
		t.Fatal(err1, err2)
	}
}

// One complains as long as pay is withheld, and the provider's standing follows
// its sessions.
func TestStandingAndTheEndOfComplaints(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 4)
	id := w.opened(c)
	if w.stands(p) != (pb.Standing{}) {
		t.Fatalf("%+v", w.stands(p))
	}
	w.settle(p, wireEntry(pair(p, c, id, 5, 55, 50, true), false))
	w.check(w.complain(accusation(c, p, id, 1)))
	if got := w.stands(p); got != (pb.Standing{Withheld: 50, Sessions: 1, Requests: 5, Complaints: 1}) {
		t.Fatalf("%+v", got)
	}
	w.block(DefaultWindows.Challenge)
	if got := w.stands(p); w.session(id).State != job.SessionReleased || got != (pb.Standing{Released: 50, Sessions: 1, Requests: 5, Complaints: 1}) {
		t.Fatalf("%+v", got)
	}
	if err := w.complain(accusation(c, p, id, 2)); err == nil {
		t.Fatal("a complaint came after the pay")
	}
	// What no session says is noticed.
	w.check(w.store.standings.Set(w.ctx, p.account, job.Standing{Released: 50, Withheld: 1, Sessions: 1, Requests: 5, Complaints: 1}))
	if w.store.Conserved(w.ctx) == nil {
		t.Fatal("a wrong standing passes")
	}
	w.check(w.store.standings.Set(w.ctx, p.account, job.Standing{Released: 50, Sessions: 1, Requests: 5, Complaints: 1}))
	w.check(w.store.standings.Set(w.ctx, c.account, job.Standing{Withheld: 1}))
	if w.store.Conserved(w.ctx) == nil {
		t.Fatal("a standing of nobody passes")
	}
}

func FuzzParseAccusation(f *testing.F) {
	p, c := actor{}, actor{}
	p.key, _ = canon.KeyFromSeed(bytes.Repeat([]byte{1}, 32))
	c.key, _ = canon.KeyFromSeed(bytes.Repeat([]byte{2}, 32))
	m := accusation(c, p, 1, 2)
	f.Add(m.Receipt, m.ReceiptSignature, m.Evidence)
	f.Add([]byte{0xa0}, m.ReceiptSignature, "zz")
	f.Add(append(m.Receipt, 0), m.ReceiptSignature[1:], m.Evidence+"0")
	f.Fuzz(func(t *testing.T, r, sig []byte, evidence string) {
		signed, h, err := parseAccusation(&pb.MsgComplain{Receipt: r, ReceiptSignature: sig, Evidence: evidence})
		if err != nil {
			return
		}
		again, err := canon.Marshal(signed.Receipt)
		if err != nil || !bytes.Equal(again, r) || !bytes.Equal(signed.Signature[:], sig) {
			t.Fatal("a second encoding was taken")
		}
		if len(h.String()) != len(evidence) {
			t.Fatalf("evidence %q reads as %s", evidence, h)
		}
	})
}
