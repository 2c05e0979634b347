// Package libp2p stands for an allowed module that drags the framework in.
package libp2p

import _ "github.com/cosmos/cosmos-sdk/types"
