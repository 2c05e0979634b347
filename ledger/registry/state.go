//go:build !rehearsal

package registry

import "github.com/cosmos/cosmos-sdk/types/module"

// version is of the module's state.
const version = 1

// migrations bring state of version 1, 2 and so on to the next.
func (s *Store) migrations() []module.MigrationHandler { return nil }
