// Package client talks to a chain and is not part of one.
package client

import "time"

var Start = time.Now()
