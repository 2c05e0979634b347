// Package feed reaches the framework through a package of ours.
package feed

import _ "daulat/link/peer"
