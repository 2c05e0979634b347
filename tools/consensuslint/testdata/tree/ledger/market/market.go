// Package market is a ledger module with two faults.
package market

import "time"

func when(m map[string]time.Time) time.Time {
	for _, t := range m {
		return t
	}
	return time.Now()
}
