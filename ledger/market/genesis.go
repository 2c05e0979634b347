package market

import (
	"context"
	"errors"
	"fmt"

	"daulat/core/canon"
	"daulat/core/escrow"
	"daulat/core/job"
	pb "daulat/gen/market"
	"daulat/ledger/record"
)

// DefaultWindows are the clocks of a new chain.
var DefaultWindows = job.Windows{Close: 3600, Challenge: 24 * 3600}

// state is a genesis state in core's types.
type state struct {
	windows  job.Windows
	next     uint64
	orders   []job.Order
	sessions []job.Session

	complaints []job.Complaint
}

// load writes a genesis state into an empty store. The module account must
// hold its money already.
func (s *Store) load(ctx context.Context, g *pb.GenesisState) error {
	st, err := s.parse(g)
	if err != nil {
		return err
	}
	if err := s.windows.Set(ctx, st.windows); err != nil {
		return err
	}
	if err := s.next.Set(ctx, st.next); err != nil {
		return err
	}
	for _, o := range st.orders {
		if err := s.putOrder(ctx, job.Order{}, o); err != nil {
			return err
		}
	}
	for _, j := range st.sessions {
		if err := s.putSession(ctx, job.Session{}, j); err != nil {
			return err
		}
	}
	for _, c := range st.complaints {
		if err := s.putComplaint(ctx, c); err != nil {
			return err
		}
	}
	return s.Conserved(ctx)
}

