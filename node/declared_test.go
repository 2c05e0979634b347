package node

import (
	"context"
	"errors"
	"strings"
	"testing"

	"daulat/compute/executor/inference"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/data/blob"
	"daulat/ledger/client"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
)

// record is a ledger that holds artifacts and offers.
type record struct {
	artifacts map[canon.CID][]byte
	offers    []match.Offer
	asked     int // for an artifact
}

func (r *record) Artifact(_ context.Context, id canon.CID) ([]byte, error) {
	r.asked++
	data, ok := r.artifacts[id]
	if !ok {
		return nil, client.ErrNotFound
	}
	return data, nil
}

func (r *record) Artifacts(context.Context) (all []client.Artifact, err error) {
	for id, data := range r.artifacts {
		if d, err := artifact.DecodeDeclaration(data); err == nil {
			all = append(all, client.Artifact{ID: id, Name: d.Name})
		}
	}
	return all, nil
}

func (r *record) Offers(context.Context, canon.CID) ([]match.Offer, error) { return r.offers, nil }

func (r *record) Addresses(context.Context, string) ([]string, error) { return nil, nil }

// declare puts a model on record, and on offer so many times.
func (r *record) declare(t *testing.T, name, digest string, offers int) canon.CID {
	t.Helper()
	data, id, err := artifact.Declaration{Version: canon.Version, Name: name, Digest: digest}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if r.artifacts == nil {
		r.artifacts = map[canon.CID][]byte{}
	}
	r.artifacts[id] = data
	for range offers {
		r.offers = append(r.offers, match.Offer{Model: id, Executor: job.Upstream, Slots: 1})
	}
	return id
}

func newStore(t *testing.T) *blob.Store {
	t.Helper()
	store, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestDeclaredModelsAreFoundByName(t *testing.T) {
	r := &record{}
	one, idle := r.declare(t, "llama3.2:latest", "", 2), r.declare(t, "idle", "", 0)
	a, b := r.declare(t, "twice", strings.Repeat("0a", 32), 1), r.declare(t, "twice", "", 1)
	r.declare(t, "Smo1LM2-135M-Instruct", "", 1) // looks like the default model's name
	r.artifacts[declaredID(t, "forged")] = r.artifacts[one]
	r.offers = append(r.offers, match.Offer{Model: declaredID(t, "forged")}, match.Offer{Model: declaredID(t, "lost")})
	c := newCatalogue(newStore(t), r)
	for name, want := range map[string]canon.CID{"llama3.2:latest": one, "LLAMA3.2:latest": one, "idle": idle, a.String(): a, b.String(): b} {
		e, err := c.find(t.Context(), name)
		if err != nil || e.ID != want || label(e) != DeclaredLabel {
			t.Errorf("%s is %+v, %v", name, e, err)
		}
	}
	for name, why := range map[string]string{
		"twice": "2 models", "unknown": "no such model", "Smo1LM2-135M-Instruct": "belongs to another", declaredID(t, "lost").String(): "not on the ledger",
		declaredID(t, "forged").String(): "declaration", DefaultModelID.String(): "no such model",
	} {
		if e, err := c.find(t.Context(), name); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s is %+v, %v", name, e, err)
		}
	}
	offered, err := c.offered(t.Context())
	if err != nil || len(offered) != 3 || offered[0].Name != "llama3.2:latest" || offered[1].Name != "twice" {
		t.Errorf("on offer are %+v, %v", offered, err)
	}
	// What a name stands for is remembered for a while, and what was not found is not.
	r.offers = nil
	if e, err := c.find(t.Context(), "llama3.2:latest"); err != nil || e.ID != one {
		t.Errorf("%+v, %v", e, err)
	}
	late := r.declare(t, "unknown", "", 1)
	if e, err := c.find(t.Context(), "unknown"); err != nil || e.ID != late {
		t.Errorf("%+v, %v", e, err)
	}
	before := r.asked
	if _, err := c.entry(t.Context(), one); err != nil || r.asked != before || declared(c.store, one).Name != "llama3.2:latest" {
		t.Errorf("a declaration that is here was asked for: %v", err)
	}
	if name := declared(c.store, DefaultModelID).Name; name != "" {
		t.Errorf("a manifest is declared as %s", name)
	}
}

