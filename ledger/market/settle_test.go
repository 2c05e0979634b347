package market

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	pb "daulat/gen/market"
	"daulat/ledger/record"
)

// snapshot is the module's whole state as its genesis shows it.
func (w *world) snapshot() string {
	return string(w.module.ExportGenesis(w.ctx, w.cdc))
}

// forgeries are entries for session id that must be refused one by one. other
// is a second session of the same two parties.
func forgeries(p, c actor, id, other uint64) map[string]pb.Entry {
	edit := func(change func(*receipt.Entry)) pb.Entry {
		e := pair(p, c, id, 7, 700, 700, true)
		change(&e)
		w := wireEntry(sign(p, c, e), true)
		w.Session = id
		return w
	}
	raw := func(change func(*pb.Entry)) pb.Entry {
		w := wireEntry(pair(p, c, id, 7, 700, 700, true), true)
		change(&w)
		return w
	}
	return map[string]pb.Entry{
		"other chain":         edit(func(e *receipt.Entry) { e.Receipt.Chain, e.Voucher.Chain = "x", "x" }),
		"other session":       edit(func(e *receipt.Entry) { e.Receipt.Session, e.Voucher.Session = other, other }),
		"other history":       edit(func(e *receipt.Entry) { e.Voucher.Root[0] ^= 1 }),
		"other count":         edit(func(e *receipt.Entry) { e.Voucher.Seq++ }),
		"raised receipt":      raw(func(w *pb.Entry) { w.Receipt = bytes.Replace(w.Receipt, []byte{0x19, 2, 188}, []byte{0x19, 3, 188}, 1) }),
		"raised voucher":      raw(func(w *pb.Entry) { w.Voucher = bytes.Replace(w.Voucher, []byte{0x19, 2, 188}, []byte{0x19, 3, 188}, 1) }),
		"signed by consumer":  wireEntry(sign(c, c, pair(p, c, id, 7, 700, 700, true)), true),
		"signed by provider":  wireEntry(sign(p, p, pair(p, c, id, 7, 700, 700, true)), true),
		"signatures swapped":  raw(func(w *pb.Entry) { w.ReceiptSignature, w.VoucherSignature = w.VoucherSignature, w.ReceiptSignature }),
		"short signature":     raw(func(w *pb.Entry) { w.ReceiptSignature = w.ReceiptSignature[:63] }),
		"no voucher":          raw(func(w *pb.Entry) { w.Voucher = nil }),
		"trailing byte":       raw(func(w *pb.Entry) { w.Receipt = append(w.Receipt, 0) }),
		"long receipt int":    raw(func(w *pb.Entry) { w.Receipt = longSeq(w.Receipt) }),
		"long voucher int":    raw(func(w *pb.Entry) { w.Voucher = longSeq(w.Voucher) }),
		"voucher for receipt": raw(func(w *pb.Entry) { w.Receipt = w.Voucher }),
		"unknown session":     raw(func(w *pb.Entry) { w.Session = 1 << 40 }),
		"sent as another's":   raw(func(w *pb.Entry) { w.Session = other }),
	}
}

// longSeq writes the sequence number 7 in two bytes, which decodes to the same.
func longSeq(data []byte) []byte {
	return bytes.Replace(data, []byte("seq\x07"), []byte("seq\x18\x07"), 1)
}

func TestForgedEntriesChangeNothing(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 4)
	id, other := w.opened(c), w.opened(c)
	before := w.snapshot()
	for name, e := range forgeries(p, c, id, other) {
		for _, by := range []actor{c, p} {
			if r := w.settle(by, e); r[0].Error == "" || w.snapshot() != before {
				t.Errorf("%s: %+v", name, r[0])
			}
		}
	}
	if r := w.settle(w.actor(3), wireEntry(pair(p, c, id, 7, 700, 700, true), true)); r[0].Error == "" || w.snapshot() != before {
		t.Errorf("stranger shuts: %+v", r[0])
	}
}

