package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"daulat/compute/executor/inference"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/link"
	"daulat/link/session"
)

// serve speaks the provider's side of link/session on one stream.
func (p *Provider) serve(ctx context.Context, s *link.Stream) {
	defer s.Close()
	s.SetFrameLimit(session.FrameLimit)
	s.SetFrameTimeout(answerTimeout)
	var o session.Opening
	if err := s.Receive(&o); err != nil {
		if err != io.EOF {
			p.Log.Debug("session stream failed", "error", err)
		}
		return
	}
	var err error
	switch {
	case o.Ask != nil && o.Finish == nil:
		err = p.withAsk(ctx, s, *o.Ask)
	case o.Finish != nil && o.Ask == nil:
		err = p.withLease(ctx, o.Finish.Voucher.Session, func(l *lease) error { return p.finish(ctx, s, l, *o.Finish) })
	default:
		err = &session.Refusal{Code: session.Invalid, Reason: "opening holds neither one ask nor one final voucher"}
	}
	if err != nil {
		p.Log.Info("request refused", "error", err)
		_ = s.Send(session.Reply{Refused: refusal(err)}) // the consumer may be gone
	}
}

// withAsk answers an ask when its turn comes. A session has one request at a time,
// so a newer ask says that its consumer waits for no older one: after a change of
// address, it may never learn that the old way is gone, nor this side.
func (p *Provider) withAsk(ctx context.Context, s *link.Stream, a session.Ask) error {
	l, err := p.lease(ctx, a.Ask.Session)
	if err != nil {
		return err
	}
	if err := l.opened.Authentic(p.Ledger.ChainID(), a.Ask, a.Signature, a.Request); err != nil {
		return err // before a stranger's word ends an answer, or drops an unpaid one
	}
	l.supersede(s, a.Ask.Seq)
	defer l.done(s)
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.unlock()
	return p.answer(ctx, s, l, a)
}

// supersede ends the stream of an older ask than this one.
func (l *lease) supersede(s *link.Stream, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq <= l.asked {
		return
	}
	if l.stream != nil {
		l.stream.Reset()
	}
	l.asked, l.stream = seq, s
}

// done says that nothing more comes on a stream.
func (l *lease) done(s *link.Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stream == s {
		l.stream = nil
	}
}

func (p *Provider) withLease(ctx context.Context, id uint64, do func(*lease) error) error {
	l, err := p.lease(ctx, id)
	if err != nil {
		return err
	}
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.unlock()
	return do(l)
}

// refusal says to the consumer what went wrong, without what is none of its
// business.
func refusal(err error) *session.Refusal {
	var r *session.Refusal
	if errors.As(err, &r) {
		return r
	}
	for code, reasons := range map[session.Code][]error{
		session.Stopped: {errStopped},
		session.Busy:    {job.ErrDebt, inference.ErrAway},
		session.Spent:   {job.ErrExposure, job.ErrEscrow, job.ErrNotOpen},
		session.Invalid: {canon.ErrSignature, job.ErrInvalid, job.ErrForeign, job.ErrDuplicate, job.ErrVoucher, inference.ErrPrompt},
	} {
		if slices.ContainsFunc(reasons, func(reason error) bool { return errors.Is(err, reason) }) {
			return &session.Refusal{Code: code, Reason: err.Error()}
		}
	}
	return &session.Refusal{Code: session.Internal, Reason: "the provider failed to answer"}
}

// answer serves one request: admit, compute, sign, take the voucher. Its two
// journal writes come before the frames that make them binding.
func (p *Provider) answer(ctx context.Context, s *link.Stream, l *lease, a session.Ask) error {
	if l.record.Closing {
		return fmt.Errorf("session %d: %w: its final voucher is here", l.record.Session.ID, job.ErrNotOpen)
	}
	if err := p.catchUp(ctx, l, a.Last); err != nil {
		return err
	}
	if p.shift.resting() {
		return errResting
	}
	admitted, err := p.admit(ctx, l, a)
	if err != nil {
		return err
	}
	ctx, enough := context.WithCancelCause(ctx)
	defer enough(nil)
	words := listen(s, enough)
	answer, err := p.onShift(ctx, s, a.Request)
	if errors.Is(err, errResting) || errors.Is(err, errStopped) {
		return err // what the consumer has of the answer is not held against it
	}
	if err != nil {
		return errors.Join(err, p.broken(l, admitted, a, answer))
	}
	t := receipt.Transcript{Ask: a.Ask, Signature: a.Signature, Request: a.Request, Answer: answer, Index: admitted.Tally.Range.Count}
	served, err := l.record.Session.Serve(admitted, t.Leaf())
	if err != nil {
		return err
	}
	r := served.Tally.Receipt(p.Ledger.ChainID(), l.record.Session.ID)
	signature, err := p.sign(l.record.Session, r)
	if err != nil {
		return err
	}
	record := l.record
	record.Unpaid = &served
	if err := p.Journal.Append(record, t); err != nil {
		return err
	}
	l.record = record
	done := session.Done{Finish: answer.Finish, Receipt: r, Signature: signature, Usage: answer.Usage}
	if err := s.Send(session.Reply{Done: &done}); err != nil {
		return err
	}
	defer time.AfterFunc(paymentTimeout, s.Reset).Stop()
	paid, err := words.payment()
	if err != nil {
		return err
	}
	if err := p.take(ctx, l, paid); err != nil {
		return err
	}
	return s.Send(session.Reply{Paid: true})
}

