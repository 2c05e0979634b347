package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/ledger/client"
	"daulat/ledger/validator"
	"daulat/link"
	"daulat/link/linktest"
)

const liedTo = "daulat-lied-to"

func signerOf(t *testing.T, seed byte) client.Signer {
	t.Helper()
	k, err := client.NewAccountKey(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// honestLedger is a ledger of one validator, which guests reach through a peer. The
// account that invites them has coins.
func honestLedger(t *testing.T) (v *validator.Validator, inviter *client.Client, peer *link.Node) {
	t.Helper()
	home, rich := filepath.Join(t.TempDir(), "chain"), signerOf(t, 9)
	if err := validator.Init(home, validator.Genesis{ChainID: liedTo, ValidatorAccount: address(t),
		Accounts: []validator.Funding{{Address: rich.Account(), Amount: 1_000_000_000}}, CloseWindow: 1, ChallengeWindow: 1}); err != nil {
		t.Fatal(err)
	}
	v, err := validator.Start(t.Context(), validator.Config{Home: home, ChainID: liedTo, TimeoutCommit: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Stop(); err != nil {
			t.Error(err)
		}
	})
	inviter = client.New(v.RPC(), liedTo, rich)
	if _, err := inviter.WaitBlock(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	peer = linktest.Node(t, linktest.Key(t))
	end := openDoor(peer, v, inviter)
	t.Cleanup(func() { _ = end() })
	return v, inviter, peer
}

// lyingPeer shows a node's ledger, with changes, and lets nobody in.
func lyingPeer(t *testing.T, rpc string, change func([]byte) []byte) []string {
	t.Helper()
	peer := linktest.Node(t, linktest.Key(t))
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		asked, err := http.NewRequestWithContext(r.Context(), r.Method, rpc+r.URL.RequestURI(), r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		asked.Header.Set("Content-Type", r.Header.Get("Content-Type"))
		got, err := http.DefaultClient.Do(asked)
		if err != nil {
			return // the guest has left
		}
		defer got.Body.Close()
		raw, _ := io.ReadAll(got.Body) // a part is a lie as well
		answer.Body = bytes.NewBuffer(change(raw))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer.Body.Bytes())
	})}
	go func() { _ = server.Serve(peer.Listen(ledgerProtocol, 16)) }() // until Close
	t.Cleanup(func() { server.Close() })
	peer.Handle(doorProtocol, door{places: make(chan struct{}, doorAtOnce),
		redeem: func(context.Context, canon.PublicKey, string, canon.Signature) error {
			return &client.TxError{Log: "invite was redeemed before"}
		}}.serve)
	return peer.Addrs()
}

var (
	appHash   = regexp.MustCompile(`"app_hash":"[0-9A-F]{64}"`)
	newHeight = regexp.MustCompile(`"(latest|last)_block_height":"[0-9]+"`)
	state     = regexp.MustCompile(`"value":"[A-Za-z0-9+/=]+"`)
)

// In the peers of an invite a liar is named first. The guest joins, pays and reads
// through the one that is honest; the liar alone gets nowhere.
func TestOneHonestPeerIsEnough(t *testing.T) {
	v, inviter, honest := honestLedger(t)
	rpc := strings.Replace(v.RPCAddress(), "tcp://", "http://", 1)
	trust, err := inviter.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	guest := byte(20)
	for name, change := range map[string]func([]byte) []byte{
		"its headers": func(raw []byte) []byte {
			return appHash.ReplaceAll(raw, []byte(`"app_hash":"`+strings.Repeat("A1", 32)+`"`))
		},
		"its height": func(raw []byte) []byte {
			return newHeight.ReplaceAll(raw, []byte(`"${1}_block_height":"1000000"`))
		},
		"what it stores": func(raw []byte) []byte { return state.ReplaceAll(raw, []byte(`"value":""`)) },
		"everything":     func([]byte) []byte { return []byte("<html>welcome</html>") },
	} {
		t.Run(name, func(t *testing.T) {
			guest++
			liar := lyingPeer(t, rpc, change)
			line := invitation(t, inviter, trust, append(liar, honest.Addrs()...))
			c, err := enterAs(t, signerOf(t, guest), line)
			if err != nil {
				t.Fatalf("with an honest peer: %v", err)
			}
			if err := c.Send(t.Context(), inviter.Account(), 7); err != nil {
				t.Fatal(err)
			}
			// Nobody serves on this ledger yet, and that is proven.
			if _, err := c.Provider(t.Context(), c.Account()); !errors.Is(err, client.ErrNotFound) {
				t.Errorf("a provider: %v", err)
			}
			if _, err := c.Session(t.Context(), 1); !errors.Is(err, client.ErrNotFound) {
				t.Errorf("a session: %v", err)
			}
			if has, err := inviter.Balance(t.Context(), c.Account()); err != nil || has != 93 {
				t.Errorf("the guest has %d of 100: %v", has, err)
			}
			line = invitation(t, inviter, trust, liar)
			if _, err := enterAs(t, signerOf(t, guest+100), line); err == nil || !strings.HasPrefix(err.Error(), "the peer "+liar[0]) {
				t.Errorf("with the liar alone: %v", err)
			}
		})
	}
}