// A stranger carries pairs of sessions that have nothing in common, as a
// watchtower does; clocks, slots and money stay where they are.
func TestStrangerRecords(t *testing.T) {
	w := newWorld(t)
	c, d, p, q := w.actor(1), w.actor(2), w.actor(3), w.actor(4)
	w.offer(p, 100, 1)
	w.offer(q, 150, 1)
	a, b := w.opened(c), w.opened(d)
	before := []job.Session{w.session(a), w.session(b)}
	x, y := pair(p, c, a, 2, 200, 200, false), pair(q, d, b, 3, 300, 300, true)
	for range 2 {
		for i, r := range w.settle(w.actor(9), wireEntry(x, false), wireEntry(y, false)) {
			if r.Error != "" || r.State != string(job.SessionOpen) {
				t.Fatalf("%d: %+v", i, r)
			}
		}
	}
	before[0].Claim, before[1].Claim = &x, &y
	if got := []job.Session{w.session(a), w.session(b)}; !reflect.DeepEqual(got, before) {
		t.Fatalf("%+v", got)
	}
	if r := w.settle(q, wireEntry(y, false)); r[0].State != string(job.SessionSettled) || w.session(b).Escrow.Withheld != 300 {
		t.Fatalf("its provider brings it too: %+v", r[0])
	}
}

// A batch of bad entries between good ones: the good ones apply, twice is once.
func TestPoisonInABatch(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 4)
	a, b, other := w.opened(c), w.opened(c), w.opened(c)
	kept := w.session(other)
	batch := []pb.Entry{wireEntry(pair(p, c, a, 2, 200, 200, false), false)}
	for _, e := range forgeries(p, c, b, other) {
		batch = append(batch, e)
	}
	good := wireEntry(pair(p, c, b, 3, 300, 300, true), false)
	batch = append(batch, wireEntry(pair(p, c, a, 2, 200, 200, false), false), good, good)
	r := w.settle(p, batch...)
	last := len(r) - 1
	if r[0].Error != "" || r[last-2].Error != "" || r[last-1].Error != "" {
		t.Fatalf("good entries: %+v %+v %+v", r[0], r[last-2], r[last-1])
	}
	if r[last].Error == "" || r[last].State != string(job.SessionSettled) {
		t.Fatalf("settled twice: %+v", r[last])
	}
	for i := 1; i < last-2; i++ {
		if r[i].Error == "" {
			t.Errorf("entry %d was taken: %+v", i, batch[i])
		}
	}
	if s := w.session(a); s.State != job.SessionOpen || s.Claim.Due() != 200 {
		t.Fatalf("session is %+v", s)
	}
	if w.session(b).Escrow.Withheld != 300 || !reflect.DeepEqual(w.session(other), kept) {
		t.Fatalf("session is %+v", w.session(b))
	}
}

// An entry whose refund can't be paid leaves no trace, and its neighbour does.
func TestEntryAppliesInFullOrNotAtAll(t *testing.T) {
	w := newWorld(t)
	c, d, p := w.actor(1), w.actor(3), w.actor(2)
	w.offer(p, 150, 4)
	a, b := w.opened(c), w.opened(d)
	before := w.session(a)
	w.bank.blocked[string(c.raw)] = true
	r := w.settle(p, wireEntry(pair(p, c, a, 1, 10, 10, true), false), wireEntry(pair(p, d, b, 1, 10, 10, true), false))
	if r[0].Error != "payment failed" || r[0].State != "open" || !reflect.DeepEqual(w.session(a), before) {
		t.Fatalf("%+v: %+v", r[0], w.session(a))
	}
	if r[1].Error != "" || w.session(b).State != job.SessionSettled {
		t.Fatalf("%+v", r[1])
	}
	if e := w.events("session_changed"); len(e) != 1 || e[0]["session"] != record.Number(b) {
		t.Fatalf("events %v", e)
	}
	delete(w.bank.blocked, string(c.raw))
	if r := w.settle(p, wireEntry(pair(p, c, a, 1, 10, 10, true), false)); r[0].Error != "" {
		t.Fatalf("%+v", r)
	}
}

