package vectors_test

import (
	"encoding/json"
	"math"
	"testing"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
	"daulat/core/receipt"
)

const (
	chain    = "daulat-1"
	consumer = "daulat1consumer"
	provider = "daulat1provider"
)

var (
	sessionKey  = key(3)
	providerKey = key(4)
	price       = job.Price{Input: 200, Output: 1_000}
	windows     = job.Windows{Close: 10, Challenge: 20}
)

func model() canon.CID { return artifact.ID(canon.MustMarshal(defaultModel())) }

func terms() job.Terms {
	return job.Terms{Version: 1, Kind: job.Inference, Executor: "float/1", Model: model(), Assurance: job.Sampled, Privacy: job.Open,
		Ceiling: job.Price{Input: 2_000, Output: 10_000}, Escrow: 1_000, Step: 500, Patience: 60, Duration: 3_600,
		Excluded: []string{"daulat1liar"}}
}

type priceCase struct {
	InputPrice  json.Number `json:"input_price"`
	OutputPrice json.Number `json:"output_price"`
	Input       json.Number `json:"input"`
	Output      json.Number `json:"output"`
	Cost        json.Number `json:"cost,omitempty"`
	Error       string      `json:"error,omitempty"`
}

func prices() (cases []any) {
	for _, c := range [][4]uint64{
		{200, 1_000, 37, 8}, {200, 1_000, 0, 0}, {1, 0, 1, 0}, {1, 0, 1_000, 0}, {1, 0, 1_001, 0}, {999, 1, 1, 1}, {999, 1, 1, 2},
		{0, 0, math.MaxUint64, math.MaxUint64}, {1_000, 0, math.MaxUint64, 0}, {1_000, 1, math.MaxUint64, 1},
		{math.MaxUint64, 0, 1_000, 0}, {math.MaxUint64, math.MaxUint64, 500, 500}, {math.MaxUint64, 0, 1_001, 0},
		{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64},
	} {
		out := priceCase{InputPrice: decimal(c[0]), OutputPrice: decimal(c[1]), Input: decimal(c[2]), Output: decimal(c[3])}
		cost, err := job.Price{Input: c[0], Output: c[1]}.Cost(c[2], c[3])
		if err == nil {
			out.Cost = decimal(cost)
		} else {
			out.Error = "overflow"
		}
		cases = append(cases, out)
	}
	return cases
}

// step is one move of a machine: what happened, by whom and when, and the
// record and payments that follow. A refusal leaves the record as it was.
type step struct {
	Event    string           `json:"event"`
	By       string           `json:"by,omitempty"`
	At       uint64           `json:"at"`
	Amount   uint64           `json:"amount,omitempty"`
	Entry    *item            `json:"entry,omitempty"`
	Close    bool             `json:"close,omitempty"`
	Refused  bool             `json:"refused,omitempty"`
	Payments []escrow.Payment `json:"payments"`
	Session  item             `json:"session"`
}

// walk drives a session and notes each step.
type walk struct {
	session job.Session
	steps   []any
}

func (w *walk) did(s step, next job.Session, payments []escrow.Payment, err error) {
	if err != nil {
		s.Refused = true
	} else {
		w.session = next
	}
	s.Payments = append([]escrow.Payment{}, payments...)
	s.Session = plain("session", w.session)
	w.steps = append(w.steps, s)
}

func (w *walk) settle(by string, e receipt.Entry, shut bool, at uint64) {
	next, payments, err := w.session.Settle(by, chain, e, shut, at)
	i := plain("entry", e)
	w.did(step{Event: "settle", By: by, At: at, Entry: &i, Close: shut}, next, payments, err)
}

func (w *walk) close(by string, at uint64) {
	next, err := w.session.Close(by, at)
	w.did(step{Event: "close", By: by, At: at}, next, nil, err)
}

func (w *walk) topUp(by string, amount, at uint64) {
	next, err := w.session.TopUp(by, amount)
	w.did(step{Event: "top up", By: by, At: at, Amount: amount}, next, nil, err)
}

func (w *walk) tick(at uint64) {
	next, payments, err := w.session.Tick(at)
	w.did(step{Event: "tick", At: at}, next, payments, err)
}

func placed(t *testing.T) job.Order {
	t.Helper()
	o, err := job.Place(7, consumer, sessionKey.Public(), terms(), 1_000)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func opened(t *testing.T) (job.Order, job.Session) {
	t.Helper()
	o, s, err := placed(t).Match(job.Party{Account: provider, Key: providerKey.Public(), Price: price}, 1_010)
	if err != nil {
		t.Fatal(err)
	}
	return o, s.Freeze(windows)
}

// undercut is a pair over one answer more for which the consumer vouches nothing.
func undercut(e receipt.Entry) receipt.Entry {
	e.Receipt.Seq, e.Voucher.Seq, e.Voucher.Amount = e.Receipt.Seq+1, e.Voucher.Seq+1, 0
	e.ReceiptSignature = providerKey.Sign(receipt.DomainReceipt, e.Receipt)
	e.VoucherSignature = sessionKey.Sign(receipt.DomainVoucher, e.Voucher)
	return e
}

func TestJob(t *testing.T) {
	d := &document{note: "see spec/job.md; a refused step of a walk changes nothing"}
	d.add("price", prices()...)
	matched, session := opened(t)
	expired, _ := placed(t).Tick(1_060)
	pinned := terms()
	pinned.Preferred, pinned.Only = []string{"daulat1near", "daulat1far"}, true
	d.add("terms", plain("terms", terms()), plain("terms", pinned))
	d.add("order", plain("order", placed(t)), plain("order", matched), plain("order", expired))
	entries := history(t).entries
	proof, accused := complaints(t, session)
	d.add("evidence", proof)
	d.add("complaint", accused...)
	bindings(d)
	for _, w := range []struct {
		name  string
		drive func(*walk)
	}{
		{"agreed", func(w *walk) {
			w.settle(provider, entries[0], false, 1_100)
			w.settle(provider, entries[len(entries)-1], true, 1_200)
			w.close(consumer, 1_201)
			w.tick(1_219)
			w.tick(1_220)
		}},
		{"consumer_closes", func(w *walk) {
			w.topUp(provider, 5, 1_050)
			w.topUp(consumer, 5, 1_050)
			w.settle(consumer, entries[0], true, 1_100)
			w.close(provider, 1_101)
			w.settle(provider, entries[1], false, 1_105)
			w.settle(consumer, entries[0], false, 1_106)
			w.settle("daulat1stranger", entries[2], true, 1_107)
			w.settle("daulat1stranger", entries[2], false, 1_107)
			w.tick(1_110)
			w.tick(1_130)
		}},
		{"carried", func(w *walk) {
			last := len(entries) - 1
			w.settle("daulat1stranger", entries[last], true, 1_100)
			w.settle("daulat1stranger", entries[0], false, 1_100)
			w.settle("daulat1stranger", entries[last], false, 1_101)
			w.settle("daulat1stranger", entries[last], false, 1_102)
			w.close("daulat1stranger", 1_103)
			w.settle(consumer, undercut(entries[last]), true, 1_104)
			w.settle(provider, entries[last], false, 1_105)
			w.settle("daulat1stranger", entries[last], false, 1_106)
			w.tick(1_125)
		}},
		{"silence", func(w *walk) {
			w.tick(4_609)
			w.tick(4_610)
			w.tick(4_620)
			w.tick(4_640)
			w.tick(9_999)
		}},
	} {
		walk := walk{session: session}
		walk.tick(session.Opened)
		w.drive(&walk)
		d.add("walk_"+w.name, walk.steps...)
	}
	golden(t, "job.json", d)
}
