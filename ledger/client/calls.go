package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	sdkmath "cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/codec/address"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkquery "github.com/cosmos/cosmos-sdk/types/query"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	marketpb "daulat/gen/market"
	registrypb "daulat/gen/registry"
)

const (
	bankQuery     = "/cosmos.bank.v1beta1.Query/"
	marketQuery   = "/daulat.market.v1.Query/"
	registryQuery = "/daulat.registry.v1.Query/"
)

// CheckAccount reports that a text names no account of the ledger.
func CheckAccount(text string) error {
	if _, err := address.NewBech32Codec(Prefix).StringToBytes(text); err != nil {
		return fmt.Errorf("%q is no account of the ledger", text)
	}
	return nil
}

// Purse returns what the client's own account has, in udlt.
func (c *Client) Purse(ctx context.Context) (uint64, error) { return c.Balance(ctx, c.Account()) }

// Balance returns what an account has, in udlt.
func (c *Client) Balance(ctx context.Context, address string) (uint64, error) {
	var r banktypes.QueryBalanceResponse
	err := c.query(ctx, bankQuery+"Balance", &banktypes.QueryBalanceRequest{Address: address, Denom: Denom}, &r)
	if err != nil {
		return 0, fmt.Errorf("balance of %s: %w", address, err)
	}
	if r.Balance == nil || r.Balance.Amount.IsNil() || !r.Balance.Amount.IsUint64() {
		return 0, fmt.Errorf("balance of %s: it does not fit 64 bits", address)
	}
	return r.Balance.Amount.Uint64(), nil
}

// Send moves amount udlt to another account.
func (c *Client) Send(ctx context.Context, to string, amount uint64) error {
	coins := sdk.Coins{sdk.NewCoin(Denom, sdkmath.NewIntFromUint64(amount))}
	err := c.send(ctx, nil, &banktypes.MsgSend{FromAddress: c.Account(), ToAddress: to, Amount: coins})
	return wrap(err, "send %d udlt to %s", amount, to)
}

// Announce makes the account a provider, with addresses, manifests and offers,
// in one transaction: all of it, or nothing. What the ledger shows already is
// not sent again.
func (c *Client) Announce(ctx context.Context, a match.Announcement) error {
	msgs, err := c.news(ctx, a)
	if err == nil && len(msgs) > 0 {
		err = c.send(ctx, nil, msgs...)
	}
	return wrap(err, "announce the provider")
}

// news returns the messages by which the ledger learns what it does not know yet.
func (c *Client) news(ctx context.Context, a match.Announcement) (msgs []sdk.Msg, err error) {
	known, err := c.Provider(ctx, c.Account())
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if err != nil || known.Key != a.Key || !slices.Equal(known.Addresses, a.Addresses) {
		msgs = append(msgs, &registrypb.MsgRegisterProvider{Account: c.Account(), Key: a.Key.String(), Addresses: a.Addresses, Proof: a.Proof[:]})
	}
	for _, data := range a.Manifests {
		id := artifact.ID(data)
		if _, err := artifact.DecodeDeclaration(data); err == nil {
			id = artifact.DeclaredID(data)
		}
		_, err := c.Artifact(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if err != nil {
			msgs = append(msgs, &registrypb.MsgRegisterArtifact{Owner: c.Account(), Manifest: data})
		}
	}
	for _, o := range a.Offers {
		o.Provider, o.Key, o.Busy = c.Account(), canon.PublicKey{}, 0
		all, err := c.Offers(ctx, o.Model)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, o) {
			msgs = append(msgs, &registrypb.MsgPutOffer{Provider: o.Provider, Model: o.Model.String(), Executor: o.Executor,
				InputPrice: o.Price.Input, OutputPrice: o.Price.Output, Assurance: uint64(o.Assurance), Slots: o.Slots})
		}
	}
	return msgs, nil
}

