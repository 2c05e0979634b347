package client

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/cometbft/cometbft/crypto/merkle"
	"github.com/cometbft/cometbft/light"
	cmtcrypto "github.com/cometbft/cometbft/proto/tendermint/crypto"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"
	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"

	"daulat/core/canon"
	"daulat/core/job"
)

// sessionProof carries a verifier from a trusted header to one session's
// record. Blocks and operations are CometBFT's protobuf encodings.
type sessionProof struct {
	Version uint64   `cbor:"v"`
	Root    []byte   `cbor:"root"`   // light block at the trusted height
	Path    [][]byte `cbor:"path"`   // light blocks, rising; the last commits to the state
	Proof   []byte   `cbor:"proof"`  // ICS-23 operations from record to AppHash
	Record  []byte   `cbor:"record"` // canonical bytes of a job.Session
}

// Bounds of a proof, checked before anything inside is decoded. A light block
// with 100 validators has 25 kB.
const (
	maxProof      = 4 << 20
	maxPath       = 64
	maxLightBlock = 256 << 10
	maxOps        = 64 << 10
	maxRecord     = 16 << 10
	maxSigners    = 1000
)

// ClockDrift is how far a header may be ahead of the verifier's clock, which may
// be badly set: a week lies between the trusting period and the end of the bond.
const ClockDrift = 10 * time.Minute

// Reasons to refuse a proof.
var (
	ErrMalformed = errors.New("proof is malformed")
	ErrRoot      = errors.New("proof does not start at the trusted header")
	ErrStale     = errors.New("trusted header is too old: ask for a newer trust line")
	ErrHeader    = errors.New("header is not signed by the ledger's validators")
	ErrHeight    = errors.New("height is told and its header not shown")
	ErrState     = errors.New("record is not in the ledger's state")
	// ErrBehind is no lie of anybody's: who could have signed the header did.
	ErrBehind = errors.New("this machine's clock is wrong")
)

// OtherLedgerError says that a proof is of another ledger than the trusted header, by
// the names that both state.
type OtherLedgerError struct{ Proof, Trusted string }

func (e *OtherLedgerError) Error() string {
	return fmt.Sprintf("it is of %q, and the header of %q", e.Proof, e.Trusted)
}

// Behind is an ErrBehind if the ledger has a block of a time that is too far ahead of
// this machine's.
func Behind(block, now time.Time) error {
	if block.Before(now.Add(ClockDrift)) {
		return nil
	}
	return fmt.Errorf("%w: it is %s behind the ledger's, which has a block of %s; set the clock", ErrBehind,
		block.Sub(now).Round(time.Second), block.UTC().Format(time.RFC3339))
}

// Proven is what a proof shows: the ledger stored Record, and so Session, as
// its state after block Height. Time is of the header that commits to it.
type Proven struct {
	Session job.Session
	Record  []byte // canonical bytes of Session
	Height  int64
	Time    time.Time
}

// VerifySession checks a proof that [Client.ProveSession] made, as a light
// client: it takes no word from anybody but trust, asks nobody, and reads no
// clock. From the trusted header it follows headers that more than two thirds
// of their validators signed, a third of them trusted before, to the root of a
// state that holds the record under its own session's key. now is the
// verifier's time.
//
// The caller still has to check that the session is the one it asked about.
func VerifySession(trust Trust, proof []byte, now time.Time) (Proven, error) {
	p, err := decodeProof(proof)
	if err != nil {
		return Proven{}, fmt.Errorf("verify session: %w: %w", ErrMalformed, err)
	}
	header, err := follow(trust, p, now)
	if err != nil {
		return Proven{}, fmt.Errorf("verify session: %w", err)
	}
	var s job.Session
	if err := canon.Unmarshal(p.Record, &s); err != nil {
		return Proven{}, fmt.Errorf("verify session: %w: %w", ErrMalformed, err)
	}
	if err := verifyRecord(p, s.ID, header.AppHash); err != nil {
		// The library's words hold raw bytes and help nobody.
		return Proven{}, fmt.Errorf("verify session: %w: session %d", ErrState, s.ID)
	}
	return Proven{Session: s, Record: p.Record, Height: header.Height - 1, Time: header.Time}, nil
}

func decodeProof(data []byte) (p sessionProof, err error) {
	if len(data) > maxProof {
		return p, fmt.Errorf("%d bytes exceed the limit of %d", len(data), maxProof)
	}
	if err := canon.Unmarshal(data, &p); err != nil {
		return p, err
	}
	switch {
	case p.Version != canon.Version:
		return p, fmt.Errorf("version %d is unknown", p.Version)
	case len(p.Path) > maxPath:
		return p, fmt.Errorf("path has %d headers, more than %d", len(p.Path), maxPath)
	case len(p.Proof) > maxOps:
		return p, fmt.Errorf("state proof exceeds %d bytes", maxOps)
	case len(p.Record) > maxRecord:
		return p, fmt.Errorf("record exceeds %d bytes", maxRecord)
	}
	return p, nil
}

