package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/ledger/client"
	"daulat/ledger/validator"
	"daulat/link"
	"daulat/ui/control"
)

// A home that founded no ledger is a guest on somebody else's: it knows the
// network by the line of an invite, and reaches the ledger through the peers that
// the line names. What they say is checked against the line's trusted header.

// networkFile keeps what a guest knows of its network.
const networkFile = "network.json"

// guestOf is what a home knows of a network that others founded.
type guestOf struct {
	// Trust is the line that its receipts are proved from: the invite's, as others
	// of the network have the same, and a newer one before that is too old.
	Trust    string    `json:"trust"`
	Since    time.Time `json:"since"`    // of Trust
	Verified string    `json:"verified"` // newest header that was verified from there
	Seen     time.Time `json:"seen"`     // when Verified was new
	Peers    []string  `json:"peers"`    // that reach the ledger
}

// network is a guest's way to the ledger.
type network struct {
	home  Home
	peer  *link.Node
	say   control.Progress
	paths [][]string // addresses of one peer each

	mu    sync.Mutex
	known guestOf
}

// isGuest reports whether the home joined a network. One that founded a ledger never
// is: earlier programs let it join a second one, and forgot the first.
func (h Home) isGuest() (bool, error) {
	var known guestOf
	if err := loadJSON(h.path(networkFile), &known); err != nil || known.Trust == "" {
		return false, err
	}
	_, founder, err := validator.Founded(h.path("chain"))
	return !founder, err
}

// mayJoin refuses a network to a home that founded a ledger or follows another one.
func (h Home) mayJoin(trust client.Trust) error {
	own, founder, err := validator.Founded(h.path("chain"))
	switch {
	case err != nil:
		return err
	case exists(h.path(foundedFile)):
		return control.WrongInput{Err: errOfTestnet}
	case founder && own == trust.GenesisHash:
		return control.WrongInput{Err: fmt.Errorf("this home has a ledger of its own, %s, which the invite is to: it is for another machine, or for another --home here", trust.ChainID)}
	case founder:
		return control.WrongInput{Err: errors.New("this home has a ledger of its own: join another with another --home")}
	case own != "" && own != trust.GenesisHash:
		return control.WrongInput{Err: fmt.Errorf("this home follows another ledger than %s: use another --home", trust.ChainID)}
	}
	return nil
}

// peersOf are the peers that reach the ledger of the line, or for an empty one of
// the network that the home joined, if it did. What is wrong with a line openNetwork
// says.
func (h Home) peersOf(line string) ([]string, error) {
	if l, err := invite.ParseLine(line); err == nil {
		return l.Peers, nil
	}
	var known guestOf
	err := loadJSON(h.path(networkFile), &known)
	return known.Peers, err
}

// openNetwork is the network that the home joined, or the one of the line, which
// is joined if it is the first.
func openNetwork(home Home, peer *link.Node, line string, say control.Progress) (*network, *invite.Line, error) {
	n := &network{home: home, peer: peer, say: say}
	if err := loadJSON(home.path(networkFile), &n.known); err != nil {
		return nil, nil, err
	}
	if line == "" {
		if n.known.Trust == "" {
			return nil, nil, control.WrongInput{Err: errors.New("this home has joined no network yet: an invite lets it")}
		}
		n.paths = link.ByPeer(n.known.Peers)
		return n, nil, nil
	}
	l, err := invite.ParseLine(line)
	if err != nil {
		return nil, nil, control.WrongInput{Err: err}
	}
	if err := n.adopt(l); err != nil {
		return nil, nil, err
	}
	n.paths = link.ByPeer(n.known.Peers)
	return n, &l, nil
}

// trustOf is the header that the maker of a line trusts.
func trustOf(l invite.Line) client.Trust {
	return client.Trust{ChainID: l.Chain, GenesisHash: l.Genesis.String(), Height: int64(l.Height), Hash: l.Header.String()}
}