// RotateKey lets another identity key take over after the ledger's delay; proof
// is the new key's, as in Announce. Sessions that opened before keep
// the key with which they opened. The key in force takes a rotation back.
func (c *Client) RotateKey(ctx context.Context, key canon.PublicKey, proof canon.Signature) error {
	return wrap(c.send(ctx, nil, c.rotation(key, proof)), "rotate identity key")
}

func (c *Client) rotation(key canon.PublicKey, proof canon.Signature) sdk.Msg {
	return &registrypb.MsgRotateKey{Account: c.Account(), Key: key.String(), Proof: proof[:]}
}

// RevokeKey puts the account's identity key out of force at once and for good.
// Its offers are not matched until another key is in force.
func (c *Client) RevokeKey(ctx context.Context) error {
	return wrap(c.send(ctx, nil, c.revocation()), "revoke identity key")
}

// ReplaceKey is RotateKey and RevokeKey in one transaction: whatever the delay is,
// it is the former key that is revoked.
func (c *Client) ReplaceKey(ctx context.Context, key canon.PublicKey, proof canon.Signature) error {
	return wrap(c.send(ctx, nil, c.rotation(key, proof), c.revocation()), "replace identity key")
}

func (c *Client) revocation() sdk.Msg { return &registrypb.MsgRevokeKey{Account: c.Account()} }

// WithdrawOffer removes the account's offer for a model, if there is one.
func (c *Client) WithdrawOffer(ctx context.Context, model canon.CID) error {
	all, err := c.Offers(ctx, model)
	if err != nil || !slices.ContainsFunc(all, func(o match.Offer) bool { return o.Provider == c.Account() }) {
		return wrap(err, "withdraw offer")
	}
	err = c.send(ctx, nil, &registrypb.MsgWithdrawOffer{Provider: c.Account(), Model: model.String()})
	return wrap(err, "withdraw offer")
}

// Offered reports whether the ledger shows an offer of the account's for a model. It
// costs one record, however many others offer it.
func (c *Client) Offered(ctx context.Context, model canon.CID) (bool, error) {
	key := offerKey(c.Account(), model)
	var record []byte
	var err error
	if c.follower != nil {
		record, _, err = c.verified(ctx, registryStore, key)
	} else {
		record, err = c.ask(ctx, "/store/"+registryStore+"/key", key)
	}
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return len(record) > 0, wrap(err, "look for an offer")
}

// Provider returns what the ledger knows of a provider.
func (c *Client) Provider(ctx context.Context, account string) (Provider, error) {
	if c.follower != nil {
		p, err := c.verifiedProvider(ctx, account)
		return p, wrap(err, "provider %s", account)
	}
	var r registrypb.QueryProviderResponse
	if err := c.query(ctx, registryQuery+"Provider", &registrypb.QueryProvider{Account: account}, &r); err != nil {
		return Provider{}, fmt.Errorf("provider %s: %w", account, err)
	}
	p, err := parseProvider(r.Provider)
	return p, wrap(err, "provider %s", account)
}

// Addresses are where a provider is reached.
func (c *Client) Addresses(ctx context.Context, provider string) ([]string, error) {
	p, err := c.Provider(ctx, provider)
	return p.Addresses, err
}

// Now is the newest block's time in seconds.
func (c *Client) Now(ctx context.Context) (uint64, error) {
	_, t, err := c.Status(ctx)
	return uint64(t.Unix()), err
}

// Offers lists the offers for a model, or all for the zero CID. Key and Busy
// are not part of what is listed.
func (c *Client) Offers(ctx context.Context, model canon.CID) ([]match.Offer, error) {
	request := &registrypb.QueryOffers{}
	if !model.IsZero() {
		request.Model = model.String()
	}
	offers, err := list(func(page *sdkquery.PageRequest) ([]registrypb.Offer, *sdkquery.PageResponse, error) {
		var r registrypb.QueryOffersResponse
		request.Pagination = page
		err := c.query(ctx, registryQuery+"Offers", request, &r)
		return r.Offers, r.Pagination, err
	})
	if err != nil {
		return nil, fmt.Errorf("list offers: %w", err)
	}
	return parseAll(offers, parseOffer)
}