// invitation is a line that names peers, with a grant of 100 udlt.
func invitation(t *testing.T, inviter *client.Client, trust client.Trust, peers []string) string {
	t.Helper()
	key, err := canon.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now, err := inviter.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := inviter.CreateInvite(t.Context(), key.Public(), 100, now+3600); err != nil {
		t.Fatal(err)
	}
	l := invite.Line{Version: invite.LineVersion, Chain: trust.ChainID, Height: uint64(trust.Height), Peers: peers, Seed: key.Seed(), Grant: 100, Expires: now + 3600}
	for text, into := range map[string]*canon.Hash{trust.GenesisHash: &l.Genesis, trust.Hash: &l.Header} {
		if _, err := hex.Decode(into[:], []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return l.Encode()
}

// enterAs joins a fresh home with a line, as a command does.
func enterAs(t *testing.T, who client.Signer, line string) (*client.Client, error) {
	t.Helper()
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	n, l, err := openNetwork(home, linktest.Node(t, linktest.Key(t)), line, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.client(who)
	if err != nil {
		t.Fatal(err)
	}
	known, err := n.admits(t.Context(), c, l)
	if err != nil {
		return nil, err
	}
	return c, n.enter(t.Context(), c, l, known)
}

// A node that joins leaves the liars out and follows the honest one, which is named
// last; without one it says what each did.
func TestNodeFollowsTheHonestPeer(t *testing.T) {
	v, inviter, honest := honestLedger(t)
	rpc := strings.Replace(v.RPCAddress(), "tcp://", "http://", 1)
	trust, err := inviter.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	headers := lyingPeer(t, rpc, func(raw []byte) []byte {
		return appHash.ReplaceAll(raw, []byte(`"app_hash":"`+strings.Repeat("A1", 32)+`"`))
	})
	nonsense := lyingPeer(t, rpc, func([]byte) []byte { return []byte("<html>welcome</html>") })
	for name, row := range map[string]struct {
		peers []string
		want  string
	}{
		"two liars and an honest one": {append(append(slices.Clone(headers), nonsense...), honest.Addrs()...), ""},
		"two liars":                   {append(slices.Clone(headers), nonsense...), "none of the network's 2 peers helps: "},
	} {
		home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
		if err != nil {
			t.Fatal(err)
		}
		n := &ledgerNode{tenant: tenant{home: home, say: func(string) {}, caller: linktest.Node(t, linktest.Key(t))}}
		n.log, _, err = openLog(home)
		if err != nil {
			t.Fatal(err)
		}
		c := validator.Config{Home: home.path("chain")}
		err = n.follow(t.Context(), invitation(t, inviter, trust, row.peers), &c)
		if row.want != "" {
			if err == nil || !strings.HasPrefix(err.Error(), row.want) || validator.Exists(c.Home) {
				t.Errorf("%s: %v", name, err)
			}
		} else if id, _, _ := strings.Cut(v.Peer(), "@"); err != nil || len(c.Peers) != 1 || !strings.HasPrefix(c.Peers[0], id+"@") {
			t.Errorf("%s: %v, %v", name, c.Peers, err)
		}
		if err := n.close(); err != nil {
			t.Error(err)
		}
	}
}
