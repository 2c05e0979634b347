// Package daulat breaks no rule.
package daulat

import _ "daulat/node"

import _ "daulat/ui/cli"
