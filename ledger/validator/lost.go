package validator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"
)

// ErrLost says that a home has lost its ledger and knows nobody to get it from.
var ErrLost = errors.New("the ledger of this home is gone, and it has no peers to get it from: put back a copy of its folder data")

// errForgot is why a validator that lost its data does not sign yet.
var errForgot = fmt.Errorf("this home has lost what its validator signed, and signs once %d blocks in a row are without its signature", lookBack)

// ForgetsFor is for how many blocks such a validator waits.
const ForgetsFor = lookBack

// forgot marks a home that has lost what its validator signed.
const forgot = "forgot"

// renew begins again what a home lost with its data: blocks and state come from the
// peers, and what its key signed is found out from blocks.
func renew(c Config) error {
	cfg := cometConfig(c)
	if _, err := os.Stat(cfg.PrivValidatorStateFile()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if kept, err := filepath.Glob(filepath.Join(c.Home, "data", "*.db")); err != nil || len(kept) > 0 { // not all is lost
		return fmt.Errorf("%s is gone, which says what this home's validator signed: remove all of %s, and it is got anew from the other nodes",
			filepath.Base(cfg.PrivValidatorStateFile()), filepath.Join(c.Home, "data"))
	}
	if len(c.Peers) == 0 && c.Sync == nil {
		return ErrLost
	}
	if err := os.WriteFile(filepath.Join(c.Home, "config", forgot), nil, 0o600); err != nil {
		return err
	}
	if err := makeHome(c.Home); err != nil {
		return err
	}
	nothing, err := cmtjson.Marshal(privval.FilePVLastSignState{})
	if err != nil {
		return err
	}
	return os.WriteFile(cfg.PrivValidatorStateFile(), nothing, 0o600)
}

// Forgot reports that the home has lost what its validator signed, so that it does
// not sign yet.
func (v *Validator) Forgot() bool { return hasForgotten(v.home) }

func hasForgotten(home string) bool {
	_, err := os.Stat(filepath.Join(home, "config", forgot))
	return err == nil
}

// remembers is called before each signature of a home that had forgotten: its key may
// have signed beyond what the node's blocks show, but not long beyond.
func (s *signer) remembers() error {
	if s.commits.Height()-s.commits.Base() < lookBack || newest(s.commits, s.GetAddress(), 0) > 0 {
		return errForgot
	}
	if err := os.Remove(s.forgot); err != nil {
		return err
	}
	s.forgot = ""
	return nil
}
