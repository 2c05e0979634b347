package node

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ctypes "github.com/cometbft/cometbft/rpc/core/types"
	cmttypes "github.com/cometbft/cometbft/types"

	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/ledger/client"
	"daulat/ledger/validator"
	"daulat/link/linktest"
	"daulat/ui/control"
)

// lineTo is an invite to the ledger of a genesis, with the header at a height.
func lineTo(genesis byte, height uint64, peers ...string) string {
	l := invite.Line{Version: invite.LineVersion, Chain: "daulat-net", Genesis: canon.Hash{genesis}, Height: height, Header: canon.Hash{byte(height)},
		Peers: peers, Seed: make(invite.Secret, 32), Grant: 1, Expires: 1}
	return l.Encode()
}

func joined(t *testing.T, home Home, line string) (*network, error) {
	t.Helper()
	n, _, err := openNetwork(home, nil, line, func(string) {})
	if err != nil {
		return nil, err
	}
	return n, n.save()
}

// A home keeps the network that it joined first, and what it verified there. A
// later invite brings newer peers, and a header only once its own is too old.
func TestAHomeBelongsToOneNetwork(t *testing.T) {
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	var wrong control.WrongInput
	if _, err := joined(t, home, ""); !errors.As(err, &wrong) {
		t.Fatalf("a home that joined nothing: %v", err)
	}
	a, b := linktest.Node(t, linktest.Key(t)).Addrs()[0], linktest.Node(t, linktest.Key(t)).Addrs()[0]
	n, err := joined(t, home, lineTo(1, 5, a))
	if err != nil {
		t.Fatal(err)
	}
	newest := client.Trust{ChainID: "daulat-net", GenesisHash: canon.Hash{1}.String(), Height: 90, Hash: canon.Hash{90}.String()}
	if err := errors.Join(n.verified(newest), n.save()); err != nil {
		t.Fatal(err)
	}
	if n, err = joined(t, home, lineTo(1, 7, a, b)); err != nil || n.known.Verified != newest.String() || len(n.paths) != 2 {
		t.Fatalf("another invite: %+v, %v", n, err)
	}
	if _, err := joined(t, home, lineTo(2, 7, b)); !errors.As(err, &wrong) {
		t.Fatalf("an invite to another network: %v", err)
	}
	if n, err = joined(t, home, ""); err != nil || n.known.Verified != newest.String() {
		t.Fatalf("without an invite: %+v, %v", n, err)
	}
	n.known.Seen = time.Now().Add(-client.TrustingPeriod)
	if err := n.save(); err != nil {
		t.Fatal(err)
	}
	if n, err = joined(t, home, lineTo(1, 100, b)); err != nil || n.known.Verified == newest.String() || n.known.Trust != n.known.Verified {
		t.Fatalf("after being away for too long: %+v, %v", n, err)
	}
}

