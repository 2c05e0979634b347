// Package control is how the command line talks to a `daulat up` that runs on
// this machine: one JSON request and one JSON reply per operation, over loopback
// HTTP. [Handler] and [Client] are the two ends of the same interface, so a
// command does not see which side it is on.
//
// Operations reach the home's money, so they have a secret of their own, which no
// API token stands in for: see [Handler].
package control

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Prefix starts the path of every operation.
const Prefix = "/daulat/v1/control/"

const (
	maxRequest = 1 << 20
	maxReply   = 64 << 20
)

// Status is what runs here.
type Status struct {
	Chain  string `json:"chain"`
	Height int64  `json:"height"`
	// Newest is the time of the newest block.
	Newest time.Time `json:"block_time"`
	// Unreached is why the ledger can't be asked now: what it would say is missing then.
	Unreached string `json:"unreached,omitempty"`
	// Model is asked if a question names none, where nothing is sold.
	Model string `json:"model,omitempty"`
	// Today is what the journal has of today, where the ledger can't be asked.
	Today  *EarnedDay `json:"today,omitempty"`
	Trust  string     `json:"trust"` // for `daulat verify --trust`
	API    string     `json:"api"`
	Page   string     `json:"page"`             // with the token in the fragment: as secret as the token
	Ledger string     `json:"ledger,omitempty"` // RPC address, for `daulat provide --ledger`
	Wallet Account    `json:"wallet"`
	// Provider is nil for a home that only asks.
	Provider *Earnings `json:"provider,omitempty"`
	Links    []string  `json:"links,omitempty"` // addresses of this peer
	// Relayed is what this peer carried between others since it started.
	Relayed uint64 `json:"relayed_bytes,omitempty"`
	// Passphrase says where the keyring's passphrase comes from.
	Passphrase string `json:"passphrase"`
	// Resting says why the provider takes no work now; empty while it does.
	Resting string `json:"resting,omitempty"`
	// Sells is what the provider offers while it works.
	Sells []Sold `json:"sells,omitempty"`
}

// Sold is a model on offer.
type Sold struct {
	Model   string `json:"model"` // name
	ModelID string `json:"model_id"`
	Label   string `json:"label,omitempty"` // what is to be shown beside it
	Price   Price  `json:"price_udlt_per_1000"`
}

// Account is an account and what it holds.
type Account struct {
	Address string `json:"account"`
	Balance uint64 `json:"balance_udlt"`
}

// Earnings is what an account made by serving sessions, in udlt.
type Earnings struct {
	Address  string `json:"account"`
	Sessions int    `json:"sessions"`
	Requests uint64 `json:"requests"`      // paid for, also in sessions that are still open
	Open     uint64 `json:"open_udlt"`     // vouched for in open sessions
	Withheld uint64 `json:"withheld_udlt"` // earned, inside the challenge window
	Released uint64 `json:"released_udlt"`
	Bond     uint64 `json:"bond_udlt"`
	Stake    uint64 `json:"stake_udlt"` // bond and withheld pay
	// Audited is the share of answers as large as the last ones that askers run
	// again, in parts per million.
	Audited uint64 `json:"audited_ppm"`
	// Unaudited says that it sells declared models, whose answers nobody can run again.
	Unaudited  bool   `json:"unaudited,omitempty"`
	Complaints uint64 `json:"complaints"`
}

// EarnedDay is what a provider earned in sessions that were over on one day (UTC).
type EarnedDay struct {
	Day      string `json:"day"` // such as 2026-11-27
	Earned   uint64 `json:"earned_udlt"`
	Requests uint64 `json:"requests"`
	Sessions int    `json:"sessions"`
}

// Receipt is one answer that this home asked and paid for.
type Receipt struct {
	Receipt string    `json:"receipt"`
	Model   string    `json:"model,omitempty"` // name, if the home knows it
	ModelID string    `json:"model_id"`        // manifest or declaration
	Label   string    `json:"label,omitempty"` // what is to be shown beside it
	Price   uint64    `json:"price_udlt"`
	Opened  time.Time `json:"opened"` // when the ledger opened its session
}

