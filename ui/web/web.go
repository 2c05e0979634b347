// Package web is the page of a node: ask, watch the answer come, verify it, see
// what this machine sells and earned, and catch a liar; where a node only sells, see
// that alone. The page is written by hand and
// embedded; it loads nothing from elsewhere and stores nothing but its token, for
// as long as the tab lives.
//
// Guarantees: the page runs under a policy that forbids inline and foreign code;
// what it calls beyond the gateway's /v1 goes through the guard that the node
// passes in, which asks for an owner's API token, and spends nothing beyond that
// token's limit; one check of each kind runs at a time.
//
// The page reads its token from the fragment #token=… of the address, which
// browsers do not send, and removes it from there. Start at Selling, API and Handler.
package web

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"daulat/platform/gateway/openai"
)

// Selling is what the page of a node that only sells shows. Its methods are called
// concurrently and stop when ctx ends.
type Selling interface {
	Status(ctx context.Context) (Status, error)
}

// API is what the page shows besides where something is asked.
type API interface {
	Selling
	// Verify checks the answer behind a receipt. A check that could not decide
	// is inconclusive and says why; it is not an error.
	Verify(ctx context.Context, receipt string) (Check, error)
	// Liar asks a provider that lies and checks its answer.
	Liar(ctx context.Context) (Check, error)
}

var (
	// ErrUnavailable says that this node has no liar to catch.
	ErrUnavailable = errors.New("not available on this node")
	// ErrUnknownReceipt says that no answer here has that receipt.
	ErrUnknownReceipt = errors.New("no answer here has that receipt")
	// ErrBusy says that a check of the kind is running, whoever asked for it.
	ErrBusy = errors.New("another check is running")
	// ErrSpent says that the token may not spend what the check can cost.
	ErrSpent = errors.New("the check may cost more than this token may spend today")
)

// Status is the state of this node. Amounts are in udlt and travel as decimal
// strings, because the numbers of JavaScript are not exact.
type Status struct {
	Provider *Provider `json:"provider"` // nil if this machine does not provide
	Network  Network   `json:"network"`
	Wallet   Wallet    `json:"wallet"`
	Asks     bool      `json:"asks"` // whether questions are answered here
	Liar     bool      `json:"liar"` // whether Liar is available
}

// Provider is what this machine sells and earned. Earned is what open
// sessions vouch for, Withheld and Released together.
type Provider struct {
	Account  string `json:"account"`
	Sells    []Sold `json:"sells"`
	State    string `json:"state"`  // whether it works or rests, and why
	Audits   string `json:"audits"` // how often it is checked, and why
	Earned   uint64 `json:"earned_udlt,string"`
	Withheld uint64 `json:"withheld_udlt,string"` // until the challenge windows end
	Released uint64 `json:"released_udlt,string"`
	Requests uint64 `json:"requests"`
	Days     []Day  `json:"days"` // the oldest first
}

// Sold is a model on offer; the prices are in udlt per 1,000 tokens.
type Sold struct {
	Model  string `json:"model"`
	Label  string `json:"label"` // what is to be shown beside it
	Input  uint64 `json:"input_udlt,string"`
	Output uint64 `json:"output_udlt,string"`
}

// Day is what was earned on one day (UTC).
type Day struct {
	Day    string `json:"day"` // such as 2026-11-27
	Earned uint64 `json:"earned_udlt,string"`
}

// Network is the ledger that this node follows.
type Network struct {
	Chain  string `json:"chain"`
	Height uint64 `json:"height"`
	Test   bool   `json:"test"` // its coins are worthless
}

// Wallet is what pays for answers.
type Wallet struct {
	Account string `json:"account"`
	Balance uint64 `json:"balance_udlt,string"`
}

// Verdicts of a check.
const (
	Agree        = "agree"
	Disagree     = "disagree"
	Inconclusive = "inconclusive"
)

// Check is how an answer was checked, step by step, and what came out.
type Check struct {
	Verdict string `json:"verdict"`
	Summary string `json:"summary"` // one sentence for a person
	Receipt string `json:"receipt"`
	Model   string `json:"model"`
	ModelID string `json:"model_id"`
	Label   string `json:"label"`
	Steps   []Step `json:"steps"`
}

// Step is one thing that was checked.
type Step struct {
	Name   string `json:"name"`
	Detail string `json:"detail"`
	OK     bool   `json:"ok"`
}

