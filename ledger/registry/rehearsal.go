//go:build rehearsal

package registry

import (
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/module"
)

// version is of the module's state in a program that upgrades are rehearsed with.
const version = 2

func (s *Store) migrations() []module.MigrationHandler {
	return []module.MigrationHandler{s.doubleDelay}
}

// doubleDelay makes new keys wait twice as long as before.
func (s *Store) doubleDelay(ctx sdk.Context) error {
	delay, err := s.keyDelay.Get(ctx)
	if err != nil {
		return err
	}
	return s.keyDelay.Set(ctx, min(2*delay, MaxKeyDelay))
}
