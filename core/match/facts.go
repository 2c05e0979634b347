package match

// Facts are what one home measured of a provider, by itself, and how fast it was with
// the model in question. Nobody can buy them.
type Facts struct {
	Served  uint64 `json:"served"`     // answers that came
	Failed  uint64 `json:"failed"`     // answers that did not, or too slowly, or that were lies
	Latency uint64 `json:"latency_ms"` // milliseconds to connect; 0: not measured
	Pace    `json:"-"`
}

// Pace is how fast a provider answered with one model: it says nothing of another,
// which may be a thousand times larger.
type Pace struct {
	Answers uint64 `json:"answers"`           // that were measured, of late
	First   uint64 `json:"first_token_ms"`    // milliseconds to the first token; 0: not measured
	Speed   uint64 `json:"tokens_per_1000_s"` // tokens per 1,000 seconds after that; 0: not measured
}

// maxTrials is how many answers Facts and Pace remember: with more of them, all that was
// before counts half.
const maxTrials = 64

// smooth is the weight of the newest measurement: one part in so many.
const smooth = 4

// Answered are the facts after an answer that took first milliseconds to its first
// of tokens and rest milliseconds more to its last.
func (f Facts) Answered(first, rest, tokens uint64) Facts {
	f = f.room()
	f.Served++
	f.Pace = f.Pace.answered(first, rest, tokens)
	return f
}

func (p Pace) answered(first, rest, tokens uint64) Pace {
	p.Answers = min(p.Answers, maxTrials-1) + 1
	p.First = blend(p.First, max(1, first))
	if tokens > 1 {
		p.Speed = blend(p.Speed, max(1, mulDiv(tokens-1, 1_000_000, max(1, rest))))
	}
	return p
}

// Broke are the facts after an answer that did not come.
func (f Facts) Broke() Facts {
	f = f.room()
	f.Failed++
	return f
}

// Reached are the facts after connecting took so many milliseconds.
func (f Facts) Reached(latency uint64) Facts {
	f.Latency = blend(f.Latency, max(1, latency))
	return f
}

// Aged are the facts after so many days in which nothing was added: failures count
// half as much after each, as machines are mended, and what was served stays.
func (f Facts) Aged(days uint64) Facts {
	f.Failed >>= min(days, 63)
	return f
}

func (f Facts) room() Facts {
	if f.Served+f.Failed >= maxTrials {
		f.Served, f.Failed = f.Served/2, (f.Failed+1)/2
	}
	return f
}

// blend moves an average towards a new value, and always by something.
func blend(old, v uint64) uint64 {
	switch {
	case old == 0:
		return v
	case v > old:
		return old + (v-old+smooth-1)/smooth
	}
	return old - (old-v+smooth-1)/smooth
}
