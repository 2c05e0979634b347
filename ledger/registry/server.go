package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"daulat/core/canon"
	"daulat/core/match"
	pb "daulat/gen/registry"
	"daulat/ledger/record"
)

// server answers messages. It may assume that the account that a message's
// signer option names did sign it.
type server struct{ *Store }

var _ pb.MsgServer = server{}

func refuse(err error) error { return sdkerrors.ErrInvalidRequest.Wrap(err.Error()) }

// RegisterProvider makes the sender a provider, or changes its addresses, which
// the key in force must agree to. It changes no key: see RotateKey.
func (s server) RegisterProvider(ctx context.Context, m *pb.MsgRegisterProvider) (*pb.MsgRegisterProviderResponse, error) {
	p, err := s.normal(pb.Provider{Account: m.Account, Key: m.Key, Addresses: m.Addresses})
	if err != nil {
		return nil, refuse(err)
	}
	if _, err := prove(ctx, p.Account, m.Key, m.Proof); err != nil {
		return nil, refuse(err)
	}
	old, b, err := s.provider(ctx, p.Account)
	switch {
	case errors.Is(err, collections.ErrNotFound):
		p.Registered = record.Time(ctx)
		if err := s.own(ctx, p.Key, p.Account); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case old.Key != p.Key:
		return nil, refuse(errors.New("it is not the identity key in force: rotate keys to change it"))
	default:
		p.Bond, p.Registered = old.Bond, old.Registered
		p = bind(p, b)
	}
	record.Event(ctx, "provider_registered", "provider", p.Account, "key", p.Key)
	return &pb.MsgRegisterProviderResponse{}, s.providers.Set(ctx, p.Account, p)
}

// RotateKey lets another identity key of the sender take over after the delay.
// Sessions that opened before keep the key with which they opened.
func (s server) RotateKey(ctx context.Context, m *pb.MsgRotateKey) (*pb.MsgRotateKeyResponse, error) {
	p, before, err := s.sender(ctx, m.Account)
	if err != nil {
		return nil, err
	}
	key, err := prove(ctx, p.Account, m.Key, m.Proof)
	if err != nil {
		return nil, refuse(err)
	}
	delay, err := s.keyDelay.Get(ctx)
	if err != nil {
		return nil, err
	}
	after, err := before.Rotate(key, record.Time(ctx), delay)
	if err != nil {
		return nil, refuse(err)
	}
	if err := s.own(ctx, key.String(), p.Account); err != nil {
		return nil, err
	}
	p = bind(p, after)
	record.Event(ctx, "key_rotated", "provider", p.Account, "key", p.Key, "next", p.NextKey, "from", strconv.FormatUint(p.KeyFrom, 10))
	return &pb.MsgRotateKeyResponse{}, s.providers.Set(ctx, p.Account, p)
}

// RevokeKey puts the sender's identity key out of force at once and for good.
// Its offers are left out of matching until another key is in force.
func (s server) RevokeKey(ctx context.Context, m *pb.MsgRevokeKey) (*pb.MsgRevokeKeyResponse, error) {
	p, before, err := s.sender(ctx, m.Account)
	if err != nil {
		return nil, err
	}
	after, key, err := before.Revoke(record.Time(ctx))
	if err != nil {
		return nil, refuse(err)
	}
	record.Event(ctx, "key_revoked", "provider", p.Account, "key", key.String())
	if err := s.revoked.Set(ctx, key.String()); err != nil {
		return nil, err
	}
	return &pb.MsgRevokeKeyResponse{}, s.providers.Set(ctx, p.Account, bind(p, after))
}

// sender loads the provider that sent a message.
func (s server) sender(ctx context.Context, text string) (pb.Provider, match.Binding, error) {
	account, err := record.Account(s.addresses, text)
	if err != nil {
		return pb.Provider{}, match.Binding{}, refuse(err)
	}
	p, b, err := s.provider(ctx, account)
	if errors.Is(err, collections.ErrNotFound) {
		err = sdkerrors.ErrNotFound.Wrapf("%s is not a provider", account)
	}
	return p, b, err
}