//go:embed index.html app.js style.css icon.svg
var files embed.FS

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// SellingHandler is Handler for a node that only sells: whoever passes guard reads
// its state, and nothing else.
func SellingHandler(api Selling, guard func(http.Handler) http.Handler) http.Handler {
	return pages(api, guard)
}

func pages(api Selling, guard func(http.Handler) http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", file("index.html"))
	for _, name := range []string{"app.js", "style.css", "icon.svg"} {
		mux.Handle("GET /"+name, file(name))
	}
	mux.Handle("GET /daulat/v1/status", guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, err := api.Status(r.Context())
		reply(w, status, err)
	})))
	return mux
}

// Handler serves the page at / and what it calls under /daulat/v1/, the latter
// behind guard (a Gateway's Guard). The caller checks host names for the page.
func Handler(api API, guard func(http.Handler) http.Handler) http.Handler {
	mux := pages(api, guard)
	mux.Handle("POST /daulat/v1/verify", guard(oneAtATime(func(r *http.Request, body []byte) (Check, error) {
		receipt, err := decodeReceipt(body)
		if err != nil {
			return Check{}, err
		}
		return api.Verify(r.Context(), receipt)
	})))
	mux.Handle("POST /daulat/v1/liar", guard(oneAtATime(func(r *http.Request, _ []byte) (Check, error) {
		return api.Liar(r.Context())
	})))
	return mux
}

func file(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-cache") // a newer binary brings a newer page
		http.ServeFileFS(w, r, files, name)
	})
}

// maxBody bounds the bodies that the page sends, in bytes.
const maxBody = 4 << 10

// oneAtATime runs a check; while it runs, another one is refused, since checks
// cost as much as answers.
func oneAtATime(check func(*http.Request, []byte) (Check, error)) http.Handler {
	place := make(chan struct{}, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			reply(w, nil, openai.Bad("", "the body could not be read within %d bytes", maxBody))
			return
		}
		select {
		case place <- struct{}{}:
			defer func() { <-place }()
		default:
			reply(w, nil, ErrBusy)
			return
		}
		result, err := check(r, body)
		reply(w, result, err)
	})
}

// decodeReceipt reads {"receipt": ID}.
func decodeReceipt(body []byte) (string, error) {
	var request struct {
		Receipt string `json:"receipt"`
	}
	if json.Unmarshal(body, &request) != nil {
		return "", openai.Bad("", "the body is not a JSON object with a receipt")
	}
	if len(request.Receipt) == 0 || len(request.Receipt) > 256 {
		return "", openai.Bad("receipt", "a receipt ID has 1 to 256 bytes")
	}
	for _, c := range []byte(request.Receipt) {
		if c <= ' ' || c > '~' {
			return "", openai.Bad("receipt", "a receipt ID has printable ASCII characters only")
		}
	}
	return request.Receipt, nil
}

// reply writes v, or err in the form that the gateway uses.
func reply(w http.ResponseWriter, v any, err error) {
	body, status := []byte(nil), http.StatusOK
	if err == nil {
		body, err = json.Marshal(v)
	}
	if err != nil {
		e := refusal(err)
		body, status = e.Encode(), e.Status
		if e.Code == "rate_limit_exceeded" {
			w.Header().Set("Retry-After", "1")
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a page that was closed needs no answer
}

func refusal(err error) *openai.Error {
	var e *openai.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, ErrUnavailable):
		return &openai.Error{Status: http.StatusNotImplemented, Message: err.Error(), Type: "server_error", Code: "unavailable"}
	case errors.Is(err, ErrBusy):
		return &openai.Error{Status: http.StatusTooManyRequests, Message: ErrBusy.Error(), Type: "rate_limit_error", Code: "rate_limit_exceeded"}
	case errors.Is(err, ErrSpent):
		return &openai.Error{Status: http.StatusTooManyRequests, Message: ErrSpent.Error(), Type: "insufficient_quota", Code: "insufficient_quota"}
	case errors.Is(err, ErrUnknownReceipt):
		return &openai.Error{Status: http.StatusNotFound, Message: ErrUnknownReceipt.Error(), Type: "invalid_request_error", Param: "receipt", Code: "unknown_receipt"}
	case errors.Is(err, context.Canceled):
		return &openai.Error{Status: http.StatusServiceUnavailable, Message: "the check was cancelled", Type: "server_error", Code: "cancelled"}
	}
	slog.Warn("the page got no answer", "error", err) // its text may hold what pages must not show
	return &openai.Error{Status: http.StatusBadGateway, Message: "that failed; the log of this node says why", Type: "server_error", Code: "failed"}
}