// Providers lists all providers, as the node tells it.
func (c *Client) Providers(ctx context.Context) ([]Provider, error) {
	all, err := list(func(page *sdkquery.PageRequest) ([]registrypb.Provider, *sdkquery.PageResponse, error) {
		var r registrypb.QueryProvidersResponse
		err := c.query(ctx, registryQuery+"Providers", &registrypb.QueryProviders{Pagination: page}, &r)
		return r.Providers, r.Pagination, err
	})
	if err != nil {
		return nil, fmt.Errorf("list providers: %w", err)
	}
	return parseAll(all, func(p registrypb.Provider) (Provider, error) { return parseProvider(&p) })
}

// Market lists the offers for a model, or all for the zero CID, with what is known
// of who made them, as the node tells it. Who has no key in force can't serve and
// is left out.
func (c *Client) Market(ctx context.Context, model canon.CID) ([]match.Candidate, error) {
	offers, err := c.Offers(ctx, model)
	if err != nil {
		return nil, err
	}
	providers, err := c.Providers(ctx)
	if err != nil {
		return nil, err
	}
	standings, err := c.Standings(ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[string]Provider, len(providers))
	for _, p := range providers {
		known[p.Account] = p
	}
	var all []match.Candidate
	for _, o := range offers {
		p := known[o.Provider]
		if o.Key = p.Key; !o.Key.IsZero() {
			all = append(all, match.Candidate{Offer: o, Standing: standings[o.Provider], Addrs: p.Addresses})
		}
	}
	return all, nil
}

// Artifact returns the manifest or declaration of that name, which it checks.
func (c *Client) Artifact(ctx context.Context, id canon.CID) ([]byte, error) {
	var r registrypb.QueryArtifactResponse
	if err := c.query(ctx, registryQuery+"Artifact", &registrypb.QueryArtifact{Id: id.String()}, &r); err != nil {
		return nil, fmt.Errorf("artifact %s: %w", id, err)
	}
	if r.Artifact == nil || canon.NewCID(id.Codec(), canon.Sum(r.Artifact.Manifest)) != id {
		return nil, fmt.Errorf("artifact %s: the node returned another", id)
	}
	return r.Artifact.Manifest, nil
}

// Artifacts lists what is on record, without the manifests.
func (c *Client) Artifacts(ctx context.Context) ([]Artifact, error) {
	artifacts, err := list(func(page *sdkquery.PageRequest) ([]registrypb.Artifact, *sdkquery.PageResponse, error) {
		var r registrypb.QueryArtifactsResponse
		err := c.query(ctx, registryQuery+"Artifacts", &registrypb.QueryArtifacts{Pagination: page}, &r)
		return r.Artifacts, r.Pagination, err
	})
	if err != nil {
		return nil, fmt.Errorf("list artifacts: %w", err)
	}
	return parseAll(artifacts, parseArtifact)
}

// PlaceOrder locks escrow and returns the order, which waits for a match. A
// session has the ID of its order.
func (c *Client) PlaceOrder(ctx context.Context, key canon.PublicKey, t job.Terms) (order uint64, err error) {
	var r marketpb.MsgPlaceOrderResponse
	err = c.send(ctx, &r, &marketpb.MsgPlaceOrder{Consumer: c.Account(), SessionKey: key.String(), Terms: wireTerms(t)})
	return r.Order, wrap(err, "place order")
}

// CancelOrder takes an open order back.
func (c *Client) CancelOrder(ctx context.Context, id uint64) error {
	return wrap(c.send(ctx, nil, &marketpb.MsgCancelOrder{Consumer: c.Account(), Order: id}), "cancel order %d", id)
}

// Order returns one order.
func (c *Client) Order(ctx context.Context, id uint64) (job.Order, error) {
	var r marketpb.QueryOrderResponse
	if err := c.query(ctx, marketQuery+"Order", &marketpb.QueryOrder{Id: id}, &r); err != nil {
		return job.Order{}, fmt.Errorf("order %d: %w", id, err)
	}
	o, err := parseOrder(r.Order)
	return o, wrap(err, "order %d", id)
}