// Exported is a receipt bundle and how to check it.
type Exported struct {
	Bundle []byte `json:"bundle"`
	Trust  string `json:"trust"`
}

// Selling is what a daulat that sells does for its command line.
type Selling interface {
	// Ready is what it told its user when it started; it has no API if nothing is
	// asked through it.
	Ready(ctx context.Context) (Ready, error)
	Status(ctx context.Context) (Status, error)
	// Earned is what was earned on each of the last days, the oldest first.
	Earned(ctx context.Context, days int) ([]EarnedDay, error)
	// Rest has the provider take no work until it is told otherwise, or as its
	// rules have it again.
	Rest(ctx context.Context, rest bool) error
	// Send moves money from the wallet, which is the provider's own where nothing is
	// asked.
	Send(ctx context.Context, to string, amount uint64) error
	Jobs(ctx context.Context) ([]Job, error)
	Job(ctx context.Context, id uint64) (Job, error)
	// Providers lists the offers for a model, or all, in the order in which this
	// home would choose.
	Providers(ctx context.Context, model string) ([]Provider, error)
	// Keys lists this home's keys, as the ledger knows them.
	Keys(ctx context.Context) ([]Key, error)
	// RotateKey has a fresh key take the named one's place, after the ledger's
	// delay, and returns it.
	RotateKey(ctx context.Context, name string) (Key, error)
	// RevokeKey puts the named key out of force at once, and returns the one that
	// takes its place after the delay.
	RevokeKey(ctx context.Context, name string) (Key, error)
	Rules
}

// Operations are what a running daulat does for its command line.
type Operations interface {
	Selling
	Books
	// Receipts are those that this home's journal holds, by session and number.
	Receipts(ctx context.Context) ([]Receipt, error)
	// Export settles the receipt's session if it is open and bundles the proof.
	Export(ctx context.Context, receipt string) (Exported, error)
	// Liar starts a provider whose model file was altered, asks it through the
	// market, and has a stranger check the answer. It runs once at a time.
	Liar(ctx context.Context, say Progress) (Report, error)
	// NewToken makes an API token that is taken from now on.
	NewToken(ctx context.Context, t TokenTerms) (NewToken, error)
	// Tokens lists the API tokens, oldest first, without their secrets.
	Tokens(ctx context.Context) ([]Token, error)
	// RevokeToken ends a token at once, with the answers it is being given.
	RevokeToken(ctx context.Context, name string) error
}

type transfer struct {
	To     string `json:"to"`
	Amount uint64 `json:"amount_udlt"`
}

type empty struct{}

// Handler serves the operations to whoever sends the secret as bearer token.
func Handler(secret string, o Operations) http.Handler {
	mux := http.NewServeMux()
	serveSelling(mux, o)
	serve(mux, "receipts", func(ctx context.Context, _ empty) ([]Receipt, error) { return o.Receipts(ctx) })
	serve(mux, "export", o.Export)
	serveSteps(mux, "liar", func(ctx context.Context, _ empty, say Progress) (Report, error) { return o.Liar(ctx, say) })
	serve(mux, "token-new", o.NewToken)
	serve(mux, "tokens", func(ctx context.Context, _ empty) ([]Token, error) { return o.Tokens(ctx) })
	serve(mux, "token-revoke", func(ctx context.Context, name string) (empty, error) { return empty{}, o.RevokeToken(ctx, name) })
	serve(mux, "invite-new", o.NewInvite)
	serve(mux, "invites", func(ctx context.Context, _ empty) (Invites, error) { return o.Invites(ctx) })
	serve(mux, "invite-revoke", func(ctx context.Context, id string) (empty, error) { return empty{}, o.RevokeInvite(ctx, id) })
	return guard(secret, mux)
}

