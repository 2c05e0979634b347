// Package library imports a module that core may not, and one that tests alone may.
package library

import (
	_ "github.com/libp2p/go-libp2p/clean"
	_ "go.uber.org/goleak"
)