// Orders lists the orders of one consumer, or all for an empty name.
func (c *Client) Orders(ctx context.Context, party string) ([]job.Order, error) {
	orders, err := list(func(page *sdkquery.PageRequest) ([]marketpb.Order, *sdkquery.PageResponse, error) {
		var r marketpb.QueryOrdersResponse
		err := c.query(ctx, marketQuery+"Orders", &marketpb.QueryOrders{Party: party, Pagination: page}, &r)
		return r.Orders, r.Pagination, err
	})
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return parseAll(orders, func(o marketpb.Order) (job.Order, error) { return parseOrder(&o) })
}

// Session returns one session: proven if the client is verified, else as the
// node tells it.
func (c *Client) Session(ctx context.Context, id uint64) (job.Session, error) {
	if c.follower != nil {
		var s job.Session
		err := c.verifiedRecord(ctx, marketStore, sessionKey(id), &s)
		if err == nil && s.ID != id {
			err = fmt.Errorf("the node returned session %d", s.ID)
		}
		return s, wrap(err, "session %d", id)
	}
	var r marketpb.QuerySessionResponse
	if err := c.query(ctx, marketQuery+"Session", &marketpb.QuerySession{Id: id}, &r); err != nil {
		return job.Session{}, fmt.Errorf("session %d: %w", id, err)
	}
	if r.Session == nil {
		return job.Session{}, fmt.Errorf("session %d: %w", id, ErrNotFound)
	}
	s, err := parseSession(*r.Session)
	return s, wrap(err, "session %d", id)
}

// Sessions lists sessions in which party is consumer or provider, and which are
// in state; an empty value stands for any.
func (c *Client) Sessions(ctx context.Context, party string, state job.SessionState) ([]job.Session, error) {
	sessions, err := list(func(page *sdkquery.PageRequest) ([]marketpb.Session, *sdkquery.PageResponse, error) {
		var r marketpb.QuerySessionsResponse
		err := c.query(ctx, marketQuery+"Sessions", &marketpb.QuerySessions{Party: party, State: string(state), Pagination: page}, &r)
		return r.Sessions, r.Pagination, err
	})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return parseAll(sessions, parseSession)
}

// TopUp locks more of the account's coins in its session.
func (c *Client) TopUp(ctx context.Context, session, amount uint64) error {
	err := c.send(ctx, nil, &marketpb.MsgTopUp{Consumer: c.Account(), Session: session, Amount: amount})
	return wrap(err, "top up session %d", session)
}

// CloseSession starts to close a session without a pair.
func (c *Client) CloseSession(ctx context.Context, id uint64) error {
	return wrap(c.send(ctx, nil, &marketpb.MsgCloseSession{Sender: c.Account(), Session: id}), "close session %d", id)
}

// Settlement is the newest pair of a session.
type Settlement = receipt.Settlement

// settleBatch is the most pairs that one message may bring.
const settleBatch = 100

// Settle brings the newest pairs of many sessions. It returns one error per entry,
// nil for those that were taken, or an error that concerns all of them; what was
// taken before that is taken, and may be brought again.
func (c *Client) Settle(ctx context.Context, all []Settlement) ([]error, error) {
	errs := make([]error, 0, len(all))
	for part := range slices.Chunk(all, settleBatch) {
		some, err := c.settle(ctx, part)
		if err != nil {
			return nil, fmt.Errorf("settle: %w", err)
		}
		errs = append(errs, some...)
	}
	return errs, nil
}

func (c *Client) settle(ctx context.Context, part []Settlement) ([]error, error) {
	m := &marketpb.MsgSettle{Sender: c.Account()}
	for _, s := range part {
		m.Entries = append(m.Entries, wireEntry(s))
	}
	var r marketpb.MsgSettleResponse
	if err := c.send(ctx, &r, m); err != nil {
		return nil, err
	}
	if len(r.Results) != len(part) {
		return nil, fmt.Errorf("%d results for %d entries", len(r.Results), len(part))
	}
	errs := make([]error, len(part))
	for i, result := range r.Results {
		if result.Error != "" {
			errs[i] = errors.New(result.Error)
		}
	}
	return errs, nil
}

