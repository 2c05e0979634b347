package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/link"
	wire "daulat/link/session"
)

// Session is one open lease. Whoever calls its methods holds its lock.
type Session struct {
	client   *Client
	id       uint64
	model    canon.CID
	provider string        // account; like id and model it never changes
	owner    string        // of the provider, when the session was taken up; it never changes either
	turn     chan struct{} // holds one token while somebody uses the session
	over     bool          // takes no more requests
	blamed   bool          // the provider failed here
	// followed says that a successor was opened, or could not be.
	followed bool
	record   wire.Record // as it is on disk; its number may be one that is not used yet
	seq      uint64      // the last number used
	stake    uint64      // what the provider could lose when the session was taken up, udlt
	addrs    []string
	expires  time.Time // local clock; the ledger's deadline less a margin
}

// ID is the session's number on the ledger.
func (s *Session) ID() uint64 { return s.id }

func (s *Session) tryLock() bool {
	select {
	case s.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *Session) lock(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Session) unlock() { <-s.turn }

// frameTimeout bounds the wait for one frame; the first one comes after the
// whole prompt is computed.
const frameTimeout = 2 * time.Minute

// carries reports whether p's highest price fits what is left.
func (s *Session) carries(p Prompt) bool {
	if time.Now().After(s.expires) {
		return false
	}
	m := s.record.Served
	worst, err := s.worst(p)
	return err == nil && worst <= s.record.Session.Escrow.Locked && worst-min(worst, m.Paid) <= s.record.Session.Terms.Step
}

func (p Prompt) worst() receipt.Usage {
	return receipt.Request{Tokens: p.Tokens, Chat: p.Chat, Params: p.Params}.Worst()
}

// suits reports whether the terms of a request allow the session's provider.
func (s *Session) suits(t job.Terms) bool {
	provider := s.record.Session.Provider
	return !slices.Contains(t.Excluded, provider) && (!t.Only || slices.Contains(t.Preferred, provider))
}

// worst is what the session will have cost in all if p's answer is as long as
// it may be.
func (s *Session) worst(p Prompt) (uint64, error) {
	t, most := s.record.Served.Tally, p.worst()
	return s.record.Session.Price.Cost(t.Input+most.Input, t.Output+most.Output)
}

// errCut says that the way to the provider broke, and not that the provider gave
// up: it may have moved, or this machine, or a relay between them ended.
var errCut = errors.New("the connection broke")

const (
	movePoll = 250 * time.Millisecond // between tries
	maxMoves = 4                      // within one answer
)

// put puts one prompt to the session's provider. One that is cut off is asked the
// same again once it is reached, in the same session: the same request draws the
// same tokens.
func (s *Session) put(ctx context.Context, p Prompt, counter uint64, f lane) (Result, error) {
	r, err := s.ask(ctx, p, counter, f, 0)
	for moves := 0; moves < maxMoves && errors.Is(err, errCut) && ctx.Err() == nil && !f.told(); moves++ {
		s.client.Log.Info("provider cut off; asking it again", "session", s.ID(), "error", err)
		f.again()
		r, err = s.ask(ctx, p, counter, f, s.client.limits.move)
	}
	return r, err
}

// ask puts one prompt to the session's provider, who may take that long to be
// reached.
func (s *Session) ask(ctx context.Context, p Prompt, counter uint64, f lane, wait time.Duration) (Result, error) {
	ask, err := s.sign(p, counter)
	if err != nil {
		return Result{}, err
	}
	// Another provider may have to take over, at any price that the terms allow.
	worst := p.worst()
	most, err := s.record.Session.Terms.Ceiling.Cost(worst.Input, worst.Output)
	if err != nil {
		return Result{}, err
	}
	err = f.admit(Admission{Receipt: ReceiptID(s.ID(), ask.Ask.Seq), Provider: s.record.Session.Provider,
		Ceiling: most})
	if err != nil {
		return Result{}, err
	}
	stream, err := s.dial(ctx, wait)
	if err != nil {
		return Result{}, err
	}
	defer stream.Close()
	late, end := outlive(ctx, s.client.limits.parting)
	defer end()
	defer context.AfterFunc(late, stream.Reset)()
	if err := stream.Send(wire.Opening{Ask: &ask}); err != nil {
		return Result{}, cut(stream, err)
	}
	s.client.memory.asked(s.provider)
	h, err := s.hear(ctx, stream, ask, f)
	if err != nil {
		return Result{}, err
	}
	t := receipt.Transcript{Ask: ask.Ask, Signature: ask.Signature, Request: ask.Request, Answer: h.answer, Index: s.record.Served.Tally.Range.Count}
	entry, next, err := s.accept(t, h.done)
	if err != nil {
		return Result{}, err
	}
	if err := s.audit(late, t, entry, next); err != nil {
		return Result{}, err
	}
	if !errors.Is(h.gone, errBeaten) {
		s.client.memory.noted(s.provider, s.model, h.watch.facts)
	}
	result, err := s.pay(stream, t, entry, next)
	if err == nil && h.gone != nil {
		err = fmt.Errorf("%w: %w", errStopped, h.gone)
	}
	return result, err
}

// heard is an answer as it came.
type heard struct {
	answer receipt.Answer
	done   wire.Done
	gone   error // why nobody took all of it, if so
	watch  stopwatch
}

// hear passes an answer on as it comes, up to its receipt. If nobody takes more of it,
// the provider is told to stop.
func (s *Session) hear(ctx context.Context, stream *link.Stream, ask wire.Ask, f lane) (heard, error) {
	leave := farewell{stream: stream}
	defer context.AfterFunc(ctx, leave.say)()
	receive := receiveTokens
	if ask.Request.Chat != "" {
		receive = receiveText
	}
	h := heard{watch: stopwatch{begun: time.Now()}}
	dog := watchdog{bucket: bucket{limits: s.client.limits}, bark: stream.Reset}
	var err error
	h.answer, h.done, err = receive(stream, ask.Request.Params, func(t receipt.Token) error {
		h.watch.tick()
		dog.fed(1 + t.Size()/bytesPerToken)
		if h.gone != nil {
			return nil
		}
		if h.gone = f.next(t); errors.Is(h.gone, errContradiction) {
			return h.gone
		}
		if h.gone != nil {
			leave.say()
		}
		return nil
	})
	left, slow := leave.end(), dog.stop()
	if left && h.gone == nil {
		h.gone = context.Cause(ctx)
	}
	switch {
	case left && refused(err, wire.Stopped):
		return h, fmt.Errorf("%w: %w", errStopped, h.gone)
	case slow && err != nil:
		err = fmt.Errorf("%w: %d tokens in %s, then none or too few", errSlow, h.watch.tokens, time.Since(h.watch.begun).Round(time.Millisecond))
	case err == nil && h.answer.Finish == receipt.FinishCancelled && !left:
		err = errors.New("provider ended an answer that nobody stopped")
	case err == nil:
		err = ask.Request.Fits(h.answer)
	}
	if err != nil {
		return h, errors.Join(cut(stream, err), h.gone)
	}
	if !f.race.claim(f.entrant) { // an answer without tokens claims nothing before
		h.gone = errBeaten
	}
	return h, nil
}

// stopwatch measures one answer.
type stopwatch struct {
	begun, first, last time.Time
	tokens             uint64
}

func (w *stopwatch) tick() {
	w.tokens++
	w.last = time.Now()
	if w.tokens == 1 {
		w.first = w.last
	}
}

// facts adds the answer to what is known of who gave it.
func (w *stopwatch) facts(f match.Facts) match.Facts {
	if w.tokens == 0 { // nothing to wait for
		return f.Answered(uint64(time.Since(w.begun).Milliseconds()), 0, 0)
	}
	return f.Answered(uint64(w.first.Sub(w.begun).Milliseconds()), uint64(w.last.Sub(w.first).Milliseconds()), w.tokens)
}

// sign makes the ask. Its number is on disk before it is used: pay wrote it
// there together with the last voucher, or else it is written now.
func (s *Session) sign(p Prompt, counter uint64) (wire.Ask, error) {
	salt, err := newSalt()
	if err != nil {
		return wire.Ask{}, err
	}
	r := receipt.Request{Version: canon.Version, Key: s.client.Key.Public(), Counter: counter,
		Model: s.record.Session.Terms.Model, Tokens: p.Tokens, Chat: p.Chat, Params: p.Params, Seed: p.Seed}
	if err := r.Validate(); err != nil {
		return wire.Ask{}, err
	}
	if s.seq == s.record.Served.Seq {
		record := s.record
		record.Served.Seq++
		if err := s.client.Journal.Save(record); err != nil {
			return wire.Ask{}, err
		}
		s.record = record
	}
	s.seq++
	ask := receipt.Ask{Chain: s.client.Ledger.ChainID(), Session: s.ID(), Seq: s.seq, Request: r.Hash(), Salt: salt}
	return wire.Ask{Ask: ask, Signature: s.client.Key.Sign(receipt.DomainAsk, ask), Request: r, Last: s.last()}, nil
}

// last is the newest voucher, for a provider that may have missed it.
func (s *Session) last() *wire.Payment {
	if s.record.Newest == nil {
		return nil
	}
	return &wire.Payment{Voucher: s.record.Newest.Voucher, Signature: s.record.Newest.VoucherSignature}
}

// cut marks what went wrong on a stream whose connection is gone.
func cut(stream *link.Stream, err error) error {
	if !stream.Cut() {
		return err
	}
	return fmt.Errorf("%w: %w", errCut, err)
}

// errCutOff says that neither the provider nor the ledger can be reached: it is this
// machine that is off the network, or the ledger that is gone.
var errCutOff = errors.New("neither the provider nor the ledger can be reached")

// dial reaches the provider within wait, where the ledger says it is by now. A
// wait of zero is one try at the addresses that are known, and one at newer ones.
// While the ledger can't be asked, the wait has not begun: this machine may be away.
func (s *Session) dial(ctx context.Context, wait time.Duration) (*link.Stream, error) {
	begun := time.Now()
	until := begun.Add(wait)
	for moves := 0; ; {
		stream, err := s.reach(ctx, until)
		if err == nil {
			return stream, nil
		}
		moved, failed := s.locate(ctx, wait)
		switch over := time.Now().After(until); {
		case ctx.Err() != nil:
			return nil, errors.Join(err, ctx.Err())
		case failed != nil && (wait == 0 || time.Since(begun) > s.client.limits.away):
			return nil, fmt.Errorf("%w: %w", errCutOff, errors.Join(err, failed))
		case failed != nil:
			until = time.Now().Add(wait)
		case over && (!moved || moves == maxMoves), !moved && errors.Is(err, link.ErrNobody):
			return nil, fmt.Errorf("reach provider %s: %w", s.record.Session.Provider, err)
		}
		if moved {
			moves++
		} else {
			pause(ctx, movePoll)
		}
	}
}

// reach dials the provider once, and not beyond a time that is still to come.
func (s *Session) reach(ctx context.Context, until time.Time) (*link.Stream, error) {
	if time.Now().Before(until) {
		var end context.CancelFunc
		ctx, end = context.WithDeadline(ctx, until)
		defer end()
	}
	stream, err := s.client.Link.DialKey(ctx, s.record.Session.ProviderKey, s.addrs, wire.Protocol)
	if err != nil {
		return nil, err
	}
	stream.SetFrameLimit(wire.FrameLimit)
	stream.SetFrameTimeout(frameTimeout)
	return stream, nil
}

// locate asks the ledger where the provider is, and reports whether it has moved. A
// limit of zero is none.
func (s *Session) locate(ctx context.Context, limit time.Duration) (moved bool, err error) {
	if limit > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(ctx, limit)
		defer end()
	}
	all, err := s.client.Ledger.Addresses(ctx, s.record.Session.Provider)
	if err != nil {
		return false, err
	}
	addrs := link.AddrsOf(s.record.Session.ProviderKey, all)
	moved = !slices.Equal(addrs, s.addrs)
	s.addrs = addrs
	return moved, nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// receiveTokens reads an answer up to its receipt. A provider that sends more than
// was asked for is cut off.
func receiveTokens(c wire.Conn, p receipt.Params, token func(receipt.Token) error) (receipt.Answer, wire.Done, error) {
	a := receipt.Answer{Tokens: []uint32{}}
	for {
		var r wire.Reply
		if err := c.Receive(&r); err != nil {
			return a, wire.Done{}, fmt.Errorf("provider broke off after %d tokens: %w", len(a.Tokens), err)
		}
		switch {
		case r.Refused != nil:
			return a, wire.Done{}, r.Refused
		case r.Done != nil:
			a.Finish = r.Done.Finish
			return a, *r.Done, nil
		case len(r.Tokens) == 0:
			return a, wire.Done{}, errors.New("provider sent an empty reply")
		}
		if err := p.Shows(len(r.Tokens), r.Logprobs); err != nil {
			return a, wire.Done{}, fmt.Errorf("provider broke the request: %w", err)
		}
		for i, id := range r.Tokens {
			if uint64(len(a.Tokens)) == p.MaxTokens {
				return a, wire.Done{}, fmt.Errorf("provider sent more than the %d tokens asked for", p.MaxTokens)
			}
			t := receipt.Token{ID: id}
			if p.Logprobs > 0 {
				t.Logprobs = &r.Logprobs[i]
			}
			a.Add(t)
			if err := token(t); err != nil {
				return a, wire.Done{}, err
			}
		}
	}
}

// accept makes the pair for the history with t, if the provider's receipt says
// the same as the consumer's own count.
func (s *Session) accept(t receipt.Transcript, done wire.Done) (receipt.Entry, job.Served, error) {
	next, err := s.record.Session.Serve(s.record.Served, t.Leaf())
	if err != nil {
		return receipt.Entry{}, next, err
	}
	chain := s.client.Ledger.ChainID()
	if want := next.Tally.Receipt(chain, s.ID()); done.Receipt != want {
		return receipt.Entry{}, next, fmt.Errorf("receipt differs from what was served: %d udlt for %d requests, not %d for %d",
			done.Receipt.Amount, done.Receipt.Seq, want.Amount, want.Seq)
	}
	v := next.Tally.Voucher(chain, s.ID(), false)
	e := receipt.Entry{Receipt: done.Receipt, ReceiptSignature: done.Signature,
		Voucher: v, VoucherSignature: s.client.Key.Sign(receipt.DomainVoucher, v)}
	if err := e.Check(chain, s.ID(), s.record.Session.ProviderKey, s.client.Key.Public()); err != nil {
		return receipt.Entry{}, next, err
	}
	next.Paid = v.Amount
	return e, next, nil
}

// pay keeps the transcript and the voucher, then hands the voucher over. The
// number of the next request is noted in the same write.
func (s *Session) pay(c wire.Conn, t receipt.Transcript, e receipt.Entry, next job.Served) (Result, error) {
	result := Result{Session: s.ID(), Seq: t.Ask.Seq, Provider: s.record.Session.Provider, Answer: t.Answer,
		Usage: t.Request.Bill(t.Answer), Price: next.Tally.Amount - s.record.Served.Tally.Amount}
	record := s.record
	record.Served, record.Newest = next, &e
	record.Served.Seq = t.Ask.Seq + 1
	if err := s.client.Journal.Append(record, t); err != nil {
		return Result{}, err
	}
	s.record = record
	// The answer is here and the voucher is kept: if the provider does not hear
	// of it now, it does with the next request or with the final voucher.
	if err := s.hand(c, e); err != nil {
		s.client.Log.Warn("voucher not acknowledged", "session", s.ID(), "error", err)
	}
	return result, nil
}

func (s *Session) hand(c wire.Conn, e receipt.Entry) error {
	if err := c.Send(wire.Word{Payment: &wire.Payment{Voucher: e.Voucher, Signature: e.VoucherSignature}}); err != nil {
		return err
	}
	return acknowledged(c)
}

func acknowledged(c wire.Conn) error {
	var r wire.Reply
	if err := c.Receive(&r); err != nil {
		return err
	}
	if r.Refused != nil {
		return r.Refused
	}
	if !r.Paid {
		return errors.New("provider did not acknowledge")
	}
	return nil
}

// Close ends the session: the provider is given the final voucher, with which
// it settles at once; if it does not answer, or is accused, the consumer closes
// alone, and the ledger does not say that they agreed. Close returns when the
// ledger shows the session settled.
func (s *Session) Close(ctx context.Context) error {
	if err := s.shut(ctx); err != nil {
		return err
	}
	return s.settled(ctx)
}

func (s *Session) shut(ctx context.Context) error {
	s.record.Closing = true
	err := s.client.Journal.Save(s.record)
	if err != nil {
		return err
	}
	// An accusation is of the last number used; it outlives a crash.
	_, err = s.client.Journal.Lie(s.ID(), s.record.Served.Seq)
	if errors.Is(err, wire.ErrNoRecord) && !s.barren() {
		if err = s.finish(ctx); err == nil {
			return nil
		}
		s.client.Log.Warn("provider did not close; closing alone", "session", s.ID(), "error", err)
	}
	if err := s.closeAlone(ctx); err != nil {
		return fmt.Errorf("close session %d: %w", s.ID(), err)
	}
	return nil
}

// barren reports that the provider failed and nothing else came of the session. It
// closes without the agreement that would leave no mark on the provider's standing.
func (s *Session) barren() bool { return s.blamed && s.record.Newest == nil }

// finish leaves time to close alone, if the provider is silent.
func (s *Session) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, abandonTimeout/2)
	defer cancel()
	stream, err := s.dial(ctx, 0)
	if err != nil {
		return err
	}
	defer stream.Close()
	defer context.AfterFunc(ctx, stream.Reset)()
	v := s.record.Served.Tally.Voucher(s.client.Ledger.ChainID(), s.ID(), true)
	payment := wire.Payment{Voucher: v, Signature: s.client.Key.Sign(receipt.DomainVoucher, v)}
	if err := stream.Send(wire.Opening{Finish: &payment}); err != nil {
		return err
	}
	return acknowledged(stream)
}

// closeAlone brings the newest pair, if there is one, and starts the close
// window.
func (s *Session) closeAlone(ctx context.Context) error {
	fresh, err := s.client.Ledger.Session(ctx, s.ID())
	if err != nil || fresh.State != job.SessionOpen {
		return err
	}
	if s.record.Newest == nil {
		return s.client.Ledger.CloseSession(ctx, s.ID())
	}
	results, err := s.client.Ledger.Settle(ctx, []receipt.Settlement{{Entry: *s.record.Newest, Close: true}})
	if err != nil {
		return err
	}
	return results[0]
}

// settled waits until the ledger shows the session settled, and notes it.
func (s *Session) settled(ctx context.Context) error {
	tick := time.NewTicker(matchPoll)
	defer tick.Stop()
	for {
		fresh, err := s.client.Ledger.Session(ctx, s.ID())
		if err != nil {
			return err
		}
		if fresh.State == job.SessionSettled || fresh.State == job.SessionReleased {
			s.record.Session = fresh
			return s.client.Journal.Save(s.record)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
