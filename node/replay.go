package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"daulat/compute/executor/inference"
	"daulat/core/artifact"
	"daulat/core/verify"
	"daulat/model/replay"
	"daulat/ui/control"
)

// replaying is how the answer of a declared model is replayed.
type replaying struct {
	with   string
	forced inference.Forced
}

// errReplayed is a replay of what is run again in another way.
var errReplayed = control.WrongInput{Err: errors.New("this receipt's model has a manifest, so it is run again bit by bit: leave out --replay")}

// openReplay opens all that is to read an answer again.
func openReplay(ctx context.Context, o control.VerifyOptions, shelf *Shelf, say control.Progress) (*replaying, error) {
	for _, kind := range slices.Sorted(maps.Keys(o.Against)) {
		if !slices.Contains(replay.Given, replay.Kind(kind)) {
			return nil, control.WrongInput{Err: fmt.Errorf("a replay against %q can't be given: only %s can", kind, given())}
		}
	}
	r := &replaying{with: o.Replay, forced: inference.Forced{Against: map[replay.Kind]inference.Teacher{}}}
	var err error
	if r.forced.Reference, err = openTeacher(ctx, shelf, o.Replay, o.ReplayKey, say); err != nil {
		return nil, err
	}
	for _, kind := range slices.Sorted(maps.Keys(o.Against)) {
		if r.forced.Against[replay.Kind(kind)], err = openTeacher(ctx, shelf, o.Against[kind], o.ReplayKey, say); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func given() string {
	names := make([]string, len(replay.Given))
	for i, kind := range replay.Given {
		names[i] = string(kind)
	}
	return strings.Join(names, ", ")
}

// openTeacher finds a server, a file, or a model of the home.
func openTeacher(ctx context.Context, shelf *Shelf, where, key string, say control.Progress) (inference.Teacher, error) {
	if isURL(where) {
		say("reaching " + where)
		return inference.OpenServed(ctx, where, key)
	}
	path := where
	if e, err := shelf.Find(where); err == nil {
		m, err := shelf.Manifest(ctx, e.ID)
		if err != nil {
			return nil, err
		}
		weights, _ := m.Part(artifact.Weights)
		if path, err = shelf.File(ctx, weights); err != nil {
			return nil, err
		}
	} else if _, err := os.Stat(where); err != nil {
		return nil, control.WrongInput{Err: fmt.Errorf("%s is no GGUF file, no model of this home and no address of a server", where)}
	}
	say("loading " + where)
	return inference.OpenTeacher(path)
}

// replayed adds what a replay found to the report on a declared model's answer. It never says that the model gave it.
func (p *replaying) replayed(ctx context.Context, r control.Report, b verify.Bundle, say control.Progress) (control.Report, error) {
	result, reason, err := p.forced.Judge(ctx, b.Transcript.Request, b.Transcript.Answer, say)
	if err != nil {
		return control.Report{}, err
	}
	outcome := replay.Inconclusive
	if reason == "" {
		outcome, reason = result.Outcome()
		r.Replay = p.table(result)
	}
	const alone = "it is a statistical statement by this home alone, and the answer stays unaudited"
	r.Verdict = string(outcome)
	last := &r.Steps[len(r.Steps)-1]
	last.Name = "replay"
	switch outcome {
	case replay.Disagree:
		last.Detail = fmt.Sprintf("the answer does not fit %s", p.with)
		r.Line = fmt.Sprintf("disagree: the answer does not fit %s; an honest one of %s would be said not to in at most 1 of %.0f cases; it is a statistical statement by this home alone",
			p.with, r.Model, 1/replay.FalseAlarm)
	case replay.Consistent:
		last.Detail = fmt.Sprintf("the answer fits %s, and none of five others", p.with)
		r.Line = fmt.Sprintf("consistent: the answer fits %s, and each of five others would have been seen in at least %.0f of 100 cases; %s", p.with, 100*replay.MinPower, alone)
	default:
		last.Detail = "the replay could not decide"
		r.Line = fmt.Sprintf("inconclusive: %s; %s", reason, alone)
	}
	return r, nil
}

func (p *replaying) table(result replay.Result) *control.Replay {
	t := &control.Replay{With: p.with, Tokens: result.Tokens, FalseAlarm: replay.FalseAlarm}
	for _, test := range result.Tests {
		row := control.ReplayTest{Against: string(test.Kind), Statistic: test.Statistic, Threshold: test.Threshold}
		if test.Measured {
			row.Power = &test.Power
		}
		t.Tests = append(t.Tests, row)
	}
	return t
}