// SellingHandler is Handler for a daulat that only sells.
func SellingHandler(secret string, o Selling) http.Handler {
	mux := http.NewServeMux()
	serveSelling(mux, o)
	mux.HandleFunc(Prefix, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusUnprocessableEntity, failure{"the daulat of this home only sells: end it to ask here, or ask, and do all that goes with it, from another --home, which needs an invite of its own"})
	})
	return guard(secret, mux)
}

func serveSelling(mux *http.ServeMux, o Selling) {
	serve(mux, "ready", func(ctx context.Context, _ empty) (Ready, error) { return o.Ready(ctx) })
	serve(mux, "status", func(ctx context.Context, _ empty) (Status, error) { return o.Status(ctx) })
	serve(mux, "earned", o.Earned)
	serve(mux, "send", func(ctx context.Context, t transfer) (empty, error) { return empty{}, o.Send(ctx, t.To, t.Amount) })
	serve(mux, "rest", func(ctx context.Context, rest bool) (empty, error) { return empty{}, o.Rest(ctx, rest) })
	serve(mux, "jobs", func(ctx context.Context, _ empty) ([]Job, error) { return o.Jobs(ctx) })
	serve(mux, "job", o.Job)
	serve(mux, "providers", o.Providers)
	serve(mux, "keys", func(ctx context.Context, _ empty) ([]Key, error) { return o.Keys(ctx) })
	serve(mux, "key-rotate", o.RotateKey)
	serve(mux, "key-revoke", o.RevokeKey)
	serve(mux, "validators", func(ctx context.Context, _ empty) ([]Validator, error) { return o.Validators(ctx) })
	serve(mux, "upgrades", func(ctx context.Context, _ empty) (Upgrades, error) { return o.Upgrades(ctx) })
}

// minSecret is the length of the shortest secret that a Handler takes, in bytes.
const minSecret = 16

// guard refuses what does not carry the secret, in time that does not depend on
// how much of it was guessed.
func guard(secret string, next http.Handler) http.Handler {
	if len(secret) < minSecret {
		panic("control: the secret is too short")
	}
	want := sha256.Sum256([]byte(secret))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		scheme, sent, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(strings.TrimSpace(sent)))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			reply(w, http.StatusUnauthorized, failure{"commands are taken from this home's own command line alone; an API token lets its bearer ask"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// failure is the body of a reply that is not 200.
type failure struct {
	Error string `json:"error"`
}

func serve[In, Out any](mux *http.ServeMux, name string, do func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST "+Prefix+name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := decode(http.MaxBytesReader(w, r.Body, maxRequest), &in); err != nil {
			reply(w, http.StatusBadRequest, failure{"request is not the JSON expected: " + err.Error()})
			return
		}
		out, err := do(r.Context(), in)
		if err != nil {
			reply(w, statusOf(err), failure{err.Error()})
			return
		}
		reply(w, http.StatusOK, out)
	})
}

func statusOf(err error) int {
	var wrong WrongInput
	if errors.As(err, &wrong) {
		return http.StatusBadRequest
	}
	return http.StatusUnprocessableEntity
}

// decode reads one JSON value of v's form and wants nothing behind it.
func decode(body io.Reader, v any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the value")
	}
	return nil
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// Client speaks to a Handler.
type Client struct {
	Base   string // such as http://127.0.0.1:4747
	Secret string // of the Handler
}

var _ Operations = Client{}

// Ready implements Operations.
func (c Client) Ready(ctx context.Context) (out Ready, err error) {
	return out, c.call(ctx, "ready", empty{}, &out)
}

// Status implements Operations.
func (c Client) Status(ctx context.Context) (out Status, err error) {
	return out, c.call(ctx, "status", empty{}, &out)
}

// Earned implements Operations.
func (c Client) Earned(ctx context.Context, days int) (out []EarnedDay, err error) {
	return out, c.call(ctx, "earned", days, &out)
}

// Rest implements Operations.
func (c Client) Rest(ctx context.Context, rest bool) error {
	return c.call(ctx, "rest", rest, &empty{})
}

