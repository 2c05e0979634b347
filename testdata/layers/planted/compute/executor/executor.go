// Package executor imports a part of data that compute may not.
package executor

import _ "daulat/data/sale"
