package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	cmtbytes "github.com/cometbft/cometbft/libs/bytes"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	ctypes "github.com/cometbft/cometbft/rpc/core/types"
	cmttypes "github.com/cometbft/cometbft/types"
)

// A Peer is one of several nodes that show the same ledger.
type Peer struct {
	Name string // for errors
	RPC
}

// Peers is the RPC of several nodes, any of which may lie, stall or be gone: one
// that helps is enough. Who fails is set aside, and the call is made to the next;
// who was set aside is still asked when nobody else is left. Transactions go to
// all of them, so that none can keep one back.
//
// A refusal proves nothing and is taken if nobody answers otherwise. What a
// verified [Client] proves it asks of one peer as a whole, so a proof that does
// not hold is its maker's fault.
type Peers struct {
	now      func() time.Time
	patience time.Duration // with a peer that is not the last

	mu    sync.Mutex
	first int // who helped last
	all   []known
}

// known is a peer, and until when it is set aside.
type known struct {
	Peer
	aside time.Time
}

const (
	patience = 10 * time.Second
	asideFor = 5 * time.Minute
	// secondPatience is for how long others may contradict a refusal.
	secondPatience = 3 * time.Second
)

// NewPeers makes one RPC of several.
func NewPeers(peers []Peer) *Peers {
	p := &Peers{now: time.Now, patience: patience}
	for _, peer := range peers {
		p.all = append(p.all, known{Peer: peer})
	}
	return p
}

// order is in which order peers are asked, and how many of them are not set aside.
func (p *Peers) order() (order []int, fresh int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	isAside := func(i int) int {
		if p.all[i].aside.After(now) {
			return 1
		}
		return 0
	}
	for i := range p.all {
		at := (p.first + i) % len(p.all)
		order = append(order, at)
		fresh += 1 - isAside(at)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(isAside(a), isAside(b)) })
	return order, fresh
}

// helped makes a peer the first that is asked.
func (p *Peers) helped(at int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first, p.all[at].aside = at, time.Time{}
}

func (p *Peers) setAside(at int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[at].aside = p.now().Add(asideFor)
}

// turn lets another peer be asked first, as the one that is shows nothing new.
func (p *Peers) turn() {
	order, _ := p.order()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first = order[min(1, len(order)-1)]
}

// refusal is the answer of a peer that another may contradict.
type refusal struct{ why string }

func (r refusal) Error() string { return r.why }

// ownError is a failure that is no peer's.
type ownError struct{ error }

func (e ownError) Unwrap() error { return e.error }

// isOwn reports whether asking others is of no use.
func isOwn(err error) bool {
	return errors.Is(err, ErrStale) || errors.Is(err, ErrBehind) || errors.As(err, new(ownError))
}

// each asks one peer after the other until f succeeds.
func (p *Peers) each(ctx context.Context, f func(context.Context, RPC) error) error {
	order, fresh := p.order()
	var failed Unhelpful
	refused := false
	for i, at := range order {
		if refused && i >= fresh {
			break
		}
		limit := p.patience
		if refused {
			limit = min(limit, secondPatience)
		}
		err := within(ctx, limit, refused || i+1 < len(order), func(ctx context.Context) error { return f(ctx, p.all[at].RPC) })
		switch {
		case err == nil:
			p.helped(at)
			return nil
		case isOwn(err) || errors.Is(ctx.Err(), context.Canceled):
			return err
		case errors.As(err, new(refusal)):
			refused = true
		default:
			p.setAside(at)
		}
		if ctx.Err() != nil {
			return err
		}
		failed = append(failed, fault{p.all[at].Name, err})
	}
	return failed
}

// within bounds the time of f if there is somebody else to ask.
func within(ctx context.Context, limit time.Duration, bounded bool, f func(context.Context) error) error {
	if bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return f(ctx)
}

// Unhelpful says what each of the peers did wrong that were asked.
type Unhelpful []fault

type fault struct {
	peer string
	err  error
}

// Error names liars before those who did less, and who was not reached last.
func (u Unhelpful) Error() string {
	if len(u) == 1 {
		return "the peer " + u[0].String()
	}
	if !slices.ContainsFunc(u, func(f fault) bool { return !errors.Is(f.err, ErrLagging) }) {
		return fmt.Sprintf("%s; so it is with all %d peers that were asked", u[0].err, len(u))
	}
	u = slices.SortedStableFunc(slices.Values(u), func(a, b fault) int { return cmp.Compare(a.rank(), b.rank()) })
	all := make([]string, len(u))
	for i, f := range u {
		all[i] = f.String()
	}
	sentence := fmt.Sprintf("none of the %d peers that were asked helps: %s", len(u), strings.Join(all, "; "))
	if Lied(u[0].err) {
		sentence = "this home was shown a false ledger; " + sentence
	}
	return sentence
}

// Unwrap lets errors.Is see what they did.
func (u Unhelpful) Unwrap() (all []error) {
	for _, f := range u {
		all = append(all, f.err)
	}
	return all
}

// rank is how much a fault says of the ledger that a peer shows.
func (f fault) rank() int {
	switch {
	case Lied(f.err):
		return 0
	case errors.As(f.err, new(dialError)):
		return 2
	}
	return 1
}

func (f fault) String() string {
	did, err := "did not help", f.err
	var dial dialError
	switch {
	case errors.As(f.err, &dial):
		did, err = "could not be reached", dial
	case errors.Is(f.err, context.DeadlineExceeded):
		did = "did not answer in time"
	case errors.As(f.err, new(refusal)):
		did = "refused"
	case Lied(f.err):
		did = "lied"
	}
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n") // of a dial, one for each address
	return fmt.Sprintf("%s %s (%s)", f.peer, did, strings.TrimLeft(lines[len(lines)-1], " *"))
}

