package verify_test

import (
	"math"
	"testing"

	"daulat/core/verify"
)

// The rate is that of the formula in floating point, rounded up, and makes a
// cheat a loss.
func TestAuditRateMakesCheatingALoss(t *testing.T) {
	const power = 950_000
	for _, stake := range []uint64{0, 1, 10, 100, 1_000, 1_000_000} {
		for _, pay := range []uint64{1, 7, 1_000} {
			gain := pay
			got := verify.AuditRate(gain, power, pay, stake)
			want := 1.5 * float64(gain) / (0.95 * float64(pay+stake)) * verify.Million
			want = math.Min(verify.Million, math.Max(verify.AuditFloor, math.Ceil(want-1e-6)))
			if float64(got) != want {
				t.Errorf("rate at pay %d and stake %d is %d, want %.0f", pay, stake, got, want)
			}
			loss := float64(got) / verify.Million * 0.95 * float64(pay+stake)
			if got < verify.Million && loss < float64(gain) {
				t.Errorf("a cheat at pay %d and stake %d gains %d and loses %.3f", pay, stake, gain, loss)
			}
		}
	}
}

func TestAuditRateAtTheEdges(t *testing.T) {
	const most = ^uint64(0)
	for _, c := range []struct{ gain, power, pay, stake, want uint64 }{
		{0, 950_000, 1, 0, verify.AuditFloor},
		{1, 0, 1, 1, verify.Million},
		{1, 950_000, 0, 0, verify.Million},
		{most, 950_000, 1, 1, verify.Million},
		{1, 950_000, most, most, verify.AuditFloor},
		{1, 950_000, most, 0, verify.AuditFloor},
		{most, verify.Million, most, most, 750_000},
		{most / 100, verify.Million, most, 0, 15_000},
	} {
		if got := verify.AuditRate(c.gain, c.power, c.pay, c.stake); got != c.want {
			t.Errorf("rate of %+v is %d", c, got)
		}
	}
}
