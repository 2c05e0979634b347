// Package script breaks no rule.
package script

import _ "daulat/node"
