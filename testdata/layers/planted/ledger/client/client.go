// Package client imports a ledger module.
package client

import _ "daulat/ledger/market"
