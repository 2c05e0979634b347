// Package sdk breaks no rule.
package sdk

import _ "daulat/ledger/client"

import _ "daulat/platform/agent"