func TestSettleIsBounded(t *testing.T) {
	w := newWorld(t)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, 1)
	id := w.opened(c)
	good := wireEntry(pair(p, c, id, 1, 5, 5, false), false)
	for _, n := range []int{0, MaxEntries + 1} {
		batch := make([]pb.Entry, n)
		for i := range batch {
			batch[i] = good
		}
		if _, err := deliver(w, server{w.store}.Settle, &pb.MsgSettle{Sender: p.account, Entries: batch}); err == nil {
			t.Errorf("%d entries were taken", n)
		}
	}
	if w.session(id).Claim != nil {
		t.Fatal("a refused batch left a claim")
	}
	w.ctx = w.ctx.WithKVGasConfig(storetypes.GasConfig{})
	gas := w.ctx.GasMeter().GasConsumed()
	w.settle(p, good, good)
	if spent := w.ctx.GasMeter().GasConsumed() - gas; spent != 2*entryGas {
		t.Fatalf("the signatures of two pairs cost %d gas", spent)
	}
}

// spec/job.md tells others what settling is charged.
func TestSpecStatesCharges(t *testing.T) {
	spec, err := os.ReadFile("../../spec/job.md")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("1 to %d pairs; it is charged %d,000 gas for each and %d,000 for each session that one of them ends", MaxEntries, entryGas/1000, finalGas/1000)
	if entryGas%1000+finalGas%1000 != 0 || !strings.Contains(string(spec), want) {
		t.Errorf("spec/job.md does not say %q", want)
	}
}

func FuzzParseEntry(f *testing.F) {
	p, c := actor{}, actor{}
	p.key, _ = canon.KeyFromSeed(bytes.Repeat([]byte{1}, 32))
	c.key, _ = canon.KeyFromSeed(bytes.Repeat([]byte{2}, 32))
	e := pair(p, c, 1, 2, 3, 4, true)
	w := wireEntry(e, false)
	f.Add(w.Receipt, w.ReceiptSignature, w.Voucher, w.VoucherSignature)
	f.Add(w.Voucher, w.ReceiptSignature, w.Receipt, w.VoucherSignature)
	f.Add([]byte{0xa0}, w.ReceiptSignature, []byte{}, w.VoucherSignature)
	f.Fuzz(func(t *testing.T, r, rs, v, vs []byte) {
		e, err := parseEntry(&pb.Entry{Receipt: r, ReceiptSignature: rs, Voucher: v, VoucherSignature: vs})
		if err != nil {
			return
		}
		if !bytes.Equal(canon.MustMarshal(e.Receipt), r) || !bytes.Equal(canon.MustMarshal(e.Voucher), v) ||
			!bytes.Equal(e.ReceiptSignature[:], rs) || !bytes.Equal(e.VoucherSignature[:], vs) {
			t.Fatal("a second encoding was taken")
		}
	})
}

func BenchmarkSettle(b *testing.B) {
	w := newWorld(b)
	c, p := w.actor(1), w.actor(2)
	w.offer(p, 150, MaxEntries)
	for range MaxEntries {
		t := testTerms()
		t.Escrow = 100
		if _, err := (server{w.store}).PlaceOrder(w.ctx, &pb.MsgPlaceOrder{Consumer: c.account,
			SessionKey: c.key.Public().String(), Terms: t}); err != nil {
			b.Fatal(err)
		}
		w.check(w.store.held.Remove(w.ctx, c.account)) // as if of many accounts
	}
	w.block(1)
	m := &pb.MsgSettle{Sender: p.account}
	for id := range uint64(MaxEntries) {
		m.Entries = append(m.Entries, wireEntry(pair(p, c, id+1, 1, 50, 50, false), false))
	}
	for b.Loop() {
		err := record.Atomic(context.Context(w.ctx), func(ctx sdk.Context) error {
			_, err := server{w.store}.Settle(ctx, m)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