// Jobs implements Operations.
func (c Client) Jobs(ctx context.Context) (out []Job, err error) {
	return out, c.call(ctx, "jobs", empty{}, &out)
}

// Job implements Operations.
func (c Client) Job(ctx context.Context, id uint64) (out Job, err error) {
	return out, c.call(ctx, "job", id, &out)
}

// Providers implements Operations.
func (c Client) Providers(ctx context.Context, model string) (out []Provider, err error) {
	return out, c.call(ctx, "providers", model, &out)
}

// Validators implements Operations.
func (c Client) Validators(ctx context.Context) (out []Validator, err error) {
	return out, c.call(ctx, "validators", empty{}, &out)
}

// Upgrades implements Operations.
func (c Client) Upgrades(ctx context.Context) (out Upgrades, err error) {
	return out, c.call(ctx, "upgrades", empty{}, &out)
}

// Receipts implements Operations.
func (c Client) Receipts(ctx context.Context) (out []Receipt, err error) {
	return out, c.call(ctx, "receipts", empty{}, &out)
}

// Export implements Operations.
func (c Client) Export(ctx context.Context, receipt string) (out Exported, err error) {
	return out, c.call(ctx, "export", receipt, &out)
}

// Liar implements Operations.
func (c Client) Liar(ctx context.Context, say Progress) (out Report, err error) {
	return out, c.follow(ctx, "liar", empty{}, say, &out)
}

// Send implements Operations.
func (c Client) Send(ctx context.Context, to string, amount uint64) error {
	return c.call(ctx, "send", transfer{to, amount}, &empty{})
}

// NewToken implements Operations.
func (c Client) NewToken(ctx context.Context, t TokenTerms) (out NewToken, err error) {
	return out, c.call(ctx, "token-new", t, &out)
}

// Tokens implements Operations.
func (c Client) Tokens(ctx context.Context) (out []Token, err error) {
	return out, c.call(ctx, "tokens", empty{}, &out)
}

// RevokeToken implements Operations.
func (c Client) RevokeToken(ctx context.Context, name string) error {
	return c.call(ctx, "token-revoke", name, &empty{})
}

// NewInvite implements Operations.
func (c Client) NewInvite(ctx context.Context, t InviteTerms) (out NewInvite, err error) {
	return out, c.call(ctx, "invite-new", t, &out)
}

// Invites implements Operations.
func (c Client) Invites(ctx context.Context) (out Invites, err error) {
	return out, c.call(ctx, "invites", empty{}, &out)
}

// RevokeInvite implements Operations.
func (c Client) RevokeInvite(ctx context.Context, id string) error {
	return c.call(ctx, "invite-revoke", id, &empty{})
}

// Keys implements Operations.
func (c Client) Keys(ctx context.Context) (out []Key, err error) {
	return out, c.call(ctx, "keys", empty{}, &out)
}

// RotateKey implements Operations.
func (c Client) RotateKey(ctx context.Context, name string) (out Key, err error) {
	return out, c.call(ctx, "key-rotate", name, &out)
}

// RevokeKey implements Operations.
func (c Client) RevokeKey(ctx context.Context, name string) (out Key, err error) {
	return out, c.call(ctx, "key-revoke", name, &out)
}

func (c Client) call(ctx context.Context, name string, in, out any) error {
	resp, err := c.post(ctx, name, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return fmt.Errorf("reach daulat: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return remote(resp.StatusCode, data)
	}
	return json.Unmarshal(data, out)
}

func (c Client) post(ctx context.Context, name string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.Base, "/")+Prefix+name, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.Secret)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reach daulat: %w", err)
	}
	return resp, nil
}

func remote(status int, data []byte) error {
	var f failure
	if json.Unmarshal(data, &f) != nil || f.Error == "" {
		return fmt.Errorf("daulat answered with status %d", status)
	}
	return failed(status, f.Error)
}

// failed is an error of the other end.
func failed(status int, text string) error {
	if status == http.StatusBadRequest {
		return WrongInput{errors.New(text)}
	}
	return errors.New(text)
}
