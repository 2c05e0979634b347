package worth

import (
	"errors"
	"math/bits"

	"daulat/core/job"
)

// The request that an estimate reckons with, in tokens: what people send differs,
// and pay follows it.
const (
	TypicalPrompt = 256
	TypicalAnswer = 128
)

const (
	day    = 24 * 3600 // seconds
	micros = 1_000_000 // in a second
)

// Question is what an estimate rests on.
type Question struct {
	Speed Speed
	Price job.Price
	Slots uint64 // that this machine would offer
	Use   Use    // of the network
	// Milliwatts is what the machine draws while it computes, 0 if that is not
	// known.
	Milliwatts uint64
	PerKWh     *uint64 // udlt; nil if not known
}

// Use is what the ledger shows of the pay for a model in the last hours.
type Use struct {
	Seconds   uint64 `json:"seconds"`   // that it looks back
	Sessions  uint64 `json:"sessions"`  // opened in that time and settled
	Paid      uint64 `json:"paid_udlt"` // for those
	Providers uint64 `json:"providers"` // that offer the model now
	Slots     uint64 `json:"slots"`     // of theirs
}

// Outlook is what a machine would earn.
type Outlook struct {
	PerRequest   uint64 `json:"pay_per_request_udlt"`
	RequestMicro uint64 `json:"request_microseconds"`
	Full         Day    `json:"full_use"`    // answering all day
	Present      Day    `json:"present_use"` // its share, by slots, of what the network pays now
}

// Day is pay and cost of 24 hours. What is not known is nil.
type Day struct {
	Pay         uint64  `json:"pay_udlt"`
	WattHours   *uint64 `json:"watt_hours,omitempty"`
	Electricity *uint64 `json:"electricity_udlt,omitempty"`
	Result      *int64  `json:"result_udlt,omitempty"` // pay minus electricity
}

// ErrOverflow says that an amount exceeds what can be reckoned with.
var ErrOverflow = errors.New("the estimate does not fit 64 bits")

// ErrNoSpeed says that there is no speed to reckon with.
var ErrNoSpeed = errors.New("an estimate needs a measured speed")

// Estimate reckons a day. Pay is rounded down and cost up.
func Estimate(q Question) (o Outlook, err error) {
	if q.Speed.Prefill == 0 || q.Speed.Decode == 0 {
		return o, ErrNoSpeed
	}
	if o.PerRequest, err = q.Price.Cost(TypicalPrompt, TypicalAnswer); err != nil {
		return o, err
	}
	o.RequestMicro = max(1, TypicalPrompt*1000*micros/q.Speed.Prefill+TypicalAnswer*1000*micros/q.Speed.Decode)
	full, ok := scale(day*micros, o.PerRequest, o.RequestMicro)
	if !ok {
		return o, ErrOverflow
	}
	present, err := q.Use.share(q.Slots)
	if err != nil {
		return o, err
	}
	present = min(present, full) // a machine can't earn more than it can do
	if o.Full, err = q.day(full, full); err != nil {
		return o, err
	}
	o.Present, err = q.day(present, full)
	return o, err
}

// share is what slots would get in a day of what is paid now, if pay goes by
// slots and there is no more of it for their sake.
func (u Use) share(slots uint64) (uint64, error) {
	all, carry := bits.Add64(u.Slots, slots, 0)
	if u.Seconds == 0 || all == 0 || carry != 0 {
		return 0, nil
	}
	mine, _ := scale(u.Paid, slots, all) // not above Paid
	perDay, ok := scale(mine, day, u.Seconds)
	if !ok {
		return 0, ErrOverflow
	}
	return perDay, nil
}

// day is one on which the machine earns pay, of at most full: it computes for that
// part of the day.
func (q Question) day(pay, full uint64) (Day, error) {
	d := Day{Pay: pay}
	if q.Milliwatts == 0 {
		return d, nil
	}
	busy, _ := scaleUp(day, pay, max(1, full)) // seconds, not above a day
	wattHours, ok := scaleUp(q.Milliwatts, busy, 1000*3600)
	if !ok {
		return d, ErrOverflow
	}
	d.WattHours = &wattHours
	if q.PerKWh == nil {
		return d, nil
	}
	cost, ok := scaleUp(wattHours, *q.PerKWh, 1000)
	if !ok || cost > 1<<63-1 || pay > 1<<63-1 {
		return d, ErrOverflow
	}
	result := int64(pay) - int64(cost)
	d.Electricity, d.Result = &cost, &result
	return d, nil
}

// scale is n·by/of, rounded down, if it fits.
func scale(n, by, of uint64) (uint64, bool) {
	hi, lo := bits.Mul64(n, by)
	if hi >= of {
		return 0, false
	}
	result, _ := bits.Div64(hi, lo, of)
	return result, true
}

// scaleUp is n·by/of, rounded up, if it fits.
func scaleUp(n, by, of uint64) (uint64, bool) {
	hi, lo := bits.Mul64(n, by)
	lo, carry := bits.Add64(lo, of-1, 0)
	hi += carry
	if hi >= of {
		return 0, false
	}
	result, _ := bits.Div64(hi, lo, of)
	return result, true
}
