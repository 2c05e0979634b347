package test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"daulat/core/job"
	"daulat/ledger/client"
	"daulat/link/session"
	"daulat/ui/control"
)

// moments are what the network is doing when it is killed. Before an act no
// session is open but those of the preparation. An act runs while the clock of
// the kill ticks; what it leaves behind must be accounted for.
var moments = []struct {
	name    string
	within  time.Duration // the kill comes at a drawn time before this,
	state   any           // or, if set, once the ledger shows the next job so
	prepare func(b *bystander)
	act     func(b *bystander)
}{
	{"opening a session", 600 * time.Millisecond, nil, nothing, short},
	{"being matched", 0, job.OrderMatched, nothing, short},
	{"answering", 100 * time.Millisecond, nil, short, func(b *bystander) { b.asked(200) }},
	{"serving many", 300 * time.Millisecond, nil, short, func(b *bystander) { b.crowd(4) }},
	{"settling", 350 * time.Millisecond, nil, short, (*bystander).settle},
	{"settling again", 350 * time.Millisecond, nil, short, (*bystander).settle},
	{"settling, the ledger first", 0, job.SessionSettled, short, (*bystander).settle},
	{"stopping", 400 * time.Millisecond, nil, short, func(b *bystander) { b.network.Interrupt() }},
}

func nothing(*bystander) {}
func short(b *bystander) { b.asked(8) }

// TestKilledAtAnyMoment kills a whole network again and again while it opens,
// answers and settles. In the end every answer that somebody holds is paid for
// and can be verified, no session is left behind, and no coin is lost or made.
func TestKilledAtAnyMoment(t *testing.T) {
	const seed = 20260601
	random := rand.New(rand.NewPCG(seed, 1))
	b := &bystander{t: t, home: filepath.Join(t.TempDir(), "home"), prices: map[string]uint64{}}
	b.network = up(t, b.home, "--challenge-window", "2")
	genesis := b.total()
	b.asked(8)
	for _, m := range moments {
		b.settleAll()
		m.prepare(b)
		kill := func() { b.await(m.state) }
		if m.state == nil {
			kill = func() { time.Sleep(time.Duration(random.Int64N(int64(m.within)))) }
		}
		b.acting(m.act, kill)
		if random.IntN(2) == 0 { // a start is a moment, too
			u := climb(t, b.home)
			time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
			u.Kill()
		}
		b.network = up(t, b.home)
		b.asked(8) // whatever happened, the network works again
		t.Logf("killed while %s: %d answers are held", m.name, len(b.prices))
	}
	stop(t, b.network.Process) // settles what is open
	b.network = up(t, b.home)
	sessions := b.released()
	if total := b.total(); total != genesis {
		t.Errorf("accounts and escrow hold %d udlt, and %d at genesis", total, genesis)
	}
	b.verifyAll()
	status := must[control.Status](t, b.home, "status")
	stop(t, b.network.Process)
	b.audit(sessions, *status.Provider)
}

// A bystander uses a network that is being killed and remembers what it was
// given.
type bystander struct {
	t       *testing.T
	home    string
	network *upward
	newest  uint64          // job on the ledger before the act
	ctx     context.Context // of the act
	mu      sync.Mutex
	prices  map[string]uint64 // of the answers that arrived whole, by receipt
}

// acting kills the network in the middle of an act, when moment returns.
func (b *bystander) acting(act func(*bystander), moment func()) {
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	b.ctx = ctx
	go func() {
		defer close(done)
		act(b)
	}()
	moment()
	b.network.Kill()
	<-done
	b.ctx = nil
}

// await returns as soon as the ledger shows the job after the last one in the
// state, which is an order's or a session's.
func (b *bystander) await(state any) {
	b.t.Helper()
	c := b.network.ledger(b.t)
	next := b.newest + 1
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if o, err := c.Order(b.t.Context(), next); err == nil && o.State == state {
			return
		}
		if s, err := c.Session(b.t.Context(), next); err == nil && s.State == state {
			return
		}
	}
	b.t.Errorf("job %d never was %s", next, state)
}

