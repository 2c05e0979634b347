package node

import "daulat/platform/consumer"

// knownProviders keeps what this home learnt of providers, in a file of it.
type knownProviders string

var _ consumer.Keeper = knownProviders("")

// Load implements consumer.Keeper.
func (k knownProviders) Load() (m consumer.Memory, err error) { return m, loadJSON(string(k), &m) }

// Save implements consumer.Keeper.
func (k knownProviders) Save(m consumer.Memory) error { return saveJSON(string(k), m) }
