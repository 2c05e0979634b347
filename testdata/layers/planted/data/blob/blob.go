// Package blob breaks no rule.
package blob

import _ "daulat/link/frame"
