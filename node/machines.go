package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"daulat/core/invite"
	"daulat/ledger/client"
	"daulat/link"
	"daulat/ui/control"
)

// A ledger may be founded for validators on machines of their own. The founder's
// home then runs none of them: it holds the wallet, and reaches the ledger through
// their links as any guest does.

// machinesFile is what a founder's home keeps of such a ledger.
const machinesFile = "machines.json"

// p2pPort is where a machine's node is reached unless it was named with a port;
// its link is at the port after it.
const p2pPort = 4748

// seat is where others reach a validator.
type seat struct {
	P2P  netip.AddrPort `json:"p2p"`
	Link netip.AddrPort `json:"link"`
}

// fleet is a ledger whose validators are machines.
type fleet struct {
	Chain      string                     `json:"chain"`
	Genesis    string                     `json:"genesis"`    // its hash
	Validators string                     `json:"validators"` // hash of the first ones
	Machines   []control.TestnetValidator `json:"machines"`
}

// parseMachines reads the addresses of a ledger's machines.
func parseMachines(addresses []string) (all []seat, err error) {
	if len(addresses) > MaxValidators {
		return nil, fmt.Errorf("a ledger is founded for 1 to %d machines, not %d", MaxValidators, len(addresses))
	}
	taken := map[netip.AddrPort]bool{}
	loopback := 0
	for _, text := range addresses {
		m, err := parseMachine(text)
		if err != nil {
			return nil, err
		}
		if taken[m.P2P] || taken[m.Link] {
			return nil, fmt.Errorf("two machines have the address %s or the port after it: each needs two ports of its own", m.P2P)
		}
		taken[m.P2P], taken[m.Link] = true, true
		if m.P2P.Addr().IsLoopback() {
			loopback++
		}
		all = append(all, m)
	}
	if loopback > 0 && loopback < len(all) {
		return nil, errors.New("a loopback address is reached by no other machine: name all machines by addresses that the others reach")
	}
	return all, nil
}

func parseMachine(text string) (seat, error) {
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
		if err != nil {
			return seat{}, fmt.Errorf("machine %q is not of the form IP or IP:PORT", text)
		}
		at = netip.AddrPortFrom(ip, p2pPort)
	}
	ip, port := at.Addr().Unmap(), at.Port()
	switch {
	case ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "":
		return seat{}, fmt.Errorf("machine %q is no address that other machines reach", text)
	case port == 0 || port == 1<<16-1:
		return seat{}, fmt.Errorf("machine %q needs its port and the one after it: name a port of 1 to %d", text, 1<<16-2)
	}
	return seat{P2P: netip.AddrPortFrom(ip, port), Link: netip.AddrPortFrom(ip, port+1)}, nil
}

// foundFor founds a ledger for machines, or says again how to start them, and makes
// invites once they run.
func (t *testnet) foundFor(ctx context.Context, o control.TestnetOptions, ready func(control.Testnet)) error {
	machines, err := parseMachines(o.Machines)
	if err != nil {
		return control.WrongInput{Err: err}
	}
	f, founded, err := t.home.fleet()
	if err != nil {
		return err
	}
	if !founded {
		t.say("founding a new ledger for " + control.Count(len(machines), "machine"))
		if f, err = t.found(o, machines); err != nil {
			return err
		}
		ready(control.Testnet{Home: t.home.dir, Chain: f.Chain, Machines: f.Machines, Invites: []string{}})
		return nil
	}
	if len(machines) > 0 {
		return control.WrongInput{Err: errors.New("this home founded its ledger already: another one needs another --home")}
	}
	return t.inviteTo(ctx, f, o, ready)
}

// fleet is the ledger that the home founded for machines, if it did.
func (h Home) fleet() (f fleet, founded bool, err error) {
	err = loadJSON(h.path(machinesFile), &f)
	return f, len(f.Machines) > 0, err
}

// peers are the addresses at which guests reach a fleet.
func (f fleet) peers() (all []string) {
	for _, m := range f.Machines {
		all = append(all, m.Link...)
	}
	return all[:min(len(all), invite.MaxPeers)]
}

// inviteTo reaches the ledger as a guest, and makes invites with the wallet.
func (t *testnet) inviteTo(ctx context.Context, f fleet, o control.TestnetOptions, ready func(control.Testnet)) error {
	guest := &tenant{home: t.home, say: t.say}
	work := func() error {
		if err := errors.Join(guest.open(), guest.openCaller(guestLink(f.peers()))); err != nil {
			return err
		}
		if err := f.trust(ctx, guest); err != nil {
			return err
		}
		v, err := guest.visit(ctx, "")
		if err != nil {
			return err
		}
		if err := guest.enter(ctx, v); err != nil {
			return err
		}
		wallet := account{v.client}
		trust, err := wallet.Trust(ctx)
		if err != nil {
			return err
		}
		out := control.Testnet{Home: t.home.dir, Chain: f.Chain, Trust: trust.String(), Machines: f.Machines}
		if out.Invites, err = t.invites(ctx, wallet, trust, f.peers(), o.Invites); err != nil {
			return err
		}
		ready(out)
		return nil
	}
	return errors.Join(work(), guest.close())
}

// trust sees to it that the founder's home knows a header of its ledger: the first,
// which the validators of the genesis signed.
func (f fleet) trust(ctx context.Context, guest *tenant) error {
	known, err := guest.home.isGuest()
	if err != nil || known {
		return err
	}
	validators, err := hex.DecodeString(f.Validators)
	if err != nil {
		return fmt.Errorf("read %s: %w", machinesFile, err)
	}
	n := &network{home: guest.home, peer: guest.caller, say: guest.say, paths: link.ByPeer(f.peers())}
	trust, err := f.firstTrust(ctx, n, validators)
	if err != nil {
		return fmt.Errorf("no machine shows a first block that this home's founders signed: %w", err)
	}
	now := time.Now().UTC()
	n.known = guestOf{Trust: trust.String(), Since: now, Verified: trust.String(), Seen: now, Peers: f.peers()}
	return n.save()
}

// firstTrust is what the first machine shows that does not lie.
func (f fleet) firstTrust(ctx context.Context, n *network, validators []byte) (trust client.Trust, err error) {
	for _, addrs := range n.paths {
		rpc, fault := client.Over(func(ctx context.Context) (net.Conn, error) { return n.peer.DialConn(ctx, addrs, ledgerProtocol) })
		if fault == nil {
			trust, fault = client.FirstTrust(ctx, rpc, f.Chain, f.Genesis, validators)
		}
		if fault == nil {
			return trust, nil
		}
		if err == nil || errors.Is(fault, client.ErrHeader) { // a lie says more than silence
			err = fault
		}
	}
	return trust, err
}
