// Package sim is no part of consensus.
package sim

var Share = 0.5