// ask asks, and notes the answer if it comes.
func (b *bystander) ask(tokens int) error {
	ctx := b.ctx
	if ctx == nil {
		ctx = b.t.Context()
	}
	r := run(ctx, b.t, b.home, "ask", "--json", "--max-tokens", fmt.Sprint(tokens), "What time is it?")
	if r.status != 0 {
		return fmt.Errorf("ask ended with status %d: %s", r.status, r.stderr)
	}
	a, err := parse[struct {
		Receipt string `json:"receipt"`
		Price   uint64 `json:"price_udlt"`
	}](r.stdout)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, twice := b.prices[a.Receipt]; twice {
		b.t.Errorf("two answers have receipt %s", a.Receipt)
	}
	b.prices[a.Receipt] = a.Price
	return nil
}

// asked asks and, unless the network is about to be killed, must succeed.
func (b *bystander) asked(tokens int) {
	if err := b.ask(tokens); err != nil && b.ctx == nil {
		b.t.Errorf("%v\n%s", err, b.network.Said())
	}
}

// crowd asks n times at once.
func (b *bystander) crowd(n int) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() { _ = b.ask(16) })
	}
	all.Wait()
}

// settle exports the newest receipt, which settles its session.
func (b *bystander) settle() {
	b.mu.Lock()
	newest := slices.MaxFunc(slices.Collect(maps.Keys(b.prices)), byNumber)
	b.mu.Unlock()
	b.export(newest)
}

// settleAll leaves no session open of which a receipt is held, and notes which
// job is the newest.
func (b *bystander) settleAll() {
	b.t.Helper()
	c := b.network.ledger(b.t)
	newest := map[uint64]string{}
	for _, r := range slices.SortedFunc(maps.Keys(b.prices), byNumber) {
		newest[number(r)>>32] = r
	}
	for _, s := range b.sessions(c) {
		if r, held := newest[s.ID]; held && s.State == job.SessionOpen {
			b.export(r)
		}
	}
	for {
		if _, err := c.Order(b.t.Context(), b.newest+1); err != nil {
			return
		}
		b.newest++
	}
}

func (b *bystander) export(receipt string) bool {
	ctx := b.ctx
	if ctx == nil {
		ctx = b.t.Context()
	}
	r := run(ctx, b.t, b.home, "receipt", "export", receipt, "-o", filepath.Join(filepath.Dir(b.home), receipt))
	if r.status != 0 && b.ctx == nil {
		b.t.Errorf("export of %s ended with status %d: %s", receipt, r.status, r.stderr)
	}
	return r.status == 0
}

func byNumber(a, b string) int { return cmp.Compare(number(a), number(b)) }

// number orders receipts by session and then by number.
func number(receipt string) (n uint64) {
	var session, seq uint64
	if _, err := fmt.Sscanf(receipt, "%d-%d", &session, &seq); err != nil {
		return 0
	}
	return session<<32 | seq
}

// sessions are all of the ledger, whoever remembers them.
func (b *bystander) sessions(c *client.Client) []job.Session {
	b.t.Helper()
	s := must[control.Status](b.t, b.home, "status")
	sessions, err := c.Sessions(b.t.Context(), s.Wallet.Address, "")
	if err != nil {
		b.t.Fatal(err)
	}
	return sessions
}

// total is all the money that accounts and escrow hold.
func (b *bystander) total() (sum uint64) {
	b.t.Helper()
	c := b.network.ledger(b.t)
	s := must[control.Status](b.t, b.home, "status")
	for _, account := range []string{s.Wallet.Address, s.Provider.Address} {
		balance, err := c.Balance(b.t.Context(), account)
		if err != nil {
			b.t.Fatal(err)
		}
		sum += balance
	}
	for _, s := range b.sessions(c) {
		sum += s.Escrow.Locked + s.Escrow.Withheld
	}
	return sum
}

