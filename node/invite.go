package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/ledger/client"
	"daulat/link"
	"daulat/ui/control"
)

// NewInvite implements control.Operations.
func (o operations) NewInvite(ctx context.Context, t control.InviteTerms) (control.NewInvite, error) {
	if o.validator == nil {
		return control.NewInvite{}, errGuestInvites
	}
	return makeInvite(ctx, o.wallet, o.trust, o.peer.Addrs(), t)
}

var errGuestInvites = control.WrongInput{Err: errors.New("a guest's home can't invite: nobody could reach the ledger through it")}

// makeInvite locks a grant of the wallet's under a new key, and returns the line
// that names the peers.
func makeInvite(ctx context.Context, wallet account, trust client.Trust, peers []string, t control.InviteTerms) (control.NewInvite, error) {
	limits, err := wallet.InviteLimits(ctx)
	if err != nil {
		return control.NewInvite{}, err
	}
	now, err := wallet.Now(ctx)
	if err != nil {
		return control.NewInvite{}, err
	}
	key, err := canon.GenerateKey(rand.Reader)
	if err != nil {
		return control.NewInvite{}, err
	}
	i, err := invite.Make(key.Public(), wallet.Account(), t.Grant, now+uint64(max(0, t.Life)/time.Second), now, limits)
	if err != nil {
		return control.NewInvite{}, control.WrongInput{Err: err}
	}
	line, err := lineOf(trust, peers, t.Peers, i, key)
	if err != nil {
		return control.NewInvite{}, err
	}
	if err := wallet.CreateInvite(ctx, i.Key, i.Grant, i.Expires); err != nil {
		return control.NewInvite{}, err
	}
	made := control.NewInvite{Invite: inviteOf(i), Line: line.Encode(), OnlyHere: link.Local(line.Peers)}
	if !made.OnlyHere {
		made.Near = link.Near(line.Peers)
	}
	return made, nil
}

// lineOf is what a friend needs to know of the network.
func lineOf(trust client.Trust, peers, more []string, i invite.Invite, key canon.PrivateKey) (invite.Line, error) {
	l := invite.Line{Version: invite.LineVersion, Chain: trust.ChainID, Height: uint64(trust.Height), Seed: key.Seed(),
		Grant: i.Grant, Expires: i.Expires}
	for text, into := range map[string]*canon.Hash{trust.GenesisHash: &l.Genesis, trust.Hash: &l.Header} {
		if _, err := hex.Decode(into[:], []byte(text)); err != nil {
			return l, fmt.Errorf("hash in the trust line: %w", err)
		}
	}
	peers = link.Beyond(peers) // a guest on this machine reaches those too
	if err := checkPeers(more); err != nil {
		return l, control.WrongInput{Err: err}
	}
	own := max(1, invite.MaxPeers-len(more)) // of this home at the most; one too many others is refused
	l.Peers = append(slices.Clone(peers[:min(len(peers), own)]), more...)
	return l, l.Validate()
}

// checkPeers refuses what is no address of a peer. A node has another one under
// which ledger nodes know it, and that is easily taken for it.
func checkPeers(addrs []string) error {
	for _, at := range addrs {
		if !strings.HasPrefix(at, "/") && strings.Contains(at, "@") {
			return fmt.Errorf("--peer %q is where ledger nodes reach each other (P2P): guests need the address after \"peers reach it at\", which begins with a slash", at)
		}
	}
	if err := link.CheckAddrs(addrs); err != nil {
		return fmt.Errorf("--peer: %w", err)
	}
	return nil
}

func inviteOf(i invite.Invite) control.Invite {
	return control.Invite{ID: i.Key.String(), State: string(i.State), Grant: i.Grant, Expires: time.Unix(int64(i.Expires), 0).UTC(), Guest: i.Guest}
}

// Invites implements control.Operations.
func (o operations) Invites(ctx context.Context) (control.Invites, error) {
	return invitesOf(ctx, o.wallet)
}

func invitesOf(ctx context.Context, wallet account) (control.Invites, error) {
	limits, err := wallet.InviteLimits(ctx)
	if err != nil {
		return control.Invites{}, err
	}
	all, err := wallet.Client.Invites(ctx, wallet.Account())
	if err != nil {
		return control.Invites{}, err
	}
	list := control.Invites{Invites: []control.Invite{}, MaxOpen: limits.MaxOpen, MaxGrant: limits.MaxGrant}
	for _, i := range all {
		list.Invites = append(list.Invites, inviteOf(i))
		switch i.State {
		case invite.Open:
			list.Open++
			list.Locked += i.Grant
		case invite.Redeemed:
			list.Given += i.Grant
		}
	}
	return list, nil
}

// RevokeInvite implements control.Operations.
func (o operations) RevokeInvite(ctx context.Context, id string) error {
	return revokeInvite(ctx, o.wallet, id)
}

func revokeInvite(ctx context.Context, wallet account, id string) error {
	all, err := wallet.Client.Invites(ctx, wallet.Account())
	if err != nil {
		return err
	}
	var found []invite.Invite
	for _, i := range all {
		if id != "" && strings.HasPrefix(i.Key.String(), strings.ToLower(id)) {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 0:
		return control.WrongInput{Err: errors.New("no invite of this home has an ID that begins so; daulat invite ls shows them")}
	case 1:
	default:
		return control.WrongInput{Err: fmt.Errorf("%d invites of this home have an ID that begins so; daulat invite ls shows them", len(found))}
	}
	if err := found[0].Pending(); err != nil {
		return control.WrongInput{Err: err}
	}
	return wallet.Client.RevokeInvite(ctx, found[0].Key)
}
