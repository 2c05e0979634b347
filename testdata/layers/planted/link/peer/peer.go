// Package peer reaches the framework through another module.
package peer

import _ "github.com/libp2p/go-libp2p"
