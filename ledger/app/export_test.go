package app

// Carry makes the programs that start from now on carry these upgrades, and no others.
func Carry(names ...string) {
	upgradePlans = nil
	for _, n := range names {
		upgradePlans = append(upgradePlans, upgradePlan{name: n})
	}
}
