// Package validator talks to a chain and is not part of one.
package validator

import "time"

var Start = time.Now()
