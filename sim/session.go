package main

import (
	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/core/verify"
)

// What a home loses to one that does not begin, in milliseconds, and for how many
// blocks it leaves alone who failed and who lied.
const (
	patience   = 1_500
	shunFailed = 600
	shunLied   = 172_800
)

// serve runs a session from its first request to its end; its provider's kind says
// how. The first token ends the wait of the wish.
func (w *world) serve(x *wish, p *provider, id uint64) error {
	if p.kind == vanisher || p.away {
		w.after(patience, func() error { return w.fail(x, p, id, job.Served{}, 0) })
		return nil
	}
	s, served := w.sessions[id], job.Served{}
	lies := p.kind == liar && w.rand.IntN(2) == 0
	stake := p.stand.Withheld
	took := uint64(0)
	for seq := uint64(1); seq <= answers; seq++ {
		rest := tokens * 1_000_000 / p.speed
		if p.kind == flaky && w.rand.IntN(8) == 0 {
			w.after(took+patience, func() error { return w.fail(x, p, id, served, took) })
			return nil
		}
		next, err := s.Serve(served, transcript(s, seq, lies))
		if err != nil {
			return err
		}
		w.stats.requests++
		if w.audited(next.Tally.Amount-served.Tally.Amount, stake) && lies {
			w.after(took+p.first+rest, func() error { return w.accuse(x, p, id, served, next, seq) })
			return nil
		}
		if lies {
			w.stats.paidLies++
		}
		x.home.facts[p.offer.Provider] = x.home.facts[p.offer.Provider].Answered(p.first, rest, tokens)
		if seq == 1 {
			w.begun(x, p.first)
		}
		took += p.first + rest
		served = next
	}
	w.after(took, func() error {
		w.busy--
		return w.settle(p, id, served, p.offer.Provider, true)
	})
	return nil
}

// audited runs one answer again, if the draw says so.
func (w *world) audited(price, stake uint64) bool {
	if w.rand.Uint64N(verify.Million) >= verify.AuditRate(price, verify.Million, price, stake) {
		return false
	}
	w.stats.audits++
	return true
}

// begun notes how long a wish waited for its first token.
func (w *world) begun(x *wish, first uint64) {
	w.stats.waits = append(w.stats.waits, uint64(w.block-x.placed)*blockTime+blockTime+first)
}

// pair signs the newest state of a session on both sides.
func (w *world) pair(p *provider, s job.Session, m job.Served, final bool) receipt.Entry {
	h := w.homeOf(s)
	r, v := m.Tally.Receipt(chain, s.ID), m.Tally.Voucher(chain, s.ID, final)
	return receipt.Entry{Receipt: r, ReceiptSignature: p.key.Sign(receipt.DomainReceipt, r), Voucher: v, VoucherSignature: h.key.Sign(receipt.DomainVoucher, v)}
}

func (w *world) homeOf(s job.Session) *home {
	for _, h := range w.homes {
		if h.name == s.Consumer {
			return h
		}
	}
	panic("sim: a session of nobody")
}

// settle brings the newest pair to the ledger.
func (w *world) settle(p *provider, id uint64, m job.Served, by string, final bool) error {
	s := w.sessions[id]
	next, payments, err := s.Settle(by, chain, w.pair(p, s, m, final), true, w.now())
	if err != nil {
		return err
	}
	w.stats.operations++
	return w.advance(p, next, payments)
}

// fail is the end of a session whose provider did not answer: the home closes it
// with what it has, remembers, and orders again.
func (w *world) fail(x *wish, p *provider, id uint64, m job.Served, took uint64) error {
	x.home.facts[p.offer.Provider] = x.home.facts[p.offer.Provider].Broke()
	x.home.shunned[p.offer.Provider] = w.block + shunFailed
	if m.Tally.Range.Count > 0 { // the rest of the session is another one's
		w.busy--
		return w.settle(p, id, m, x.home.name, false)
	}
	next, err := w.sessions[id].Close(x.home.name, w.now())
	if err != nil {
		return err
	}
	w.stats.operations++
	if err := w.advance(p, next, nil); err != nil {
		return err
	}
	return w.order(x)
}

// accuse is the end of a session in which a lie was found: it is not paid for.
func (w *world) accuse(x *wish, p *provider, id uint64, paid, lie job.Served, seq uint64) error {
	s := w.sessions[id]
	r := lie.Tally.Receipt(chain, id)
	signed := receipt.Signed{Receipt: r, Signature: p.key.Sign(receipt.DomainReceipt, r)}
	if _, err := s.Complain(x.home.name, chain, seq, signed, canon.Sum([]byte("evidence")), w.now()); err != nil {
		return err
	}
	w.stats.operations++
	w.stats.complaints++
	p.stand = p.stand.Accused()
	x.home.shunned[p.offer.Provider] = w.block + shunLied
	return w.fail(x, p, id, paid, 0)
}

// advance moves a session on, with all that follows: money, standing, slots, and the
// clock that ends its state.
func (w *world) advance(p *provider, next job.Session, payments []escrow.Payment) error {
	before := w.sessions[next.ID]
	p.stand = p.stand.Moved(before, next)
	if before.State == job.SessionOpen && next.State != job.SessionOpen {
		p.offer.Busy--
	}
	w.sessions[next.ID] = next
	for _, pay := range payments {
		w.wallets[pay.To] += pay.Amount
	}
	if next.State == job.SessionReleased || next.Clock == before.Clock {
		return nil
	}
	w.after((next.Clock-w.now())*1000, func() error { return w.tick(p, next.ID) })
	return nil
}

func (w *world) tick(p *provider, id uint64) error {
	s := w.sessions[id]
	next, payments, err := s.Tick(w.now())
	if err != nil {
		return err
	}
	if next.State == s.State {
		if s.State != job.SessionReleased && w.now() < s.Clock { // its clock was moved on
			w.after((s.Clock-w.now())*1000, func() error { return w.tick(p, id) })
		}
		return nil
	}
	w.stats.ticks++
	return w.advance(p, next, payments)
}
