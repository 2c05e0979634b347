// Package control is how the command line talks to a `daulat up` that runs on
// this machine: one JSON request and one JSON reply per operation, over loopback
// HTTP behind the gateway's guard. [Handler] and [Client] are the two ends of
// the same interface, so a command does not see which side it is on.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"daulat/core/job"
)

// Prefix starts the path of every operation.
const Prefix = "/daulat/v1/control/"

const (
	maxRequest = 1 << 20
	maxReply   = 64 << 20
)

// Status is what runs here.
type Status struct {
	Chain  string  `json:"chain"`
	Height int64   `json:"height"`
	Trust  string  `json:"trust"` // for `daulat verify --trust`
	API    string  `json:"api"`
	Page   string  `json:"page"`             // with the token in the fragment: as secret as the token
	Ledger string  `json:"ledger,omitempty"` // RPC address, for `daulat provide --ledger`
	Wallet Account `json:"wallet"`
	// Provider is nil for a home that only asks.
	Provider *Earnings `json:"provider,omitempty"`
	Links    []string  `json:"links,omitempty"` // addresses of this peer
	// Passphrase says where the keyring's passphrase comes from.
	Passphrase string `json:"passphrase"`
}

// Account is an account and what it holds.
type Account struct {
	Address string `json:"address"`
	Balance uint64 `json:"balance_udlt"`
}

// Earnings is what an account made by serving sessions, in udlt.
type Earnings struct {
	Address  string `json:"address"`
	Sessions int    `json:"sessions"`
	Requests uint64 `json:"requests"`      // paid for, also in sessions that are still open
	Open     uint64 `json:"open_udlt"`     // vouched for in open sessions
	Withheld uint64 `json:"withheld_udlt"` // earned, inside the challenge window
	Released uint64 `json:"released_udlt"`
	Stake    uint64 `json:"stake_udlt"` // bond and withheld pay
	// Audited is the share of answers as large as the last ones that askers run
	// again, in parts per million.
	Audited    uint64 `json:"audited_ppm"`
	Complaints uint64 `json:"complaints"`
}

// Job is an order and the session that it became.
type Job struct {
	ID       uint64       `json:"id"`
	State    string       `json:"state"`
	Reason   string       `json:"reason,omitempty"` // why it left the open state, or why there is no match
	Model    string       `json:"model"`            // manifest ID
	Consumer string       `json:"consumer"`
	Provider string       `json:"provider,omitempty"`
	Requests uint64       `json:"requests"`
	Amount   uint64       `json:"amount_udlt"`
	Escrow   uint64       `json:"escrow_udlt"`
	Receipts []string     `json:"receipts,omitempty"` // those this home asked for
	Session  *job.Session `json:"session,omitempty"`  // whole, in `job show`
	// Complaints are the receipts that the consumer complained about on the ledger.
	Complaints []string `json:"complaints,omitempty"`
}

// Provider is one offer on the market.
type Provider struct {
	Account   string    `json:"account"`
	Model     string    `json:"model"` // manifest ID
	Executor  string    `json:"executor"`
	Price     job.Price `json:"price_udlt_per_1000"`
	Assurance string    `json:"assurance"`
	Slots     uint64    `json:"slots"`
	// Complaints is how many the ledger holds about the account.
	Complaints uint64 `json:"complaints"`
}

// Receipt is one answer that this home asked and paid for.
type Receipt struct {
	Receipt string    `json:"receipt"`
	Model   string    `json:"model"` // name, or manifest ID if the home does not know it
	ModelID string    `json:"model_id"`
	Price   uint64    `json:"price_udlt"`
	Opened  time.Time `json:"opened"` // when the ledger opened its session
}

// Exported is a receipt bundle and how to check it.
type Exported struct {
	Bundle []byte `json:"bundle"`
	Trust  string `json:"trust"`
}

