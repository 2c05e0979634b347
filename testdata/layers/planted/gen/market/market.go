// Package market breaks no rule.
package market

import _ "github.com/cosmos/cosmos-sdk/types"
