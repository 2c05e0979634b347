package validator

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	cmtconfig "github.com/cometbft/cometbft/config"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	cmttypes "github.com/cometbft/cometbft/types"
)

// ErrSignedElsewhere says that the validator's key signs in another home as well, or
// did until lately: this one is a copy, or was restored from a backup.
var ErrSignedElsewhere = errors.New("this validator's key signs elsewhere")

// lookBack is for how many blocks a signature that this home does not know of keeps
// it from signing. CometBFT's own double_sign_check_height would refuse a validator
// that was merely started again.
const lookBack = 100

// commits are the signatures below the blocks that a node has.
type commits interface {
	Base() int64 // the first that it has
	Height() int64
	LoadSeenCommit(height int64) *cmttypes.Commit
}

// A signer signs for a validator, unless the ledger's last blocks hold a signature of
// its key that is newer than what this home signed.
type signer struct {
	*privval.FilePV
	commits commits
	sole    bool        // its owner says that no other home signs
	forgot  string      // the mark of a home that lost what it signed; empty for one that knows
	refuse  func(error) // is told why it does not sign
}

func (s *signer) SignVote(chain string, v *cmtproto.Vote) error {
	if err := s.alone(); err != nil {
		return err
	}
	return s.FilePV.SignVote(chain, v)
}

func (s *signer) SignProposal(chain string, p *cmtproto.Proposal) error {
	if err := s.alone(); err != nil {
		return err
	}
	return s.FilePV.SignProposal(chain, p)
}

func (s *signer) alone() error {
	if s.forgot != "" && !s.sole {
		return s.remembers()
	}
	known := s.LastSignState.Height
	at := newest(s.commits, s.GetAddress(), known)
	if at == 0 || s.sole {
		return nil
	}
	err := fmt.Errorf("%w: the ledger has its signature of block %d, and this home's last one is of block %d; stop the other home, and this one may sign %d blocks later, or with daulat node --sole if the ledger stands still",
		ErrSignedElsewhere, at, known, lookBack)
	s.refuse(err)
	return err
}

// newest is the newest of the last blocks that a key signed beyond a height, 0 if
// there is none.
func newest(c commits, address cmttypes.Address, known int64) int64 {
	tip := c.Height()
	for h := tip; h > max(known, tip-lookBack); h-- {
		commit := c.LoadSeenCommit(h)
		if commit == nil {
			continue
		}
		for _, s := range commit.Signatures {
			if bytes.Equal(s.ValidatorAddress, address) {
				return h
			}
		}
	}
	return 0
}

// loadSigner reads the validator's key and what it signed last. A missing
// state is an error: a validator that forgets what it signed may sign twice.
// The library ends the process over a bad file, so both are read before.
func loadSigner(cfg *cmtconfig.Config) (*privval.FilePV, error) {
	for path, into := range map[string]any{
		cfg.PrivValidatorKeyFile():   &privval.FilePVKey{},
		cfg.PrivValidatorStateFile(): &privval.FilePVLastSignState{},
	} {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := cmtjson.Unmarshal(data, into); err != nil {
			return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
		}
	}
	return privval.LoadFilePV(cfg.PrivValidatorKeyFile(), cfg.PrivValidatorStateFile()), nil
}