// admit decides by the ledger's session; where that is out of date, as after a
// top-up, it is read again once.
func (p *Provider) admit(ctx context.Context, l *lease, a session.Ask) (job.Served, error) {
	m, err := p.admitted(ctx, l.record, a)
	if !errors.Is(err, job.ErrEscrow) {
		return m, err
	}
	fresh, err := p.Ledger.Session(ctx, l.record.Session.ID)
	if err != nil {
		return m, err
	}
	l.record.Session = fresh
	return p.admitted(ctx, l.record, a)
}

// admitted applies the session's rule with the provider's own bound. The consumer
// alone chose the exposure step, up to all of its escrow; no request needs more
// than the longest answer costs, so nobody gets more before paying. Nor does the
// account that left more than that unpaid in all its sessions.
func (p *Provider) admitted(ctx context.Context, r session.Record, a session.Ask) (job.Served, error) {
	reach, known := p.contexts[r.Session.Terms.Model]
	if !known { // no longer on offer
		reach = math.MaxUint64
	}
	longest, err := r.Session.Price.Longest(reach)
	if artifact.IsDeclared(r.Session.Terms.Model) {
		longest, err = r.Session.Price.LongestDeclared()
	}
	if err != nil {
		return r.Served, err
	}
	r.Session.Terms.Step = min(r.Session.Terms.Step, longest)
	if err := p.trusts(ctx, r.Session, r.Served, a.Ask.Request); err != nil {
		return r.Served, err
	}
	return r.Session.Admit(p.Ledger.ChainID(), r.Served, a.Ask, a.Signature, a.Request)
}

// broken notes what a consumer that hung up has of an answer: it counts as lost,
// like an answer that is never paid for. Who wants no more can say so, and pay.
func (p *Provider) broken(l *lease, admitted job.Served, a session.Ask, sent receipt.Answer) error {
	if a.Request.Bill(sent).Output == 0 {
		return nil
	}
	part, err := l.record.Session.Serve(admitted, receipt.NewLeaf(a.Ask, a.Request, sent))
	if err != nil {
		return err
	}
	record := l.record
	record.Served = record.Session.Drop(record.Served, part)
	return p.keep(l, record)
}

// onShift is compute, and errResting if a rest breaks it off.
func (p *Provider) onShift(ctx context.Context, s *link.Stream, r receipt.Request) (receipt.Answer, error) {
	shift, end := p.shift.join(ctx)
	defer end()
	answer, err := p.compute(shift, s, r)
	if err != nil && errors.Is(context.Cause(shift), errResting) {
		err = errResting
	}
	return answer, err
}

