// Package market of the referee has no function that may.
package market

func checkAll() { go checkAll() }
