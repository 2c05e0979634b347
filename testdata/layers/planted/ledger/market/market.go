// Package market breaks no rule.
package market

import _ "daulat/gen/market"

import _ "daulat/core/canon"

import _ "github.com/cosmos/cosmos-sdk/types"