// released waits until no session holds money any more, and returns all.
func (b *bystander) released() (sessions []job.Session) {
	b.t.Helper()
	c := b.network.ledger(b.t)
	eventually(b.t, func() (bool, string) {
		sessions = b.sessions(c)
		var left []string
		for _, s := range sessions {
			if s.State != job.SessionReleased {
				left = append(left, fmt.Sprintf("session %d is %s with %d udlt in escrow", s.ID, s.State, s.Escrow.Locked))
			}
		}
		return len(left) == 0, strings.Join(left, ", ")
	})
	return sessions
}

// verifyAll has a stranger check every answer that was given.
func (b *bystander) verifyAll() {
	for receipt := range b.prices {
		if !b.export(receipt) {
			continue
		}
		dir := filepath.Dir(b.home)
		r := must[control.Report](b.t, filepath.Join(dir, "stranger"), "verify", filepath.Join(dir, receipt), "--trust", b.network.Trust)
		if r.Verdict != "agree" || r.Receipt != receipt {
			b.t.Errorf("receipt %s: %s", receipt, r.Line)
		}
	}
}

// audit compares what the two journals remember with what the ledger paid.
func (b *bystander) audit(sessions []job.Session, earned control.Earnings) {
	asks := b.journal("consumer.db")
	serves := b.journal("provider.db")
	var paid, requests uint64
	for _, s := range sessions {
		if s.State != job.SessionReleased {
			continue // which was reported
		}
		paid += s.Escrow.Paid
		kept, err := asks.Transcripts(s.ID)
		if err != nil {
			b.t.Fatal(err)
		}
		var tally job.Tally
		known := map[string]bool{}
		for _, k := range kept {
			before := tally.Amount
			if tally, err = tally.Add(k.Leaf(), s.Price); err != nil {
				b.t.Fatal(err)
			}
			name := fmt.Sprintf("%d-%d", s.ID, k.Ask.Seq)
			known[name] = true
			if price, held := b.prices[name]; held && price != tally.Amount-before {
				b.t.Errorf("receipt %s said %d udlt, and its voucher %d", name, price, tally.Amount-before)
			}
		}
		requests += uint64(len(kept))
		for name := range b.prices {
			if strings.HasPrefix(name, fmt.Sprintf("%d-", s.ID)) && !known[name] {
				b.t.Errorf("answer %s was given and is not in the journal", name)
			}
		}
		if s.Escrow.Paid != tally.Amount {
			b.t.Errorf("session %d paid %d udlt for answers worth %d (%s)", s.ID, s.Escrow.Paid, tally.Amount, s.Reason)
		}
		if s.Claim != nil && s.Claim.Receipt.Root != tally.Range.Root() {
			b.t.Errorf("session %d settled another history than the consumer's", s.ID)
		}
		if s.Escrow.Paid+s.Escrow.Refunded != s.Escrow.Deposited {
			b.t.Errorf("session %d: %d of %d udlt left escrow", s.ID, s.Escrow.Paid+s.Escrow.Refunded, s.Escrow.Deposited)
		}
		b.served(serves, s.ID, len(kept))
	}
	if earned.Released != paid || earned.Withheld != 0 || earned.Requests != requests {
		b.t.Errorf("status says that %d requests earned %d udlt and %d more are withheld; the ledger paid %d for %d",
			earned.Requests, earned.Released, earned.Withheld, paid, requests)
	}
}

// served wants the provider to remember each paid answer and to hold no lease.
func (b *bystander) served(j *session.Journal, id uint64, paid int) {
	if kept, err := j.Transcripts(id); err != nil || len(kept) < paid {
		b.t.Errorf("session %d: the provider remembers %d of %d paid answers (%v)", id, len(kept), paid, err)
	}
	if r, err := j.Record(id); err == nil && r.Session.State != job.SessionSettled && r.Session.State != job.SessionReleased {
		b.t.Errorf("session %d: the provider still holds a lease that is %s", id, r.Session.State)
	}
}

func (b *bystander) journal(name string) *session.Journal {
	j, err := session.OpenJournal(filepath.Join(b.home, name))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { j.Close() })
	return j
}