// dump reads the whole state, in the order of IDs.
func (s *Store) dump(ctx context.Context) (*pb.GenesisState, error) {
	w, err := s.windows.Get(ctx)
	if err != nil {
		return nil, err
	}
	g := &pb.GenesisState{Params: pb.Params{CloseWindow: w.Close, ChallengeWindow: w.Challenge}}
	if g.NextOrder, err = s.next.Get(ctx); err != nil {
		return nil, err
	}
	err = s.orders.Walk(ctx, nil, func(_ uint64, o job.Order) (bool, error) {
		g.Orders = append(g.Orders, wireOrder(o))
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	err = s.sessions.Walk(ctx, nil, func(_ uint64, j job.Session) (bool, error) {
		g.Sessions = append(g.Sessions, wireSession(j))
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	err = s.complaints.Walk(ctx, nil, func(_ complaintKey, c job.Complaint) (bool, error) {
		g.Complaints = append(g.Complaints, wireComplaint(c))
		return false, nil
	})
	return g, err
}

// parse reads a genesis state and holds it to what the rules can bring about.
func (s *Store) parse(g *pb.GenesisState) (st state, err error) {
	st = state{windows: job.Windows{Close: g.Params.CloseWindow, Challenge: g.Params.ChallengeWindow}, next: g.NextOrder}
	if err := st.windows.Validate(); err != nil {
		return st, fmt.Errorf("market genesis: %w", err)
	}
	if st.next == 0 {
		return st, errors.New("market genesis: order IDs start at 1")
	}
	orders := make(map[uint64]job.Order, len(g.Orders))
	matched := 0
	for _, w := range g.Orders {
		o, err := s.parseGenesisOrder(w)
		if err != nil {
			return st, fmt.Errorf("market genesis: order %d: %w", w.Id, err)
		}
		if _, twice := orders[o.ID]; twice || o.ID == 0 || o.ID >= st.next {
			return st, fmt.Errorf("market genesis: order %d comes twice or lies outside 1 to %d", o.ID, st.next-1)
		}
		if o.State == job.OrderMatched {
			matched++
		}
		orders[o.ID] = o
		st.orders = append(st.orders, o)
	}
	sessions := make(map[uint64]job.Session, len(g.Sessions))
	for _, w := range g.Sessions {
		j, err := s.parseGenesisSession(w, orders[w.Id])
		if err != nil {
			return st, fmt.Errorf("market genesis: session %d: %w", w.Id, err)
		}
		if _, twice := sessions[j.ID]; twice {
			return st, fmt.Errorf("market genesis: session %d comes twice", j.ID)
		}
		sessions[j.ID] = j
		st.sessions = append(st.sessions, j)
	}
	if matched != len(st.sessions) {
		return st, fmt.Errorf("market genesis: %d matched orders have %d sessions", matched, len(st.sessions))
	}
	st.complaints, err = parseGenesisComplaints(g.Complaints, sessions)
	return st, err
}

func parseGenesisComplaints(list []pb.Complaint, sessions map[uint64]job.Session) (all []job.Complaint, err error) {
	seen, count := map[[2]uint64]bool{}, map[uint64]int{}
	for _, w := range list {
		c, err := parseGenesisComplaint(w, sessions[w.Session])
		if err != nil {
			return nil, fmt.Errorf("market genesis: complaint %d of session %d: %w", w.Seq, w.Session, err)
		}
		key := [2]uint64{c.Session, c.Seq}
		if count[c.Session]++; seen[key] || count[c.Session] > MaxComplaints {
			return nil, fmt.Errorf("market genesis: complaint %d of session %d comes twice or is one too many", c.Seq, c.Session)
		}
		seen[key] = true
		all = append(all, c)
	}
	return all, nil
}

func parseGenesisComplaint(w pb.Complaint, s job.Session) (job.Complaint, error) {
	c, err := parseComplaint(w)
	if err != nil {
		return c, err
	}
	if err := c.Check(w.Receipt.Chain, s); err != nil {
		return c, err
	}
	return c, readable(c)
}

func (s *Store) parseGenesisOrder(w pb.Order) (job.Order, error) {
	o, err := s.parseOrder(w)
	if err != nil {
		return o, err
	}
	if err := s.oneForm(o.Consumer); err != nil {
		return o, err
	}
	switch o.State {
	case job.OrderOpen, job.OrderMatched, job.OrderCancelled, job.OrderExpired:
	default:
		return o, fmt.Errorf("state %q is unknown", string(o.State))
	}
	if o.Expires < o.Placed || o.Expires-o.Placed != o.Terms.Patience {
		return o, errors.New("it does not expire when its patience ends")
	}
	return o, readable(o)
}

func (s *Store) parseGenesisSession(w pb.Session, o job.Order) (job.Session, error) {
	j, err := s.parseSession(w)
	if err != nil {
		return j, err
	}
	if o.State != job.OrderMatched || j.Consumer != o.Consumer || j.SessionKey != o.SessionKey || !j.Terms.Equal(o.Terms) ||
		!j.Price.Within(o.Terms.Ceiling) {
		return j, errors.New("it does not come from its order")
	}
	if err := s.oneForm(j.Provider); err != nil {
		return j, err
	}
	if err := j.Windows.Validate(); err != nil {
		return j, err
	}
	if err := validMoney(j.State, j.Clock, j.Escrow); err != nil {
		return j, err
	}
	if j.Claim != nil {
		if err := j.Claim.Check(j.Claim.Receipt.Chain, j.ID, j.ProviderKey, j.SessionKey); err != nil {
			return j, fmt.Errorf("claim: %w", err)
		}
	}
	return j, readable(j)
}

// validMoney checks that money lies where a session's state puts it.
func validMoney(state job.SessionState, clock uint64, a escrow.Account) error {
	var ok bool
	switch state {
	case job.SessionOpen, job.SessionClosing:
		ok = clock > 0 && a.Withheld == 0 && a.Paid == 0 && a.Refunded == 0
	case job.SessionSettled:
		ok = clock > 0 && a.Locked == 0 && a.Paid == 0
	case job.SessionReleased:
		ok = clock == 0 && a.Locked == 0 && a.Withheld == 0
	}
	if !ok || !a.Balanced() {
		return fmt.Errorf("clock and money don't fit state %q", string(state))
	}
	return nil
}

func (s *Store) oneForm(account string) error {
	normal, err := record.Account(s.addresses, account)
	if err != nil {
		return err
	}
	if normal != account {
		return errors.New("account is not in its one text form")
	}
	return nil
}

// readable checks that a value can be read back from its canonical bytes.
func readable[T any](v T) error {
	data, err := canon.Marshal(v)
	if err != nil {
		return err
	}
	return canon.Unmarshal(data, new(T))
}
