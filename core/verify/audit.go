package verify

import "math/big"

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
	if gain == 0 {
		return AuditFloor
	}
	atRisk := new(big.Int).Add(number(pay), number(stake))
	loss := atRisk.Mul(atRisk, number(power))
	if loss.Sign() == 0 {
		return Million
	}
	rate := new(big.Int).Mul(number(gain), number(Million*Million/2*3))
	rate.Add(rate, loss).Sub(rate, big.NewInt(1)).Quo(rate, loss) // rounded up
	if !rate.IsUint64() {
		return Million
	}
	return min(Million, max(AuditFloor, rate.Uint64()))
}

func number(n uint64) *big.Int { return new(big.Int).SetUint64(n) }
