// Package hidden imports a folder that the go command passes over.
package hidden

import _ "daulat/core/hidden/testdata/loot"