// Operations are what a running daulat does for its command line.
type Operations interface {
	Status(ctx context.Context) (Status, error)
	Jobs(ctx context.Context) ([]Job, error)
	Job(ctx context.Context, id uint64) (Job, error)
	Providers(ctx context.Context) ([]Provider, error)
	// Receipts are those that this home's journal holds, by session and number.
	Receipts(ctx context.Context) ([]Receipt, error)
	// Export settles the receipt's session if it is open and bundles the proof.
	Export(ctx context.Context, receipt string) (Exported, error)
	// Liar starts a provider whose model file was altered, asks it through the
	// market, and has a stranger check the answer.
	Liar(ctx context.Context) (Report, error)
	// Send moves money from the wallet.
	Send(ctx context.Context, to string, amount uint64) error
	// NewToken makes an API token that is taken from now on.
	NewToken(ctx context.Context, t TokenTerms) (NewToken, error)
	// Tokens lists the API tokens, oldest first, without their secrets.
	Tokens(ctx context.Context) ([]Token, error)
	// RevokeToken ends a token at once, with the answers it is being given.
	RevokeToken(ctx context.Context, name string) error
	// NewInvite locks a grant for whoever gets the line.
	NewInvite(ctx context.Context, t InviteTerms) (NewInvite, error)
	Invites(ctx context.Context) (Invites, error)
	// RevokeInvite takes an open invite back; a part of its ID is enough if no
	// other begins so.
	RevokeInvite(ctx context.Context, id string) error
}

type transfer struct {
	To     string `json:"to"`
	Amount uint64 `json:"amount_udlt"`
}

type empty struct{}

// Handler serves the operations; the caller guards it.
func Handler(o Operations) http.Handler {
	mux := http.NewServeMux()
	serve(mux, "status", func(ctx context.Context, _ empty) (Status, error) { return o.Status(ctx) })
	serve(mux, "jobs", func(ctx context.Context, _ empty) ([]Job, error) { return o.Jobs(ctx) })
	serve(mux, "job", o.Job)
	serve(mux, "providers", func(ctx context.Context, _ empty) ([]Provider, error) { return o.Providers(ctx) })
	serve(mux, "receipts", func(ctx context.Context, _ empty) ([]Receipt, error) { return o.Receipts(ctx) })
	serve(mux, "export", o.Export)
	serve(mux, "liar", func(ctx context.Context, _ empty) (Report, error) { return o.Liar(ctx) })
	serve(mux, "send", func(ctx context.Context, t transfer) (empty, error) { return empty{}, o.Send(ctx, t.To, t.Amount) })
	serve(mux, "token-new", o.NewToken)
	serve(mux, "tokens", func(ctx context.Context, _ empty) ([]Token, error) { return o.Tokens(ctx) })
	serve(mux, "token-revoke", func(ctx context.Context, name string) (empty, error) { return empty{}, o.RevokeToken(ctx, name) })
	serve(mux, "invite-new", o.NewInvite)
	serve(mux, "invites", func(ctx context.Context, _ empty) (Invites, error) { return o.Invites(ctx) })
	serve(mux, "invite-revoke", func(ctx context.Context, id string) (empty, error) { return empty{}, o.RevokeInvite(ctx, id) })
	return mux
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
		var wrong WrongInput
		switch {
		case errors.As(err, &wrong):
			reply(w, http.StatusBadRequest, failure{err.Error()})
		case err != nil:
			reply(w, http.StatusUnprocessableEntity, failure{err.Error()})
		default:
			reply(w, http.StatusOK, out)
		}
	})
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
	Base  string // such as http://127.0.0.1:4747
	Token string
}

var _ Operations = Client{}

// Status implements Operations.
func (c Client) Status(ctx context.Context) (out Status, err error) {
	return out, c.call(ctx, "status", empty{}, &out)
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
func (c Client) Providers(ctx context.Context) (out []Provider, err error) {
	return out, c.call(ctx, "providers", empty{}, &out)
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
func (c Client) Liar(ctx context.Context) (out Report, err error) {
	return out, c.call(ctx, "liar", empty{}, &out)
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

func (c Client) call(ctx context.Context, name string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.Base, "/")+Prefix+name, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reach daulat: %w", err)
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

func remote(status int, data []byte) error {
	var f failure
	if json.Unmarshal(data, &f) != nil || f.Error == "" {
		return fmt.Errorf("daulat answered with status %d", status)
	}
	if status == http.StatusBadRequest {
		return WrongInput{errors.New(f.Error)}
	}
	return errors.New(f.Error)
}
