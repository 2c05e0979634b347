package client

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	sdkmath "cosmossdk.io/math"
	cmtcrypto "github.com/cometbft/cometbft/crypto"
	"github.com/cosmos/cosmos-sdk/codec/address"
	cryptocodec "github.com/cosmos/cosmos-sdk/crypto/codec"
	"github.com/cosmos/cosmos-sdk/crypto/keys/ed25519"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkquery "github.com/cosmos/cosmos-sdk/types/query"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
)

const (
	stakingQuery  = "/cosmos.staking.v1beta1.Query/"
	slashingQuery = "/cosmos.slashing.v1beta1.Query/"
)

// MinStake is the least that gives a validator power: one vote, in udlt.
const MinStake = 1_000_000

// Validator is who may sign blocks, as the node tells it.
type Validator struct {
	Account    string // that operates it
	Key        string // address of its consensus key, hexadecimal
	Moniker    string
	Stake      uint64 // udlt, of all who delegated to it
	Bonded     bool   // it signs, and its votes count
	Jailed     bool   // it is set aside
	Tombstoned bool   // it signed two blocks of one height, and is out for good
	Until      time.Time
	Missed     uint64 // blocks of the last Window
	Window     uint64 // blocks
}

// Power is the weight of its vote.
func (v Validator) Power() uint64 {
	if !v.Bonded {
		return 0
	}
	return v.Stake / MinStake
}

// Validators lists all that ever were and still hold stake, the weightiest first.
func (c *Client) Validators(ctx context.Context) ([]Validator, error) {
	all, err := list(func(page *sdkquery.PageRequest) ([]stakingtypes.Validator, *sdkquery.PageResponse, error) {
		var r stakingtypes.QueryValidatorsResponse
		err := c.query(ctx, stakingQuery+"Validators", &stakingtypes.QueryValidatorsRequest{Pagination: page}, &r)
		return r.Validators, r.Pagination, err
	})
	if err != nil {
		return nil, fmt.Errorf("list validators: %w", err)
	}
	window, err := c.missWindow(ctx)
	if err != nil {
		return nil, err
	}
	out, err := parseAll(all, parseValidator)
	if err != nil {
		return nil, fmt.Errorf("list validators: %w", err)
	}
	for i := range out {
		if err := c.signing(ctx, &out[i]); err != nil {
			return nil, err
		}
		out[i].Window = window
	}
	slices.SortFunc(out, func(a, b Validator) int {
		return cmp.Or(cmp.Compare(b.Stake, a.Stake), cmp.Compare(a.Account, b.Account))
	})
	return out, nil
}

// Validator is the one that an account operates.
func (c *Client) Validator(ctx context.Context, account string) (Validator, error) {
	all, err := c.Validators(ctx)
	if err != nil {
		return Validator{}, err
	}
	i := slices.IndexFunc(all, func(v Validator) bool { return v.Account == account })
	if i < 0 {
		return Validator{}, fmt.Errorf("validator of %s: %w", account, ErrNotFound)
	}
	return all[i], nil
}

func parseValidator(w stakingtypes.Validator) (Validator, error) {
	operator, err := prefixed("valoper").StringToBytes(w.OperatorAddress)
	if err != nil {
		return Validator{}, err
	}
	account, err := prefixed("").BytesToString(operator)
	if err != nil {
		return Validator{}, err
	}
	var key ed25519.PubKey
	if w.ConsensusPubkey == nil || key.Unmarshal(w.ConsensusPubkey.Value) != nil || len(key.Key) != ed25519.PubKeySize {
		return Validator{}, fmt.Errorf("validator %s has no Ed25519 key", w.OperatorAddress)
	}
	if w.Tokens.IsNil() || !w.Tokens.IsUint64() {
		return Validator{}, fmt.Errorf("the stake of validator %s does not fit 64 bits", w.OperatorAddress)
	}
	return Validator{Account: account, Key: hex.EncodeToString(key.Address()), Moniker: w.Description.Moniker,
		Stake: w.Tokens.Uint64(), Bonded: w.Status == stakingtypes.Bonded, Jailed: w.Jailed}, nil
}

