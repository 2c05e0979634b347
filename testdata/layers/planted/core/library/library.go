// Package library imports a module that core may not.
package library

import _ "github.com/libp2p/go-libp2p/clean"