// own gives a key to an account for good, unless it is revoked or another's.
func (s server) own(ctx context.Context, key, account string) error {
	owner, err := s.owners.Get(ctx, key)
	if errors.Is(err, collections.ErrNotFound) {
		return s.owners.Set(ctx, key, account)
	}
	if err != nil {
		return err
	}
	if owner != account {
		return refuse(errors.New("identity key belongs to another account"))
	}
	revoked, err := s.revoked.Has(ctx, key)
	if err == nil && revoked {
		err = refuse(errors.New("identity key is revoked"))
	}
	return err
}

// prove checks that the identity key signed for this account on this chain.
func prove(ctx context.Context, account, text string, proof []byte) (canon.PublicKey, error) {
	key, err := record.Key("identity key", text)
	if err != nil {
		return key, err
	}
	sig, err := record.Signature(proof)
	if err != nil {
		return key, err
	}
	c := sdk.UnwrapSDKContext(ctx)
	c.GasMeter().ConsumeGas(authtypes.DefaultSigVerifyCostED25519, "identity key")
	return key, canon.Verify(key, match.DomainProvider, match.Claim{Chain: c.ChainID(), Account: account}, sig)
}

// PutOffer adds or replaces the sender's offer for a model.
func (s server) PutOffer(ctx context.Context, m *pb.MsgPutOffer) (*pb.MsgPutOfferResponse, error) {
	o, err := s.normalOffer(pb.Offer{Provider: m.Provider, Model: m.Model, Executor: m.Executor, InputPrice: m.InputPrice,
		OutputPrice: m.OutputPrice, Assurance: m.Assurance, Slots: m.Slots})
	if err != nil {
		return nil, refuse(err)
	}
	known, err := s.providers.Has(ctx, o.Provider)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, sdkerrors.ErrNotFound.Wrapf("%s is not a provider", o.Provider)
	}
	key := collections.Join(o.Provider, o.Model)
	if err := s.admitOffer(ctx, key); err != nil {
		return nil, err
	}
	record.Event(ctx, "offer_put", "provider", o.Provider, "model", o.Model)
	return &pb.MsgPutOfferResponse{}, s.offers.Set(ctx, key, o)
}

// admitOffer refuses one offer too many.
func (s server) admitOffer(ctx context.Context, key offerKey) error {
	known, err := s.offers.Has(ctx, key)
	if err != nil || known {
		return err
	}
	n, err := s.offerCount(ctx, key.K1())
	if err != nil {
		return err
	}
	if n >= MaxOffers {
		return refuse(fmt.Errorf("a provider has at most %d offers", MaxOffers))
	}
	return nil
}

// WithdrawOffer removes the sender's offer for a model.
func (s server) WithdrawOffer(ctx context.Context, m *pb.MsgWithdrawOffer) (*pb.MsgWithdrawOfferResponse, error) {
	account, err := record.Account(s.addresses, m.Provider)
	if err != nil {
		return nil, refuse(err)
	}
	model, err := parseModel(m.Model)
	if err != nil {
		return nil, refuse(err)
	}
	key := collections.Join(account, model)
	known, err := s.offers.Has(ctx, key)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, sdkerrors.ErrNotFound.Wrapf("%s offers no %s", account, model)
	}
	record.Event(ctx, "offer_withdrawn", "provider", account, "model", model)
	return &pb.MsgWithdrawOfferResponse{}, s.offers.Remove(ctx, key)
}

// RegisterArtifact puts a manifest on record. One that is there already stays
// as it is, whoever sends it again.
func (s server) RegisterArtifact(ctx context.Context, m *pb.MsgRegisterArtifact) (*pb.MsgRegisterArtifactResponse, error) {
	owner, err := record.Account(s.addresses, m.Owner)
	if err != nil {
		return nil, refuse(err)
	}
	a, err := parseArtifact(owner, m.Manifest, record.Time(ctx))
	if err != nil {
		return nil, refuse(err)
	}
	known, err := s.artifacts.Has(ctx, a.Id)
	if err != nil {
		return nil, err
	}
	if known {
		return &pb.MsgRegisterArtifactResponse{Id: a.Id}, nil
	}
	for _, p := range a.Parents {
		if known, err = s.artifacts.Has(ctx, p); err != nil {
			return nil, err
		}
		if !known {
			return nil, sdkerrors.ErrNotFound.Wrapf("parent %s is not on record", p)
		}
	}
	record.Event(ctx, "artifact_registered", "artifact", a.Id, "owner", owner)
	return &pb.MsgRegisterArtifactResponse{Id: a.Id}, s.artifacts.Set(ctx, a.Id, a)
}
