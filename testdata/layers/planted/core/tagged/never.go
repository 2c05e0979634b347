//go:build never

package tagged

import _ "github.com/cosmos/cosmos-sdk/types"
