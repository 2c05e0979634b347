package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

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

// DeclaredLabel goes with every model that is only declared, with its answers and
// with their receipts.
const DeclaredLabel = "unaudited (A0, declared): nobody can check that this model gave it"

// declaredContext is the context that a declared model is taken to have, in
// tokens, when money is set aside for its answers; a longer request sets aside more.
const declaredContext = 8192

// declaredRecord is what a ledger says of declared models.
type declaredRecord interface {
	Artifact(ctx context.Context, id canon.CID) ([]byte, error)
	Artifacts(ctx context.Context) ([]client.Artifact, error)
	Offers(ctx context.Context, model canon.CID) ([]match.Offer, error)
}

// catalogue knows declared models by what the ledger holds of them. It is safe
// for concurrent use.
type catalogue struct {
	store  *blob.Store
	ledger declaredRecord

	mu    sync.Mutex
	names map[string]named
}

// named is what a name stood for when the ledger was asked.
type named struct {
	entry ModelEntry
	until time.Time
}

// namedFor is how long a name is not looked up again: a warm session asks no ledger.
const namedFor = time.Minute

func newCatalogue(store *blob.Store, ledger declaredRecord) *catalogue {
	return &catalogue{store: store, ledger: ledger, names: map[string]named{}}
}

// bytes returns the declaration that has the name, from the home or the ledger.
func (c *catalogue) bytes(ctx context.Context, id canon.CID) ([]byte, error) {
	if data, ok := declaration(c.store, id); ok {
		return data, nil
	}
	data, err := c.ledger.Artifact(ctx, id)
	if err != nil {
		return nil, err
	}
	if _, err := artifact.DecodeDeclarationAs(id, data); err != nil {
		return nil, err
	}
	_, err = c.store.PutBytes(canon.Raw, data)
	return data, err
}

// declaration is the one that lies in the home.
func declaration(store *blob.Store, id canon.CID) ([]byte, bool) {
	if !artifact.IsDeclared(id) || !store.Has(id) {
		return nil, false
	}
	data, err := store.Bytes(id, artifact.MaxManifest)
	return data, err == nil
}

// declared is what a declared model that the home has met is called; empty for others.
func declared(store *blob.Store, id canon.CID) artifact.Declaration {
	data, _ := declaration(store, id)
	d, err := artifact.DecodeDeclarationAs(id, data)
	if err != nil {
		return artifact.Declaration{}
	}
	return d
}

func (c *catalogue) entry(ctx context.Context, id canon.CID) (ModelEntry, error) {
	data, err := c.bytes(ctx, id)
	if err != nil {
		return ModelEntry{}, err
	}
	d, err := artifact.DecodeDeclarationAs(id, data)
	if err != nil {
		return ModelEntry{}, err
	}
	return ModelEntry{Name: d.Name, ID: id}, genuine(d.Name, id)
}

// offered are the declared models on offer, by name. One that can't be read, or
// has another model's name, is nobody's loss.
func (c *catalogue) offered(ctx context.Context) ([]ModelEntry, error) {
	offers, err := c.ledger.Offers(ctx, canon.CID{})
	if err != nil {
		return nil, err
	}
	var all []ModelEntry
	for _, o := range offers {
		if !artifact.IsDeclared(o.Model) || slices.ContainsFunc(all, func(e ModelEntry) bool { return e.ID == o.Model }) {
			continue
		}
		if e, err := c.entry(ctx, o.Model); err == nil {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b ModelEntry) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID.String(), b.ID.String()))
	})
	return all, nil
}