// adopt takes in what a line says of the network. A home belongs to one network;
// another invite to it brings newer peers, and a header to a home that was away
// for so long that its own can't be trusted any more.
func (n *network) adopt(l invite.Line) error {
	trust := trustOf(l)
	if n.known.Trust != "" {
		old, err := client.ParseTrust(n.known.Trust)
		if err != nil || old.GenesisHash != trust.GenesisHash {
			return control.WrongInput{Err: errors.Join(err, fmt.Errorf("the invite is to %s and this home belongs to %s: use another --home", trust.ChainID, old.ChainID))}
		}
	}
	if err := n.home.mayJoin(trust); err != nil {
		return err
	}
	now := time.Now().UTC()
	if now.Sub(n.known.Seen) >= client.TrustingPeriod { // of a home that never joined, too
		n.known = guestOf{Trust: trust.String(), Since: now, Verified: trust.String(), Seen: now}
	}
	n.known.Peers = l.Peers
	return nil
}

// save keeps what is known, once the ledger was seen.
func (n *network) save() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return saveJSON(n.home.path(networkFile), n.known)
}

// verified notes a newer header. Saving it each time would cost more than it is
// worth: any of the last days will do.
func (n *network) verified(t client.Trust) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known.Verified, n.known.Seen = t.String(), time.Now().UTC()
	return nil
}

// client is the ledger as the network's peers show it, checked against what this
// home trusts.
func (n *network) client(signer client.Signer) (*client.Client, error) {
	rpc, err := n.ledger()
	if err != nil {
		return nil, err
	}
	trust, err := client.ParseTrust(n.known.Verified)
	if err != nil {
		return nil, err
	}
	return client.NewVerified(rpc, trust, signer, n.verified), nil
}

// ledger is what the peers show of the ledger.
func (n *network) ledger() (*client.Peers, error) {
	var all []client.Peer
	for _, addrs := range n.paths {
		rpc, err := ledgerAt(n.peer, addrs)
		if err != nil {
			return nil, err
		}
		all = append(all, client.Peer{Name: addrs[0], RPC: rpc})
	}
	return client.NewPeers(all), nil
}

// ledgerAt is what one peer shows of the ledger.
func ledgerAt(from *link.Node, addrs []string) (client.RPC, error) {
	return client.Over(func(ctx context.Context) (net.Conn, error) { return from.DialConn(ctx, addrs, ledgerProtocol) })
}

// admits reaches the ledger and reports whether it knows the account. If not, the
// invite can be redeemed.
func (n *network) admits(ctx context.Context, c *client.Client, l *invite.Line) (known bool, err error) {
	known, err = c.Registered(ctx)
	if err == nil && known {
		// Nothing else is proven to a home that knows its account already.
		err = c.Current(ctx)
	}
	if errors.Is(err, client.ErrStale) {
		return false, fmt.Errorf("this home was away for too long to tell the network from a forged one: a new invite lets it in again (%w)", err)
	}
	if err != nil || known {
		return known, err
	}
	if l == nil {
		return false, control.WrongInput{Err: errors.New("this home's account is not on the ledger: it needs an invite")}
	}
	key, err := l.Key()
	if err != nil {
		return false, err
	}
	return false, redeemable(ctx, c, key.Public())
}

// enter sees to it that the account is on the ledger: by redeeming the invite, if
// it is not yet.
func (n *network) enter(ctx context.Context, c admitting, l *invite.Line, known bool) error {
	if known {
		return n.save()
	}
	key, err := l.Key()
	if err != nil {
		return err
	}
	n.say("redeeming the invite")
	claim := invite.Claim{Chain: c.ChainID(), Key: key.Public(), Guest: c.Account()}
	r := redemption{Key: key.Public(), Guest: c.Account(), Proof: key.Sign(invite.DomainRedeem, claim)}
	err = n.redeem(ctx, r, func(ctx context.Context) error { return admitted(ctx, c, key.Public()) })
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err() // how far it came is said by the next start
	case err != nil:
		return err
	}
	return n.save()
}