// Silent reports whether all that went wrong is that no peer could be reached.
func Silent(err error) bool {
	var all Unhelpful
	if !errors.As(err, &all) {
		return errors.As(err, new(dialError))
	}
	return !slices.ContainsFunc(all, func(f fault) bool { return !errors.As(f.err, new(dialError)) })
}

// Lied reports whether an error is of a proof that does not hold, or of a height
// that none stands behind.
func Lied(err error) bool {
	for _, lie := range []error{ErrRoot, ErrHeader, ErrHeight, ErrState, ErrMalformed} {
		if errors.Is(err, lie) {
			return true
		}
	}
	return false
}

// from does f with the node, or with one after the other of several.
func (c *Client) from(ctx context.Context, f func(context.Context, *Client) error) error {
	p, several := c.rpc.(*Peers)
	if !several {
		return f(ctx, c)
	}
	return p.each(ctx, func(ctx context.Context, rpc RPC) error {
		return f(ctx, &Client{rpc: rpc, chain: c.chain, follower: c.follower})
	})
}

func first[T any](ctx context.Context, p *Peers, call func(context.Context, RPC) (T, error)) (answer T, err error) {
	err = p.each(ctx, func(ctx context.Context, rpc RPC) (err error) {
		answer, err = call(ctx, rpc)
		return err
	})
	return answer, err
}

// ABCIInfo implements RPC.
func (p *Peers) ABCIInfo(ctx context.Context) (*ctypes.ResultABCIInfo, error) {
	return first(ctx, p, func(ctx context.Context, rpc RPC) (*ctypes.ResultABCIInfo, error) { return rpc.ABCIInfo(ctx) })
}

// ABCIQueryWithOptions implements RPC.
func (p *Peers) ABCIQueryWithOptions(ctx context.Context, path string, data cmtbytes.HexBytes, o rpcclient.ABCIQueryOptions) (*ctypes.ResultABCIQuery, error) {
	var refused *ctypes.ResultABCIQuery
	answer, err := first(ctx, p, func(ctx context.Context, rpc RPC) (*ctypes.ResultABCIQuery, error) {
		r, err := rpc.ABCIQueryWithOptions(ctx, path, data, o)
		if err == nil && r.Response.Code != 0 {
			refused = cmp.Or(refused, r)
			err = refusal{r.Response.Log}
		}
		return r, err
	})
	if err != nil && refused != nil && ctx.Err() == nil {
		return refused, nil
	}
	return answer, err
}

// BroadcastTxSync implements RPC.
func (p *Peers) BroadcastTxSync(ctx context.Context, tx cmttypes.Tx) (*ctypes.ResultBroadcastTx, error) {
	type outcome struct {
		at  int
		r   *ctypes.ResultBroadcastTx
		err error
	}
	order, fresh := p.order()
	if fresh > 0 {
		order = order[:fresh]
	}
	all := make(chan outcome, len(order))
	for _, at := range order {
		go func() { // goes on when one has taken it
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.patience)
			defer cancel()
			r, err := p.all[at].BroadcastTxSync(ctx, tx)
			all <- outcome{at, r, err}
		}()
	}
	var refused *ctypes.ResultBroadcastTx
	var failed Unhelpful
	for range order {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case o := <-all:
			switch {
			case o.err != nil:
				failed = append(failed, fault{p.all[o.at].Name, o.err})
			case o.r.Code == 0:
				return o.r, nil
			default:
				refused = cmp.Or(refused, o.r)
			}
		}
	}
	if refused != nil && (len(failed) == 0 || !inCache(failed)) {
		return refused, nil
	}
	return nil, failed
}

// Block implements RPC.
func (p *Peers) Block(ctx context.Context, height *int64) (*ctypes.ResultBlock, error) {
	return first(ctx, p, func(ctx context.Context, rpc RPC) (*ctypes.ResultBlock, error) { return rpc.Block(ctx, height) })
}

// BlockResults implements RPC.
func (p *Peers) BlockResults(ctx context.Context, height *int64) (*ctypes.ResultBlockResults, error) {
	return first(ctx, p, func(ctx context.Context, rpc RPC) (*ctypes.ResultBlockResults, error) {
		return rpc.BlockResults(ctx, height)
	})
}

// Commit implements RPC.
func (p *Peers) Commit(ctx context.Context, height *int64) (*ctypes.ResultCommit, error) {
	return first(ctx, p, func(ctx context.Context, rpc RPC) (*ctypes.ResultCommit, error) { return rpc.Commit(ctx, height) })
}

// Validators implements RPC.
func (p *Peers) Validators(ctx context.Context, height *int64, page, perPage *int) (*ctypes.ResultValidators, error) {
	return first(ctx, p, func(ctx context.Context, rpc RPC) (*ctypes.ResultValidators, error) {
		return rpc.Validators(ctx, height, page, perPage)
	})
}

// Status implements RPC.
func (p *Peers) Status(ctx context.Context) (*ctypes.ResultStatus, error) {
	return first(ctx, p, func(ctx context.Context, rpc RPC) (*ctypes.ResultStatus, error) { return rpc.Status(ctx) })
}

// Genesis implements RPC.
func (p *Peers) Genesis(ctx context.Context) (*ctypes.ResultGenesis, error) {
	return first(ctx, p, func(ctx context.Context, rpc RPC) (*ctypes.ResultGenesis, error) { return rpc.Genesis(ctx) })
}