// find returns the declared model of a name or an ID: one that is on offer, or
// else one on record, so that an order can say why it gets none.
func (c *catalogue) find(ctx context.Context, name string) (ModelEntry, error) {
	c.mu.Lock()
	known := c.names[name]
	c.mu.Unlock()
	if time.Now().Before(known.until) {
		return known.entry, nil
	}
	e, err := c.look(ctx, name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if delete(c.names, name); err == nil && len(c.names) < maxNames {
		c.names[name] = named{e, time.Now().Add(namedFor)}
	}
	return e, err
}

// maxNames bounds the names that are remembered.
const maxNames = 1024

func (c *catalogue) look(ctx context.Context, name string) (ModelEntry, error) {
	if id, err := canon.ParseCID(name); err == nil {
		if !artifact.IsDeclared(id) {
			return ModelEntry{}, fmt.Errorf("%w: %q", ErrNoModel, name)
		}
		return c.entry(ctx, id)
	}
	all, err := c.offered(ctx)
	if err != nil {
		return ModelEntry{}, err
	}
	all = slices.DeleteFunc(all, func(e ModelEntry) bool { return !strings.EqualFold(e.Name, name) })
	if len(all) == 0 {
		if all, err = c.recorded(ctx, name); err != nil {
			return ModelEntry{}, err
		}
	}
	switch len(all) {
	case 0:
		return ModelEntry{}, fmt.Errorf("%w: %q, neither in this home nor declared on the network%s", ErrNoModel, name, c.others(ctx))
	case 1:
		return c.entry(ctx, all[0].ID)
	}
	var ids []string
	for _, e := range all {
		ids = append(ids, e.ID.String())
	}
	return ModelEntry{}, fmt.Errorf("%w: %d models are declared as %q on the network, so name one by its ID: %s", ErrNoModel, len(all), name, strings.Join(ids, " "))
}

// maxOthers is how many models a person is told of who asked for none of them.
const maxOthers = 5

// others says which models are on offer, as far as that can be had.
func (c *catalogue) others(ctx context.Context) string {
	offers, err := c.ledger.Offers(ctx, canon.CID{})
	if err != nil {
		return ""
	}
	artifacts, err := c.ledger.Artifacts(ctx)
	if err != nil {
		return ""
	}
	var names []string
	for _, a := range artifacts {
		offered := slices.ContainsFunc(offers, func(o match.Offer) bool { return o.Model == a.ID })
		if offered && genuine(a.Name, a.ID) == nil {
			names = append(names, a.Name)
		}
	}
	return onOffer(names)
}

func onOffer(names []string) string {
	slices.Sort(names)
	names = slices.Compact(names)
	switch more := len(names) - maxOthers; {
	case len(names) == 0:
		return ", where nobody offers a model now"
	case more > 0:
		return fmt.Sprintf(", where %s and %d more are on offer", strings.Join(names[:maxOthers], ", "), more)
	}
	return ", where these are on offer: " + strings.Join(names, ", ")
}

func (c *catalogue) recorded(ctx context.Context, name string) (all []ModelEntry, err error) {
	artifacts, err := c.ledger.Artifacts(ctx)
	for _, a := range artifacts {
		if artifact.IsDeclared(a.ID) && strings.EqualFold(a.Name, name) {
			all = append(all, ModelEntry{Name: a.Name, ID: a.ID})
		}
	}
	return all, err
}

// answerDeclared answers a prompt by a declared model: its messages go out as
// they are, with tools and images, and nothing of the answer is checked.
func (b backend) answerDeclared(ctx context.Context, entry ModelEntry, p gateway.Prompt, begin func(gateway.Admission) error, piece func(string, ...gateway.AnswerToken) error) (gateway.Result, error) {
	if p.Whole == "" {
		return gateway.Result{}, gateway.ErrPrompt{Param: "prompt", Reason: "a declared model takes messages: use chat completions"}
	}
	prompt, err := signed(p)
	if err != nil {
		return gateway.Result{}, err
	}
	prompt.Chat = p.Whole
	if err := answerable(entry.ID, prompt); err != nil {
		return gateway.Result{}, err
	}
	wanted, err := declaredTerms(entry.ID, prompt)
	if err != nil {
		return gateway.Result{}, err
	}
	if wanted, prompt.Owners, err = chosen(wanted, p.Choice, b.choice); err != nil {
		return gateway.Result{}, gateway.ErrPrompt{Param: "daulat", Reason: err.Error()}
	}
	r, err := b.client.Ask(ctx, wanted, prompt, admit(entry, begin), func(t receipt.Token) error { return tell(piece, t) })
	result := paid(r, entry)
	if err != nil {
		return result, translate(err, wanted.Only)
	}
	_, result.Calls, err = receipt.ReadMessage(r.Answer.Message)
	return result, err
}

// tell passes a stretch of a declared model's answer on.
func tell(piece func(string, ...gateway.AnswerToken) error, t receipt.Token) error {
	if t.Reasoning != "" {
		if err := piece("", gateway.AnswerToken{Reasoning: t.Reasoning}); err != nil {
			return err
		}
	}
	if t.Text == "" {
		return nil
	}
	return piece(t.Text)
}

// declaredTerms are what a session for a declared model is to keep to.
func declaredTerms(model canon.CID, p consumer.Prompt) (job.Terms, error) {
	ceiling := job.Price{Input: ceilingInput, Output: ceilingOutput}
	usual, err := ceiling.Longest(declaredContext)
	worst := receipt.Request{Chat: p.Chat, Params: p.Params}.Worst()
	most, over := ceiling.Cost(worst.Input, worst.Output)
	step := max(usual, most)
	escrow := max(sessionSteps*usual, 2*step) // a large request alone makes no large session
	return job.Terms{Version: canon.Version, Kind: job.Inference, Executor: job.Upstream, Model: model,
		Assurance: job.Metered, Privacy: job.Private, Ceiling: ceiling,
		Escrow: escrow, Step: step, Patience: sessionPatience, Duration: sessionDuration}, errors.Join(err, over)
}

// signed is what a prompt asks for besides its tokens or text.
func signed(p gateway.Prompt) (consumer.Prompt, error) {
	q := consumer.Prompt{Params: receipt.Params{MaxTokens: cmp.Or(p.MaxTokens, defaultMaxTokens), Temperature: p.Temperature, TopP: p.TopP, Stop: p.Stop, Logprobs: p.Logprobs}}
	if p.Seed != nil {
		q.Seed, q.Repeat = canon.Hash(*p.Seed), true
	} else if _, err := rand.Read(q.Seed[:]); err != nil {
		return q, fmt.Errorf("draw a seed: %w", err)
	}
	return q, nil
}