// A home that founded a ledger joins no other, nor its own by an invite, and is its
// founder's again if an earlier program let it join one. A home that follows a ledger
// joins that one and no other.
func TestAFounderJoinsNoOther(t *testing.T) {
	founder, err := OpenHome(filepath.Join(t.TempDir(), "founder"))
	if err != nil {
		t.Fatal(err)
	}
	chain := founder.path("chain")
	if err := validator.Init(chain, validator.Genesis{ChainID: "daulat-net", ValidatorAccount: address(t)}); err != nil {
		t.Fatal(err)
	}
	doc, err := cmttypes.GenesisDocFromFile(filepath.Join(chain, "config", "genesis.json"))
	if err != nil {
		t.Fatal(err)
	}
	hash, err := client.GenesisHash(doc)
	if err != nil {
		t.Fatal(err)
	}
	peer := linktest.Node(t, linktest.Key(t)).Addrs()[0]
	own, err := lineOf(client.Trust{ChainID: "daulat-net", GenesisHash: hash, Height: 1, Hash: canon.Hash{1}.String()}, []string{peer}, nil, invite.Invite{Grant: 1, Expires: 1}, linktest.Key(t))
	if err != nil {
		t.Fatal(err)
	}
	foreign := lineTo(2, 7, peer)
	var wrong control.WrongInput
	for why, line := range map[string]string{"for another machine": own.Encode(), "ledger of its own: join": foreign} {
		if _, err := joined(t, founder, line); !errors.As(err, &wrong) || !strings.Contains(err.Error(), why) {
			t.Errorf("a founder's home joined: %v, not %s", err, why)
		}
	}
	trust := client.Trust{ChainID: "daulat-other", GenesisHash: canon.Hash{2}.String(), Height: 7, Hash: canon.Hash{7}.String()}
	if err := saveJSON(founder.path(networkFile), guestOf{Trust: trust.String(), Verified: trust.String(), Peers: []string{peer}}); err != nil {
		t.Fatal(err)
	}
	if guest, err := founder.isGuest(); err != nil || guest {
		t.Errorf("a founder's home is a guest's: %v, %v", guest, err)
	}

	follower, err := OpenHome(filepath.Join(t.TempDir(), "follower"))
	if err == nil {
		err = validator.Adopt(follower.path("chain"), doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := joined(t, follower, foreign); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "another ledger") {
		t.Errorf("a follower of one ledger joined another: %v", err)
	}
	_, err = joined(t, follower, own.Encode())
	if guest, fault := follower.isGuest(); err != nil || fault != nil || !guest {
		t.Errorf("a follower did not join the network that it follows: %v, %v, %v", guest, err, fault)
	}
}

// A testnet's home is that and nothing else, and no other home becomes one.
func TestATestnetsHomeIsItsOwn(t *testing.T) {
	testnet, err := OpenHome(filepath.Join(t.TempDir(), "testnet"))
	if err == nil {
		err = errors.Join(testnet.mayFound(), saveJSON(testnet.path(foundedFile), []string{"validator-1"}))
	}
	if err != nil {
		t.Fatal(err)
	}
	peer := linktest.Node(t, linktest.Key(t)).Addrs()[0]
	if _, err := joined(t, testnet, lineTo(2, 7, peer)); !errors.Is(err, errOfTestnet) {
		t.Errorf("a testnet's home joined: %v", err)
	}
	up := control.UpOptions{Home: testnet.dir, Noise: true, Listen: "127.0.0.1:0"}
	ctx, end := context.WithCancel(t.Context())
	if err := (Runtime{}).Up(ctx, up, func(string) {}, func(control.Ready) { end() }); !errors.Is(err, errOfTestnet) || exists(testnet.path("chain")) {
		t.Errorf("a testnet's home founded another ledger: %v", err)
	}
	guest, err := OpenHome(filepath.Join(t.TempDir(), "guest"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := joined(t, guest, lineTo(2, 7, peer)); err != nil {
		t.Fatal(err)
	}
	founder, err := OpenHome(filepath.Join(t.TempDir(), "founder"))
	if err == nil {
		err = validator.Init(founder.path("chain"), validator.Genesis{ChainID: "daulat-net", ValidatorAccount: address(t)})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []Home{guest, founder} {
		if err := h.mayFound(); !errors.As(err, new(control.WrongInput)) {
			t.Errorf("a testnet may be founded in %s: %v", filepath.Base(h.dir), err)
		}
	}
}

// liar is a peer whose proofs don't hold.
type liar struct{ client.RPC }

func (liar) ABCIInfo(context.Context) (*ctypes.ResultABCIInfo, error) { return nil, client.ErrHeader }

// Who asks reads of a lie first, also where nobody else can be reached.
func TestLieIsNotLostBehindSilence(t *testing.T) {
	gone, err := client.Over(func(context.Context) (net.Conn, error) { return nil, errors.New("connection refused") })
	if err != nil {
		t.Fatal(err)
	}
	trust := client.Trust{ChainID: "daulat-net", GenesisHash: canon.Hash{1}.String(), Height: 1, Hash: canon.Hash{1}.String()}
	n := &network{known: guestOf{Verified: trust.String()}}
	ask := func(peers ...client.Peer) string {
		return n.unreached(client.NewVerified(client.NewPeers(peers), trust, nil, nil).Current(t.Context())).Error()
	}
	said := ask(client.Peer{Name: "/a", RPC: gone}, client.Peer{Name: "/b", RPC: liar{}})
	if !strings.HasPrefix(said, "this home was shown a false ledger") || !strings.Contains(said, "helps: /b lied (") || !strings.Contains(said, client.ErrHeader.Error()) || !strings.Contains(said, "; /a could not be reached") {
		t.Errorf("beside a liar: %s", said)
	}
	if said := ask(client.Peer{Name: "/a", RPC: gone}); !strings.HasPrefix(said, "no peer of daulat-net answers") {
		t.Errorf("alone: %s", said)
	}
}
