// Package market imports what nothing may.
package market

import _ "daulat/test/script"
