package verify

import "math/bits"

// Million is the whole in parts per million.
const Million = 1_000_000

// AuditFloor is the share of work that is always checked, in parts per million.
const AuditFloor = 5_000

// AuditRate is the share of a provider's work that must be run again so that no
// cheat pays, in parts per million: min(1, 1.5·g / (d·(R + K))), at least
// AuditFloor, rounded up. gain g is what one cheat saves, pay R what a unit
// earns, stake K the bond plus withheld pay that is not pledged to open units,
// all in udlt; power d is the chance in parts per million that one check sees
// the cheat. (Derivation: an honest unit must be worth at least as much as a
// cheat, a·d·(R+K) ≥ g, with safety 1.5.)
func AuditRate(gain, power, pay, stake uint64) uint64 {
	atRisk, carry := bits.Add64(pay, stake, 0)
	if carry != 0 {
		return AuditFloor
	}
	if gain == 0 {
		return AuditFloor
	}
	// a = 1.5·g·10^12 / (d·(R+K)), all in 128 bits.
	dh, dl := bits.Mul64(power, atRisk)
	if dh == 0 && dl == 0 {
		return Million
	}
	if dh != 0 { // at least 2^64 / 10^6 udlt at risk: beyond any supply
		return AuditFloor
	}
	nh, nl := bits.Mul64(gain, Million*Million/2*3)
	nl, c := bits.Add64(nl, dl-1, 0)
	nh += c
	if nh >= dl {
		return Million
	}
	rate, _ := bits.Div64(nh, nl, dl)
	return min(Million, max(AuditFloor, rate))
}
