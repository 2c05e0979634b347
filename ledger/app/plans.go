//go:build !rehearsal

package app

// upgradePlans are all that this binary can carry out, oldest first. A plan
// that a ledger has gone through stays, or the binary refuses that ledger.
var upgradePlans []upgradePlan
