package vectors_test

import (
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	wire "daulat/link/session"
	asker "daulat/platform/consumer"
)

// accusation is a complaint as it is filed, against a session in a given state,
// and what goes on record or nothing.
type accusation struct {
	Why       string           `json:"why"`
	By        string           `json:"by"`
	State     job.SessionState `json:"state"`
	Seq       uint64           `json:"seq"`
	Receipt   item             `json:"receipt"`
	Evidence  string           `json:"evidence"`
	At        uint64           `json:"at"`
	Complaint *item            `json:"complaint,omitempty"`
}

func complaints(t *testing.T, session job.Session) (proof item, cases []any) {
	past := history(t)
	last := past.entries[4]
	honest := receipt.Signed{Receipt: last.Receipt, Signature: last.ReceiptSignature}
	path, err := receipt.Prove(past.leaves[:last.Receipt.Seq], 1)
	if err != nil {
		t.Fatal(err)
	}
	proof = sealed("evidence", asker.DomainEvidence, wire.Lie{Transcript: past.transcripts[1], Receipt: honest, Path: path})
	var digest canon.Hash
	if err := digest.UnmarshalText([]byte(proof.Digest)); err != nil {
		t.Fatal(err)
	}
	seq := past.transcripts[1].Ask.Seq
	signed := func(by canon.PrivateKey, edit func(*receipt.Receipt)) receipt.Signed {
		r := honest.Receipt
		edit(&r)
		return receipt.Signed{Receipt: r, Signature: by.Sign(receipt.DomainReceipt, r)}
	}
	same := func(*receipt.Receipt) {}
	changed := honest
	changed.Receipt.Amount++
	for _, c := range []struct {
		why      string
		by       string
		state    job.SessionState
		seq      uint64
		receipt  receipt.Signed
		evidence canon.Hash
		refused  bool
	}{
		{"while open", consumer, job.SessionOpen, seq, honest, digest, false},
		{"while closing", consumer, job.SessionClosing, seq, honest, digest, false},
		{"while pay is withheld", consumer, job.SessionSettled, seq, honest, digest, false},
		{"after its release", consumer, job.SessionReleased, seq, honest, digest, true},
		{"by the provider", provider, job.SessionOpen, seq, honest, digest, true},
		{"by a stranger", "daulat1stranger", job.SessionOpen, seq, honest, digest, true},
		{"about no ask", consumer, job.SessionOpen, 0, honest, digest, true},
		{"without evidence", consumer, job.SessionOpen, seq, honest, canon.Hash{}, true},
		{"receipt of another chain", consumer, job.SessionOpen, seq, signed(providerKey, func(r *receipt.Receipt) { r.Chain = "other" }), digest, true},
		{"receipt of another session", consumer, job.SessionOpen, seq, signed(providerKey, func(r *receipt.Receipt) { r.Session++ }), digest, true},
		{"receipt over no answer", consumer, job.SessionOpen, seq, signed(providerKey, func(r *receipt.Receipt) { r.Seq = 0 }), digest, true},
		{"receipt that the consumer signed", consumer, job.SessionOpen, seq, signed(sessionKey, same), digest, true},
		{"receipt that was changed", consumer, job.SessionOpen, seq, changed, digest, true},
	} {
		s := session
		s.State = c.state
		got, err := s.Complain(c.by, chain, c.seq, c.receipt, c.evidence, 1_300)
		if (err != nil) != c.refused {
			t.Errorf("complaint %s: %v", c.why, err)
		}
		a := accusation{Why: c.why, By: c.by, State: c.state, Seq: c.seq, Receipt: plain("signed", c.receipt), Evidence: c.evidence.String(), At: 1_300}
		if err == nil {
			i := plain("complaint", got)
			a.Complaint = &i
		}
		cases = append(cases, a)
	}
	return proof, cases
}

// keyStep is one event of a provider's key, and the binding after it.
type keyStep struct {
	Event   string           `json:"event"`
	Key     *canon.PublicKey `json:"key,omitempty"`
	Delay   uint64           `json:"delay,omitempty"`
	At      uint64           `json:"at"`
	Refused bool             `json:"refused,omitempty"`
	InForce *canon.PublicKey `json:"in_force"`
	Next    *canon.PublicKey `json:"next"`
	From    uint64           `json:"from"`
}

type keyWalk struct {
	binding match.Binding
	steps   []any
}

func (w *keyWalk) did(s keyStep, next match.Binding, err error) {
	if s.Refused = err != nil; err == nil {
		w.binding = next
	}
	b := w.binding.At(s.At)
	s.InForce, s.Next, s.From = present(b.Key), present(b.Next), b.From
	w.steps = append(w.steps, s)
}

// present shows the absent key as null.
func present(k canon.PublicKey) *canon.PublicKey {
	if k.IsZero() {
		return nil
	}
	return &k
}

func (w *keyWalk) look(at uint64) { w.did(keyStep{Event: "look", At: at}, w.binding, nil) }

func (w *keyWalk) rotate(k canon.PublicKey, delay, at uint64) {
	next, err := w.binding.Rotate(k, at, delay)
	w.did(keyStep{Event: "rotate", Key: present(k), Delay: delay, At: at}, next, err)
}

func (w *keyWalk) revoke(at uint64) {
	next, _, err := w.binding.Revoke(at)
	w.did(keyStep{Event: "revoke", At: at}, next, err)
}

func bindings(d *document) {
	a, b, c := key(4).Public(), key(1).Public(), key(2).Public()
	for _, x := range []struct {
		name  string
		drive func(*keyWalk)
	}{
		{"rotated", func(w *keyWalk) {
			w.rotate(b, 60, 1_000)
			w.look(1_059)
			w.rotate(b, 60, 1_059)
			w.look(1_060)
			w.rotate(canon.PublicKey{}, 60, 1_061)
			w.rotate(c, 0, 1_062)
		}},
		{"taken_back", func(w *keyWalk) {
			w.rotate(b, 60, 1_000)
			w.rotate(c, 60, 1_010)
			w.look(1_060)
			w.rotate(a, 60, 1_065)
			w.look(1_070)
		}},
		{"revoked", func(w *keyWalk) {
			w.rotate(b, 60, 1_000)
			w.revoke(1_010)
			w.revoke(1_011)
			w.look(1_060)
			w.revoke(1_061)
			w.revoke(1_062)
			w.rotate(c, 60, 1_063)
			w.look(1_122)
			w.look(1_123)
		}},
	} {
		w := keyWalk{binding: match.Binding{Key: a}}
		w.look(999)
		x.drive(&w)
		d.add("binding_"+x.name, w.steps...)
	}
}