func (c *Client) missWindow(ctx context.Context) (uint64, error) {
	var r slashingtypes.QueryParamsResponse
	if err := c.query(ctx, slashingQuery+"Params", &slashingtypes.QueryParamsRequest{}, &r); err != nil {
		return 0, fmt.Errorf("rules about missed blocks: %w", err)
	}
	return uint64(r.Params.SignedBlocksWindow), nil
}

// signing adds what the ledger saw of a validator's signatures. One that was never
// bonded has no such record.
func (c *Client) signing(ctx context.Context, v *Validator) error {
	raw, err := hex.DecodeString(v.Key)
	if err != nil {
		return err
	}
	cons, err := prefixed("valcons").BytesToString(raw)
	if err != nil {
		return err
	}
	var r slashingtypes.QuerySigningInfoResponse
	err = c.query(ctx, slashingQuery+"SigningInfo", &slashingtypes.QuerySigningInfoRequest{ConsAddress: cons}, &r)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("signatures of validator %s: %w", v.Account, err)
	}
	v.Missed, v.Tombstoned, v.Until = uint64(r.ValSigningInfo.MissedBlocksCounter), r.ValSigningInfo.Tombstoned, r.ValSigningInfo.JailedUntil
	return nil
}

// CreateValidator bonds stake udlt of the account's behind a node's key.
func (c *Client) CreateValidator(ctx context.Context, key cmtcrypto.PubKey, stake uint64, moniker string) error {
	public, err := cryptocodec.FromCmtPubKeyInterface(key)
	if err != nil {
		return err
	}
	operator, err := operatorOf(c.Account())
	if err != nil {
		return err
	}
	none := stakingtypes.NewCommissionRates(sdkmath.LegacyZeroDec(), sdkmath.LegacyZeroDec(), sdkmath.LegacyZeroDec())
	m, err := stakingtypes.NewMsgCreateValidator(operator, public, udlt(stake), stakingtypes.Description{Moniker: moniker}, none, sdkmath.OneInt())
	if err != nil {
		return err
	}
	return wrap(c.send(ctx, nil, m), "become a validator")
}

// Unjail asks for a validator that was set aside to be back.
func (c *Client) Unjail(ctx context.Context) error {
	operator, err := operatorOf(c.Account())
	if err != nil {
		return err
	}
	return wrap(c.send(ctx, nil, slashingtypes.NewMsgUnjail(operator)), "return as a validator")
}

// Leave takes back all that the account staked itself. The ledger keeps it, and can
// slash it, for three weeks more.
func (c *Client) Leave(ctx context.Context) (stake uint64, err error) {
	operator, err := operatorOf(c.Account())
	if err != nil {
		return 0, err
	}
	var r stakingtypes.QueryDelegationResponse
	err = c.query(ctx, stakingQuery+"Delegation", &stakingtypes.QueryDelegationRequest{DelegatorAddr: c.Account(), ValidatorAddr: operator}, &r)
	if err != nil || r.DelegationResponse == nil {
		return 0, fmt.Errorf("leave: %w", cmp.Or(err, ErrNotFound))
	}
	amount := r.DelegationResponse.Balance
	err = c.send(ctx, nil, stakingtypes.NewMsgUndelegate(c.Account(), operator, amount))
	return amount.Amount.Uint64(), wrap(err, "leave")
}

func udlt(amount uint64) sdk.Coin { return sdk.NewCoin(Denom, sdkmath.NewIntFromUint64(amount)) }

// prefixed encodes addresses of a kind.
func prefixed(kind string) address.Bech32Codec {
	return address.Bech32Codec{Bech32Prefix: Prefix + kind}
}

// operatorOf is an account as staking names it.
func operatorOf(account string) (string, error) {
	raw, err := prefixed("").StringToBytes(account)
	if err != nil {
		return "", fmt.Errorf("account %q: %w", account, err)
	}
	return prefixed("valoper").BytesToString(raw)
}
