package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"daulat/bench/report"
	"daulat/compute/executor/inference"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/model/chat"
	"daulat/model/gguf"
	"daulat/model/text"
)

// questions ask for long answers.
var questions = []string{
	"Write a long story about a fisherman who finds an island that is on no map, and tell what he does there from morning to night.",
	"Explain in detail how a bill becomes law in a parliament with two chambers, and why some take years while others take days.",
	"Describe the way of a letter from the writer's desk to the reader's hand in the year 1850, with every person who touches it.",
	"Tell me everything about growing rice on terraces: the water, the seasons, the work of each month and what can go wrong.",
	"Compare sailing ships and steam ships in the nineteenth century, and explain which trades kept to sails the longest and why.",
	"Write a dialogue between an old clockmaker and an apprentice who wants to build a clock that runs for a hundred years.",
	"Explain to a ten-year-old why the moon looks different each night, with an experiment that can be done at the kitchen table.",
	"Describe a market in a harbour town at dawn: the smells, the voices, the goods, the quarrels and the weather.",
	"Tell the life of a river from its spring to the sea, and of those who live on its banks and quarrel over its water.",
	"Explain how bread is made, from the field to the table, and what each step changes in the grain, the flour and the dough.",
	"Write a letter from a lighthouse keeper to a sister whom the keeper has not seen for twenty years.",
	"Explain what a central bank does in a year of high prices, which of its means work slowly, and who feels them first.",
	"Describe how a wooden boat is built without drawings, by people who learned it from their parents.",
	"Tell what happens in the body of a runner during the first, the twentieth and the last kilometre of a marathon.",
	"Write the minutes of a village meeting about a bridge that half of the village wants and the other half fears.",
	"Explain how vaccines are tested before anybody may use them, and why each of the phases needs other people.",
	"Describe the sky over one night, hour by hour, for somebody who has never lived far from a city.",
	"Compare the ways in which bees, ants and people decide where to live, and say what each of them does when they disagree.",
	"Write a story about a map that changes each time it is folded, and about the three people who owned it.",
	"Explain how a piano makes its sound, from the finger to the ear, and why two pianos never sound the same.",
}

// here measures in this process and prints the speed as JSON.
func here(line string) error {
	var t task
	if err := json.Unmarshal([]byte(line), &t); err != nil {
		return err
	}
	s, err := t.run(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

func (t task) run(ctx context.Context) (s speed, err error) {
	f, err := gguf.Open(t.Path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	words, err := text.FromGGUF(f)
	if err != nil {
		return s, err
	}
	described, err := inference.DescribeGGUF(f)
	if err != nil {
		return s, err
	}
	m, err := inference.Native{Threads: t.Threads}.Load(ctx, artifact.Manifest{Version: canon.Version, Name: "bench", Model: described}, t.Path)
	if err != nil {
		return s, err
	}
	defer m.Close()
	peer, err := t.startPeer(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, peer.stop()) }()
	var all []speed
	for _, q := range questions[:t.Prompts] {
		tokens, err := words.Chat([]chat.Message{{Role: "user", Content: q}})
		if err != nil {
			return s, err
		}
		one, err := t.one(ctx, m, tokens)
		if err != nil {
			return s, err
		}
		if err := peer.answer(tokens, t.Tokens, &one); err != nil {
			return s, err
		}
		all = append(all, one)
	}
	return medians(all), nil
}

func medians(all []speed) speed {
	of := func(field func(speed) float64) float64 {
		var values []float64
		for _, s := range all {
			values = append(values, field(s))
		}
		return report.Median(values)
	}
	return speed{
		Prefill:      of(func(s speed) float64 { return s.Prefill }),
		Decode:       of(func(s speed) float64 { return s.Decode }),
		Verify:       of(func(s speed) float64 { return s.Verify }),
		PeerPrefill:  of(func(s speed) float64 { return s.PeerPrefill }),
		PeerDecode:   of(func(s speed) float64 { return s.PeerDecode }),
		PrefillRatio: of(func(s speed) float64 { return s.PrefillRatio }),
		DecodeRatio:  of(func(s speed) float64 { return s.DecodeRatio }),
	}
}

// tries bounds how often an answer may end too early.
const tries = 20

// one answers a prompt and checks the answer; short answers don't count.
func (t task) one(ctx context.Context, m inference.Model, tokens []uint32) (s speed, err error) {
	r := receipt.Request{Version: canon.Version, Key: canon.PublicKey{1}, Counter: 1, Model: canon.NewCID(canon.DagCBOR, canon.Hash{1}),
		Tokens: tokens, Params: receipt.Params{MaxTokens: uint64(t.Tokens), Temperature: 1 << 16, TopP: 950_000}}
	for range tries {
		rand.Read(r.Seed[:])
		var first time.Duration
		began := time.Now()
		a, err := m.Generate(ctx, r, func(receipt.Token) error {
			if first == 0 {
				first = time.Since(began)
			}
			return nil
		})
		all := time.Since(began)
		if err != nil {
			return s, err
		}
		if len(a.Tokens) < t.Tokens {
			continue
		}
		began = time.Now()
		v, err := m.Replay(ctx, r, a)
		check := time.Since(began)
		if err != nil {
			return s, err
		}
		if v.Outcome != verify.Agree {
			return s, fmt.Errorf("the check of an honest answer says: %s", v)
		}
		return speed{Prefill: perSecond(len(tokens), first), Decode: perSecond(len(a.Tokens)-1, all-first),
			Verify: check.Seconds() / all.Seconds()}, nil
	}
	return s, fmt.Errorf("no answer of %d tokens in %d tries", t.Tokens, tries)
}
