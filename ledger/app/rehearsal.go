//go:build rehearsal

package app

// upgradePlans are those of a program that upgrades are rehearsed with, as a next
// version would be: ledger/registry has newer state in it.
var upgradePlans = []upgradePlan{{name: "rehearsal"}}
