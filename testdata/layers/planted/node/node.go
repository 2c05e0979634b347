// Package node breaks no rule.
package node

import _ "daulat/ledger/market"

import _ "daulat/platform/sdk"

import _ "daulat/compute/provider"