// errStillOpen says that the ledger holds an invite that nobody redeemed yet.
var errStillOpen = errors.New("the ledger shows the invite as open")

// redeem asks one door after the other until the ledger proves that the guest is in,
// or can't be any more. What a door says proves neither.
func (n *network) redeem(ctx context.Context, r redemption, proven func(context.Context) error) error {
	var failed []string
	var refused []error
	for i, addrs := range n.paths {
		said := n.knock(ctx, addrs, r, i+1 < len(n.paths))
		err := proven(ctx)
		if !errors.Is(err, errStillOpen) {
			return err
		}
		if errors.As(said, new(refusedError)) {
			refused = append(refused, said)
		}
		if said == nil {
			said = errors.New("said that the invite is redeemed, and " + err.Error())
		}
		failed = append(failed, fmt.Sprintf("%s: %s", addrs[0], said))
	}
	if 2*len(refused) > len(n.paths) {
		return control.WrongInput{Err: refused[0]}
	}
	return fmt.Errorf("none of the network's %d peers redeems the invite: %s", len(failed), strings.Join(failed, "; "))
}

// knock asks one door, not for long if there is another: what that one takes in the
// meantime shows.
func (n *network) knock(ctx context.Context, addrs []string, r redemption, others bool) error {
	if others {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, doorTimeout/2)
		defer cancel()
	}
	return redeemAt(ctx, n.peer, addrs, r)
}

// blocksToProof is after how many more blocks every peer shows what a door knows.
const blocksToProof = 3

// admitted is nil if the ledger proves that the invite let the client's account in,
// and errStillOpen if it let nobody in.
func admitted(ctx context.Context, c admitting, key canon.PublicKey) error {
	for range blocksToProof {
		i, err := c.Invite(ctx, key)
		switch {
		case err != nil:
			return err
		case i.State == invite.Redeemed && i.Guest == c.Account():
			return nil
		case i.State != invite.Open:
			return control.WrongInput{Err: errNotLetIn{fmt.Errorf("%w: its inviter has to make another", i.Pending())}}
		}
		if err := c.NextBlock(ctx); err != nil {
			return err
		}
	}
	return errStillOpen
}

// admitting is what a ledger says to somebody who wants to be let in.
type admitting interface {
	Account() string
	ChainID() string
	NextBlock(ctx context.Context) error
	Invite(ctx context.Context, key canon.PublicKey) (invite.Invite, error)
}

// errNotLetIn is of an invite that lets nobody in any more.
type errNotLetIn struct{ error }

func (e errNotLetIn) Unwrap() error { return e.error }

// redeemable says what is wrong with an invite, as far as the ledger proves it.
func redeemable(ctx context.Context, c admitting, key canon.PublicKey) error {
	i, err := c.Invite(ctx, key)
	if errors.Is(err, client.ErrNotFound) {
		return control.WrongInput{Err: errNotLetIn{fmt.Errorf("%s knows no such invite: its inviter has to make another", c.ChainID())}}
	}
	if err != nil || i.Guest == c.Account() { // an earlier run redeemed it a moment ago
		return err
	}
	if err := i.Pending(); err != nil {
		return control.WrongInput{Err: errNotLetIn{fmt.Errorf("%w: its inviter has to make another", err)}}
	}
	return nil
}

// chain is the name of the network's ledger.
func (n *network) chain() string {
	trust, err := client.ParseTrust(n.known.Verified)
	if err != nil {
		return "" // which client says
	}
	return trust.ChainID
}

// trustRoot is the line that this home's receipts are proved from.
func (n *network) trustRoot() (client.Trust, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Since(n.known.Since) > client.TrustingPeriod/4 {
		n.known.Trust, n.known.Since = n.known.Verified, time.Now().UTC()
	}
	return client.ParseTrust(n.known.Trust)
}
