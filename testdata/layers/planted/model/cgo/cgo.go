// Package cgo needs a C compiler.
package cgo

import _ "C"
