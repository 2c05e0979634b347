package consumer

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"daulat/core/canon"
	"daulat/core/match"
)

// Memory is what a client knows of providers from its own experience.
type Memory struct {
	Sessions  uint64                `json:"sessions"`  // opened
	Newcomers uint64                `json:"newcomers"` // of them with providers that had no history, in their turn
	Requests  uint64                `json:"requests"`  // put to providers, as these are numbered
	Providers map[string]Remembered `json:"providers"`
}

// Remembered is what a client knows of one provider, whatever it asked it for, and of
// each model that it answered with. Speeds that stand beside a provider, as older
// programs kept them, are of nobody knows which model, and are not read.
type Remembered struct {
	match.Facts
	Models  map[string]Measured `json:"models,omitempty"`  // by the model's ID
	Asked   uint64              `json:"asked,omitempty"`   // number of the last request put to it; 0: none
	Seen    int64               `json:"seen"`              // when something was added last, Unix seconds
	Shunned int64               `json:"shunned,omitempty"` // until when it gets no orders, Unix seconds
	Lied    bool                `json:"lied,omitempty"`    // why
}

// Measured is how fast a provider answered with one model.
type Measured struct {
	match.Pace
	Seen int64 `json:"seen"` // when it did last, Unix seconds
}

// Keeper keeps a client's memory over a restart. What a crash loses of it is
// measured anew.
type Keeper interface {
	Load() (Memory, error)
	Save(Memory) error
}

const (
	maxRemembered = 512 // providers; the one that was heard of longest ago is forgotten first,
	maxMeasured   = 8   // and so is a provider's model
	day           = 24 * 60 * 60
)

// memory is a client's Memory at work. It is safe for concurrent use.
type memory struct {
	keeper Keeper
	log    *slog.Logger
	mu     sync.Mutex
	kept   Memory
	there  map[string]time.Time // when a provider was reached last; monotonic
	// curious says that the next session is a newcomer's, whatever their share.
	curious bool
	dirty   bool
}

func newMemory(k Keeper, log *slog.Logger) *memory {
	return &memory{keeper: k, log: log, kept: Memory{Providers: map[string]Remembered{}}, there: map[string]time.Time{}}
}

// load takes up what an earlier run kept, and returns those that it shunned.
func (m *memory) load(now time.Time) (map[string]shun, error) {
	if m.keeper == nil {
		return nil, nil
	}
	kept, err := m.keeper.Load()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept = kept; m.kept.Providers == nil {
		m.kept.Providers = map[string]Remembered{}
	}
	for provider, r := range m.kept.Providers {
		r.Models = newest(r.Models, maxMeasured, Measured.seen)
		m.kept.Providers[provider] = r
	}
	m.bound()
	shunned := map[string]shun{}
	for provider, r := range m.kept.Providers {
		span := shunFailed
		if r.Lied {
			span = shunLied
		}
		// The clock may have been set meanwhile: no longer than it was meant to be.
		if left := min(time.Unix(r.Shunned, 0).Sub(now), span); left > 0 {
			shunned[provider] = shun{until: now.Add(left), lied: r.Lied}
		}
	}
	return shunned, nil
}

// of returns the facts about a provider as they count now, for a model.
func (m *memory) of(provider string, model canon.CID, now time.Time) match.Facts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept.Providers[provider].facts(model, now)
}

// note adds to the facts about a provider, which are of no model.
func (m *memory) note(provider string, change func(match.Facts) match.Facts) {
	m.noted(provider, canon.CID{}, change)
}

// noted adds to the facts about a provider that answered with a model.
func (m *memory) noted(provider string, model canon.CID, change func(match.Facts) match.Facts) {
	now := time.Now()
	m.update(provider, func(r *Remembered) {
		r.Facts = change(r.facts(model, now))
		r.Seen = now.Unix()
		r.measure(model, Measured{r.Pace, r.Seen})
	})
}

// facts are those about the provider as they count now, for a model.
func (r Remembered) facts(model canon.CID, now time.Time) match.Facts {
	f := r.Aged(uint64(max(0, now.Unix()-r.Seen)) / day)
	f.Pace = r.Models[model.String()].Pace
	return f
}

// measure keeps what was measured of a model, if anything was. Models is replaced and
// not changed, as whoever keeps the memory has it too.
func (r *Remembered) measure(model canon.CID, m Measured) {
	r.Pace = match.Pace{}
	if m.Answers == 0 {
		return
	}
	r.Models = maps.Clone(r.Models)
	if r.Models == nil {
		r.Models = map[string]Measured{}
	}
	r.Models[model.String()] = m
	r.Models = newest(r.Models, maxMeasured, Measured.seen)
}

// asked numbers a request that is put to a provider.
func (m *memory) asked(provider string) {
	m.note(provider, func(f match.Facts) match.Facts { return f })
	m.update(provider, func(r *Remembered) {
		m.kept.Requests++
		r.Asked = m.kept.Requests
	})
}

// last is the number of the last request that was put to a provider, 0 for none.
func (m *memory) last(provider string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept.Providers[provider].Asked
}

// shun notes that a provider gets no orders for a while.
func (m *memory) shun(provider string, s shun) {
	m.update(provider, func(r *Remembered) { r.Shunned, r.Lied = time.Now().Add(time.Until(s.until)).Unix(), s.lied })
}

func (m *memory) update(provider string, change func(*Remembered)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.kept.Providers[provider]
	change(&r)
	m.kept.Providers[provider] = r
	m.bound()
	m.dirty = true
}

// bound forgets the providers that were heard of longest ago.
func (m *memory) bound() {
	m.kept.Providers = newest(m.kept.Providers, maxRemembered, Remembered.seen)
	maps.DeleteFunc(m.there, func(provider string, _ time.Time) bool {
		_, known := m.kept.Providers[provider]
		return !known
	})
}

func (r Remembered) seen() int64 { return r.Seen }
func (m Measured) seen() int64   { return m.Seen }

// newest is all, less what was seen longest ago as far as that is more than most.
func newest[T any](all map[string]T, most int, seen func(T) int64) map[string]T {
	for len(all) > most {
		delete(all, slices.MinFunc(slices.Collect(maps.Keys(all)), func(a, b string) int {
			return cmp.Or(cmp.Compare(seen(all[a]), seen(all[b])), cmp.Compare(a, b))
		}))
	}
	return all
}

// opened counts a session.
func (m *memory) opened(newcomer bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept.Sessions++
	if newcomer {
		m.kept.Newcomers++
		m.curious = false
	}
	m.dirty = true
}

func (m *memory) saw(provider string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.there[provider] = time.Now()
}

// lost says that a provider has to be reached again before it counts as there.
func (m *memory) lost(provider string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.there, provider)
}

func (m *memory) reached(provider string, span time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.there[provider]
	return ok && time.Since(at) < span
}

// forgive forgets failures and has an unknown provider be asked next.
func (m *memory) forgive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for provider, r := range m.kept.Providers {
		r.Failed = 0
		m.kept.Providers[provider] = r
	}
	m.curious, m.dirty = true, true
}

// save writes what has changed since it was last saved.
func (m *memory) save() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keeper == nil || !m.dirty {
		return nil
	}
	m.dirty = false
	kept := m.kept
	kept.Providers = maps.Clone(kept.Providers)
	return m.keeper.Save(kept)
}
