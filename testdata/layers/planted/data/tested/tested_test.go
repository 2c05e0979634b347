// Package tested has an import that the package lacks.
package tested

import _ "daulat/link/peer"