// compute runs the model and streams its tokens. The model does not wait for the
// consumer: a slow reader holds up nobody else's answer, and gets more tokens in
// one frame. With an error comes what was passed on; the answer that the consumer
// stopped is just that.
func (p *Provider) compute(ctx context.Context, s *link.Stream, r receipt.Request) (receipt.Answer, error) {
	model, err := p.Models.Model(ctx, r.Model)
	if err != nil {
		return receipt.Answer{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tokens := make(chan receipt.Token, r.Params.MaxTokens) // Validate bounds it
	var passed []receipt.Token
	sent := make(chan error, 1)
	go func() {
		var err error
		if passed, err = stream(s, tokens); err != nil {
			cancel() // nobody is left to compute for
		}
		sent <- err
	}()
	answer, err := p.generate(ctx, model, r, tokens)
	close(tokens)
	lost := <-sent
	if err != nil && lost == nil && errors.Is(context.Cause(ctx), errStopped) {
		answer, err = stopped(r, passed)
	}
	if err == nil {
		err = r.Fits(answer) // what no consumer would pay for is not signed
	}
	if err == nil && answer.Message != "" {
		err = sendCalls(s, answer)
	}
	if err := errors.Join(lost, err); err != nil {
		return r.Cut(passed), err
	}
	return answer, nil
}

// stopped is an answer that its consumer wanted no more of, or an error if nothing
// had come yet.
func stopped(r receipt.Request, passed []receipt.Token) (receipt.Answer, error) {
	if len(passed) == 0 {
		return receipt.Answer{}, errStopped
	}
	return r.Cut(passed), nil
}

// sendCalls sends the tools that a declared model calls, if it does.
func sendCalls(s *link.Stream, a receipt.Answer) error {
	_, calls, err := receipt.ReadMessage(a.Message)
	if err != nil || len(calls) == 0 {
		return err
	}
	return s.Send(session.Reply{Calls: string(canon.JSON(calls))})
}

func (p *Provider) generate(ctx context.Context, m inference.Model, r receipt.Request, tokens chan<- receipt.Token) (receipt.Answer, error) {
	select {
	case p.working <- struct{}{}:
		defer func() { <-p.working }()
	case <-ctx.Done():
		return receipt.Answer{}, ctx.Err()
	}
	return m.Generate(ctx, r, func(token receipt.Token) error {
		if p.shift.resting() { // the context ends a moment later
			return errResting
		}
		tokens <- token // never blocks: there is room for the longest answer
		return nil
	})
}

// stream sends tokens until there are no more, all that wait in one frame, and
// returns those that it sent.
func stream(s *link.Stream, tokens <-chan receipt.Token) (passed []receipt.Token, err error) {
	for token := range tokens {
		batch := []receipt.Token{token}
		for waiting := len(tokens); waiting > 0 && len(batch) < maxBatch; waiting-- {
			batch = append(batch, <-tokens)
		}
		if err := s.Send(frame(batch)); err != nil {
			return passed, err
		}
		passed = append(passed, batch...)
	}
	return passed, nil
}

// frame is the tokens, or stretches of text, as they go to the consumer.
func frame(batch []receipt.Token) (r session.Reply) {
	var part receipt.Answer
	for _, token := range batch {
		if token.Size() > 0 {
			r.Text += token.Text
			r.Reasoning += token.Reasoning
			continue
		}
		part.Add(token)
	}
	r.Tokens, r.Logprobs = part.Tokens, part.Logprobs
	return r
}

// take notes a voucher for the history up to the unpaid answer, or for the
// history before it.
func (p *Provider) take(ctx context.Context, l *lease, paid session.Payment) error {
	history := l.record.Served
	if l.record.Unpaid != nil {
		if err := p.timely(ctx, l.record.Session.ID); err != nil {
			return err
		}
		history = *l.record.Unpaid
	}
	next, err := l.record.Session.Pay(p.Ledger.ChainID(), history, paid.Voucher, paid.Signature)
	if err != nil {
		return err
	}
	r := next.Tally.Receipt(p.Ledger.ChainID(), l.record.Session.ID)
	signature, err := p.sign(l.record.Session, r)
	if err != nil {
		return err
	}
	record := l.record
	record.Served, record.Unpaid = next, nil
	record.Closing = paid.Voucher.Final
	record.Newest = &receipt.Entry{Receipt: r, ReceiptSignature: signature,
		Voucher: paid.Voucher, VoucherSignature: paid.Signature}
	return p.keep(l, record)
}

// catchUp settles what became of the last answer, if its voucher never came: the
// consumer either sends that voucher now, or says by an older one that the
// answer was lost.
func (p *Provider) catchUp(ctx context.Context, l *lease, last *session.Payment) error {
	if l.record.Unpaid == nil {
		return nil
	}
	if last != nil && last.Voucher.Seq == l.record.Unpaid.Tally.Range.Count {
		return p.take(ctx, l, *last)
	}
	record := l.record
	record.Served, record.Unpaid = record.Session.Drop(record.Served, *record.Unpaid), nil
	return p.keep(l, record)
}

// finish takes the final voucher and brings the pair to the ledger at once.
func (p *Provider) finish(ctx context.Context, s *link.Stream, l *lease, f session.Payment) error {
	if !f.Voucher.Final {
		return &session.Refusal{Code: session.Invalid, Reason: "voucher is not final"}
	}
	if err := canon.Verify(l.record.Session.SessionKey, receipt.DomainVoucher, f.Voucher, f.Signature); err != nil {
		return err
	}
	if err := p.catchUp(ctx, l, &f); err != nil {
		return err
	}
	if err := p.take(ctx, l, f); err != nil {
		return err
	}
	defer p.watch(l.record.Session.ID) // until the ledger shows the end
	if err := p.settle(ctx, []session.Record{l.record}); err != nil {
		return err
	}
	return s.Send(session.Reply{Paid: true})
}
