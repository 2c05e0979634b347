package worth

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"daulat/core/job"
)

// speed answers 256 + 128 tokens in 2.56 + 8 seconds: 8,181.8 requests a day.
var speed = Speed{Prefill: 100_000, Decode: 16_000}

var price = job.Price{Input: 200, Output: 1000} // 52 + 128: 179.2, so 180 udlt a request

func show(d Day) string {
	text := fmt.Sprintf("pay %d", d.Pay)
	if d.WattHours != nil {
		text += fmt.Sprintf(" Wh %d", *d.WattHours)
	}
	if d.Electricity != nil {
		text += fmt.Sprintf(" cost %d result %d", *d.Electricity, *d.Result)
	}
	return text
}

func TestEstimate(t *testing.T) {
	udlt := func(n uint64) *uint64 { return &n }
	use := Use{Seconds: 6 * 3600, Sessions: 40, Paid: 400_000, Providers: 1, Slots: 8}
	for name, c := range map[string]struct {
		q             Question
		full, present string
	}{
		"nothing known of power":     {Question{Use: use, Slots: 8}, "pay 1472727", "pay 800000"},
		"power without its price":    {Question{Use: use, Slots: 8, Milliwatts: 65_000}, "pay 1472727 Wh 1560", "pay 800000 Wh 848"},
		"power and price":            {Question{Use: use, Slots: 8, Milliwatts: 65_000, PerKWh: udlt(250_000)}, "pay 1472727 Wh 1560 cost 390000 result 1082727", "pay 800000 Wh 848 cost 212000 result 588000"},
		"it costs more than it pays": {Question{Use: use, Slots: 8, Milliwatts: 300_000, PerKWh: udlt(1_000_000)}, "pay 1472727 Wh 7200 cost 7200000 result -5727273", "pay 800000 Wh 3912 cost 3912000 result -3112000"},
		"electricity for nothing":    {Question{Use: use, Slots: 8, Milliwatts: 65_000, PerKWh: udlt(0)}, "pay 1472727 Wh 1560 cost 0 result 1472727", "pay 800000 Wh 848 cost 0 result 800000"},
		"idle network":               {Question{Use: Use{Seconds: 3600, Slots: 8}, Slots: 8, Milliwatts: 65_000, PerKWh: udlt(1)}, "pay 1472727 Wh 1560 cost 2 result 1472725", "pay 0 Wh 0 cost 0 result 0"},
		"nobody is there":            {Question{Slots: 8}, "pay 1472727", "pay 0"},
		"fewer slots, less pay":      {Question{Use: use, Slots: 2}, "pay 1472727", "pay 320000"},
		"more than it can do":        {Question{Use: Use{Seconds: 3600, Paid: 1 << 40}, Slots: 8}, "pay 1472727", "pay 1472727"},
		"dust":                       {Question{Use: Use{Seconds: 86400, Paid: 1, Slots: 1}, Slots: 1}, "pay 1472727", "pay 0"},
	} {
		t.Run(name, func(t *testing.T) {
			c.q.Speed, c.q.Price = speed, price
			o, err := Estimate(c.q)
			if err != nil || o.PerRequest != 180 || o.RequestMicro != 10_560_000 {
				t.Fatalf("%+v, %v", o, err)
			}
			if full, present := show(o.Full), show(o.Present); full != c.full || present != c.present {
				t.Errorf("full use: %s\nwant:     %s\npresent:  %s\nwant:     %s", full, c.full, present, c.present)
			}
		})
	}
}

func TestEstimateRefuses(t *testing.T) {
	most := uint64(math.MaxUint64)
	for name, c := range map[string]struct {
		q    Question
		want error
	}{
		"no prefill":       {Question{Speed: Speed{Decode: 1}}, ErrNoSpeed},
		"no decode":        {Question{Speed: Speed{Prefill: 1}}, ErrNoSpeed},
		"price":            {Question{Speed: speed, Price: job.Price{Input: most, Output: most}}, ErrOverflow},
		"pay":              {Question{Speed: Speed{Prefill: most, Decode: most}, Price: job.Price{Output: 1e15}}, ErrOverflow},
		"pay of others":    {Question{Speed: speed, Price: price, Slots: 1, Use: Use{Seconds: 1, Paid: most}}, ErrOverflow},
		"cost":             {Question{Speed: speed, Price: price, Milliwatts: 1 << 50, PerKWh: &most}, ErrOverflow},
		"cost beyond sign": {Question{Speed: speed, Price: price, Milliwatts: 1_000_000_000, PerKWh: udltBeyondSign()}, ErrOverflow},
		"watts":            {Question{Speed: speed, Price: price, Milliwatts: most}, nil}, // 24 h of it still fit
	} {
		if _, err := Estimate(c.q); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// udltBeyondSign costs 24,000 kWh a day more than 63 bits hold, and fits 64.
func udltBeyondSign() *uint64 {
	n := uint64(1<<63/24_000 + 1)
	return &n
}

// TestEstimateHolds: whatever is asked, the network's present use never pays or
// costs more than full use, and the result is pay minus cost.
func TestEstimateHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	upTo := func(bits int) uint64 { return random.Uint64() >> (64 - random.IntN(bits) - 1) }
	sound := 0
	for range 20_000 {
		perKWh := upTo(40)
		q := Question{Speed: Speed{Prefill: upTo(40), Decode: upTo(40)}, Price: job.Price{Input: upTo(40), Output: upTo(40)}, Slots: upTo(11),
			Use: Use{Seconds: upTo(20), Paid: upTo(60), Slots: upTo(20)}, Milliwatts: 1 + upTo(30), PerKWh: &perKWh}
		o, err := Estimate(q)
		if err != nil {
			continue
		}
		sound++
		for _, d := range []Day{o.Full, o.Present} {
			if *d.Result != int64(d.Pay)-int64(*d.Electricity) || d.Pay > o.Full.Pay || *d.WattHours > *o.Full.WattHours || *d.Electricity > *o.Full.Electricity {
				t.Fatalf("%+v: %s and %s", q, show(o.Full), show(o.Present))
			}
		}
	}
	if sound < 10_000 {
		t.Errorf("only %d of the questions had an answer", sound)
	}
}
