//go:build never

package tagged

import _ "github.com/libp2p/go-libp2p"
