// Package direct imports upward.
package direct

import _ "daulat/data/blob"