func declaredID(t *testing.T, name string) canon.CID {
	t.Helper()
	_, id, err := artifact.Declaration{Version: canon.Version, Name: name}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A declared model passes for none that can be fetched, loaded or described.
func TestDeclaredIsNoManifest(t *testing.T) {
	r := &record{}
	id := r.declare(t, "small", "", 1)
	home, err := OpenHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	shelf, err := OpenShelf(home, newStore(t), func(context.Context, canon.CID) error {
		t.Error("it was fetched")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shelf.store.PutBytes(canon.Raw, r.artifacts[id]); err != nil {
		t.Fatal(err)
	}
	source := modelSource{shelf: shelf, ledger: r}
	for what, do := range map[string]func() error{
		"obtained":          func() error { return source.obtain(t.Context(), id) },
		"pulled":            func() error { _, err := source.pull(t.Context(), id.String()); return err },
		"shown as manifest": func() error { _, err := shelf.ManifestBytes(t.Context(), id); return err },
		"read for words":    func() error { _, err := shelf.Text(t.Context(), id); return err },
	} {
		if err := do(); !errors.Is(err, inference.ErrDeclared) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := source.pull(t.Context(), "small"); !errors.Is(err, ErrNoModel) {
		t.Errorf("pulled by name: %v", err)
	}
	for declared, want := range map[bool]string{true: id.String(), false: DefaultModelID.String()} {
		if got, err := source.commonest(t.Context(), declared); err != nil || got != want {
			t.Errorf("the commonest is %s, %v", got, err)
		}
	}
}

// Money is set aside for an answer of common size, and for a larger one more.
func TestDeclaredTerms(t *testing.T) {
	id := declaredID(t, "small")
	const usual = 2*declaredContext + 10*declaredContext
	for _, c := range []struct {
		chat   int
		step   uint64
		escrow uint64
	}{{100, usual, sessionSteps * usual}, {150_000, 2*(150_000+256) + 10*256, sessionSteps * usual}, {1_000_000, 2*(1_000_000+256) + 10*256, 2 * (2*(1_000_000+256) + 10*256)}} {
		p := consumer.Prompt{Chat: strings.Repeat("x", c.chat), Params: receipt.Params{MaxTokens: 256}}
		terms, err := declaredTerms(id, p)
		if err != nil || terms.Validate() != nil || terms.Step != c.step || terms.Escrow != c.escrow {
			t.Errorf("%d bytes: %+v, %v", c.chat, terms, errors.Join(err, terms.Validate()))
		}
	}
}

// What a declared model can't be asked is refused in the words of the API, before
// any session.
func TestDeclaredRefusals(t *testing.T) {
	e := ModelEntry{Name: "small", ID: declaredID(t, "small")}
	const chat = `{"messages":[{"content":"x","role":"user"}]}`
	for name, c := range map[string]struct {
		prompt gateway.Prompt
		why    string
	}{
		"a text completion":  {gateway.Prompt{Text: "x", TopP: 1}, "chat completions"},
		"log-probabilities":  {gateway.Prompt{Whole: chat, TopP: 1, Logprobs: 1}, "log-probabilities"},
		"a long answer":      {gateway.Prompt{Whole: chat, TopP: 1, MaxTokens: receipt.MaxAnswer + 1}, "max_tokens"},
		"an image elsewhere": {gateway.Prompt{Whole: `{"messages":[{"content":[{"image_url":{"url":"http://10.0.0.1/"},"type":"image_url"}],"role":"user"}]}`, TopP: 1}, "data: URL"},
	} {
		_, err := backend{}.answerDeclared(t.Context(), e, c.prompt, nil, nil)
		var refused gateway.ErrPrompt
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who asked for a model that is not there hears of a few that are.
func TestOthersOnOffer(t *testing.T) {
	for want, names := range map[string][]string{
		", where nobody offers a model now":             nil,
		", where these are on offer: a, b":              {"b", "a", "b"},
		", where these are on offer: a, b, c, d, e":     {"e", "d", "c", "b", "a"},
		", where a, b, c, d, e and 2 more are on offer": {"g", "f", "e", "d", "c", "b", "a"},
	} {
		if got := onOffer(names); got != want {
			t.Errorf("%q: %q, want %q", names, got, want)
		}
	}
}
