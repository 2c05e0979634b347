// Package frame breaks no rule.
package frame

import _ "daulat/core/canon"

import _ "github.com/libp2p/go-libp2p/clean"