// follow returns the last header of the path, once all are verified.
func follow(trust Trust, p sessionProof, now time.Time) (*cmttypes.SignedHeader, error) {
	verified, err := trustedBlock(trust, p.Root)
	if err != nil {
		return nil, err
	}
	if light.HeaderExpired(verified.SignedHeader, TrustingPeriod, now) {
		return nil, fmt.Errorf("%w: its block is of %s", ErrStale, verified.Time.UTC().Format(time.DateOnly))
	}
	for _, data := range p.Path {
		next, err := decodeBlock(data)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if err := verifyBlock(verified, next, now); err != nil {
			return nil, err
		}
		verified = next
	}
	return verified.SignedHeader, nil
}

// trustedBlock decodes the block whose header is trusted by its hash, with the
// validators that the header names by theirs.
func trustedBlock(trust Trust, data []byte) (*cmttypes.LightBlock, error) {
	root, err := decodeBlock(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return root, isTrusted(trust, root)
}

// isTrusted reports an error unless it is the block whose header is trusted, with
// the validators that the header names.
func isTrusted(trust Trust, root *cmttypes.LightBlock) error {
	if root.ChainID != trust.ChainID && len(root.ChainID) <= cmttypes.MaxChainIDLen {
		return fmt.Errorf("%w: %w", ErrRoot, &OtherLedgerError{root.ChainID, trust.ChainID})
	}
	if root.Height != trust.Height || hex.EncodeToString(root.Hash()) != trust.Hash {
		return fmt.Errorf("%w %s of height %d", ErrRoot, trust.Hash, trust.Height)
	}
	if err := root.ValidateBasic(trust.ChainID); err != nil {
		return fmt.Errorf("%w: %w", ErrRoot, err)
	}
	return nil
}

// verifyBlock says that a header is of the future only if it is signed: anybody can
// name a time.
func verifyBlock(verified, next *cmttypes.LightBlock, now time.Time) error {
	behind := Behind(next.Time, now)
	if behind != nil {
		now = next.Time
	}
	if err := light.Verify(verified.SignedHeader, verified.ValidatorSet, next.SignedHeader, next.ValidatorSet,
		TrustingPeriod, now, ClockDrift, light.DefaultTrustLevel); err != nil {
		return fmt.Errorf("%w: height %d: %w", ErrHeader, next.Height, err)
	}
	return behind
}

// decodeBlock reads a light block. What the library leaves to the caller is
// checked before.
func decodeBlock(data []byte) (*cmttypes.LightBlock, error) {
	if len(data) > maxLightBlock {
		return nil, fmt.Errorf("light block exceeds %d bytes", maxLightBlock)
	}
	var p cmtproto.LightBlock
	if err := p.Unmarshal(data); err != nil {
		return nil, fmt.Errorf("read light block: %w", err)
	}
	if p.SignedHeader == nil || p.SignedHeader.Header == nil || p.SignedHeader.Commit == nil || p.ValidatorSet == nil {
		return nil, errors.New("light block lacks header, commit or validators")
	}
	if n := max(len(p.SignedHeader.Commit.Signatures), len(p.ValidatorSet.Validators)); n > maxSigners {
		return nil, fmt.Errorf("light block has %d signers, more than %d", n, maxSigners)
	}
	block, err := cmttypes.LightBlockFromProto(&p)
	if err != nil {
		return nil, fmt.Errorf("read light block: %w", err)
	}
	return block, nil
}

// verifyRecord checks that a state with the given root holds the record under
// the key of session id in the market's store.
func verifyRecord(p sessionProof, id uint64, root []byte) error {
	var ops cmtcrypto.ProofOps
	if err := ops.Unmarshal(p.Proof); err != nil {
		return err
	}
	return verifyValue(&ops, root, marketStore, sessionKey(id), p.Record)
}

// verifyValue checks that a state with the given root holds value under a key of
// a store, or nothing for no value.
func verifyValue(ops *cmtcrypto.ProofOps, root []byte, store string, key, value []byte) error {
	runtime := merkle.NewProofRuntime()
	for _, kind := range []string{storetypes.ProofOpIAVLCommitment, storetypes.ProofOpSimpleMerkleCommitment} {
		runtime.RegisterOpDecoder(kind, storetypes.CommitmentOpDecoder)
	}
	var path merkle.KeyPath
	path = path.AppendKey([]byte(store), merkle.KeyEncodingURL).AppendKey(key, merkle.KeyEncodingHex)
	if len(value) == 0 {
		return runtime.VerifyAbsence(ops, root, path.String())
	}
	return runtime.VerifyValue(ops, root, path.String(), value)
}
