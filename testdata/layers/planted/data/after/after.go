// Package after breaks no rule: the tests of what it imports are not built with it.
package after

import _ "daulat/data/tested"
