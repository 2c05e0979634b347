// Package canon breaks no rule.
package canon

import _ "encoding/json"

import _ "lukechampine.com/blake3"