// Complain puts on record that the provider of the account's session signed a
// wrong answer to ask number seq; receipt r covers it. Others find the evidence
// by its hash, so the caller keeps it.
func (c *Client) Complain(ctx context.Context, session, seq uint64, r receipt.Signed, evidence canon.Hash) error {
	err := c.send(ctx, nil, &marketpb.MsgComplain{Sender: c.Account(), Session: session, Seq: seq,
		Receipt: canon.MustMarshal(r.Receipt), ReceiptSignature: r.Signature[:], Evidence: evidence.String()})
	return wrap(err, "complain about session %d", session)
}

// Complaints lists the complaints about a provider, or all for an empty name.
func (c *Client) Complaints(ctx context.Context, provider string) ([]job.Complaint, error) {
	complaints, err := list(func(page *sdkquery.PageRequest) ([]marketpb.Complaint, *sdkquery.PageResponse, error) {
		var r marketpb.QueryComplaintsResponse
		err := c.query(ctx, marketQuery+"Complaints", &marketpb.QueryComplaints{Provider: provider, Pagination: page}, &r)
		return r.Complaints, r.Pagination, err
	})
	if err != nil {
		return nil, fmt.Errorf("list complaints: %w", err)
	}
	return parseAll(complaints, parseComplaint)
}

// Standing is what the ledger has seen of a provider.
type Standing = job.Standing

// Standing returns what the ledger has seen of an account as a provider: all
// zero, if it never was one.
func (c *Client) Standing(ctx context.Context, provider string) (Standing, error) {
	if c.follower != nil {
		var t Standing
		err := c.verifiedRecord(ctx, marketStore, accountKey(standingPrefix, provider), &t)
		if errors.Is(err, ErrNotFound) { // without proof; nobody stands worse than at zero
			err = nil
		}
		return t, wrap(err, "standing of %s", provider)
	}
	var r marketpb.QueryStandingResponse
	if err := c.query(ctx, marketQuery+"Standing", &marketpb.QueryStanding{Provider: provider}, &r); err != nil {
		return Standing{}, fmt.Errorf("standing of %s: %w", provider, err)
	}
	return parseStanding(r.Standing), nil
}

// Standings are what the ledger has seen of each account that served, as the
// node tells it: good enough to choose by, as a lie in them costs a choice.
func (c *Client) Standings(ctx context.Context) (map[string]Standing, error) {
	all, err := list(func(page *sdkquery.PageRequest) ([]marketpb.ProviderStanding, *sdkquery.PageResponse, error) {
		var r marketpb.QueryStandingsResponse
		err := c.query(ctx, marketQuery+"Standings", &marketpb.QueryStandings{Pagination: page}, &r)
		return r.Standings, r.Pagination, err
	})
	if err != nil {
		return nil, fmt.Errorf("list standings: %w", err)
	}
	by := make(map[string]Standing, len(all))
	for _, s := range all {
		by[s.Provider] = parseStanding(s.Standing)
	}
	return by, nil
}

func parseStanding(t marketpb.Standing) Standing {
	return Standing{Withheld: t.Withheld, Released: t.Released, Sessions: t.Sessions, Requests: t.Requests,
		Complaints: t.Complaints, Unserved: t.Unserved}
}

// Stake is what a provider can lose, in udlt: its bond and its withheld pay.
func (c *Client) Stake(ctx context.Context, provider string) (uint64, error) {
	p, err := c.Provider(ctx, provider)
	if err != nil {
		return 0, err
	}
	t, err := c.Standing(ctx, provider)
	if err != nil {
		return 0, err
	}
	return p.Bond + min(t.Withheld, math.MaxUint64-p.Bond), nil
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}
