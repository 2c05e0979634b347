package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"daulat/platform/gateway"
)

const secret = "a-secret-of-enough-bytes"

type api struct {
	status func() (Status, error)
	verify func(ctx context.Context, receipt string) (Check, error)
	liar   func() (Check, error)
}

func (a api) Status(context.Context) (Status, error) { return a.status() }
func (a api) Verify(ctx context.Context, receipt string) (Check, error) {
	return a.verify(ctx, receipt)
}
func (a api) Liar(context.Context) (Check, error) { return a.liar() }

func fine() api {
	return api{
		status: func() (Status, error) { return Status{}, nil },
		verify: func(_ context.Context, receipt string) (Check, error) {
			return Check{Verdict: Agree, Receipt: receipt, Steps: []Step{{"signed", "", true}}}, nil
		},
		liar: func() (Check, error) { return Check{Verdict: Disagree}, nil },
	}
}

// nobody is a gateway that only guards.
type nobody struct{}

func (nobody) Models(context.Context) ([]gateway.Model, error) { return nil, nil }
func (nobody) Answer(context.Context, gateway.Prompt, func(gateway.Admission) error, func(string, ...gateway.AnswerToken) error) (gateway.Result, error) {
	return gateway.Result{}, errors.New("nobody answers")
}
func (nobody) Load(string) (gateway.Spend, error) { return gateway.Spend{}, nil }
func (nobody) Save(string, gateway.Spend) error   { return nil }

func start(t testing.TB, a API) http.Handler {
	t.Helper()
	g, err := gateway.New(gateway.Config{Backend: nobody{}, Ledger: nobody{}, Tokens: []gateway.Token{{Name: "page", Secret: secret, Concurrent: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	g.Handle("/", Handler(a, g.Guard))
	return g.Handler()
}

func send(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	r.Header.Set("Authorization", "Bearer "+secret)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var calls = []struct{ method, path, body string }{
	{"GET", "/daulat/v1/status", ""},
	{"POST", "/daulat/v1/verify", `{"receipt":"s1-7"}`},
	{"POST", "/daulat/v1/liar", "{}"},
}

func TestCallsAreGuarded(t *testing.T) {
	reached := false
	a := fine()
	a.status = func() (Status, error) { reached = true; return Status{}, nil }
	a.verify = func(context.Context, string) (Check, error) { reached = true; return Check{}, nil }
	a.liar = func() (Check, error) { reached = true; return Check{}, nil }
	h := start(t, a)
	for _, c := range calls {
		reached = false
		if w := send(h, c.method, c.path, c.body); w.Code != 200 || !reached {
			t.Errorf("%s with the token: %d", c.path, w.Code)
		}
		reached = false
		if w := send(h, c.method, c.path, c.body, "Authorization", "Bearer wrong"); w.Code != 401 {
			t.Errorf("%s without the token: %d", c.path, w.Code)
		}
		if w := send(h, c.method, c.path, c.body, "Origin", "http://evil.example"); w.Code != 403 {
			t.Errorf("%s from another page: %d", c.path, w.Code)
		}
		if reached {
			t.Errorf("%s went through the guard", c.path)
		}
	}
	for _, path := range []string{"/daulat/v1/verify", "/daulat/v1/liar"} {
		if w := send(h, "GET", path, ""); w.Code != 405 {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
}

// TestSellerShowsItsStateAlone: behind the same guard, and there is nothing else.
func TestSellerShowsItsStateAlone(t *testing.T) {
	g, err := gateway.New(gateway.Config{Ledger: nobody{}, Tokens: []gateway.Token{{Name: "page", Secret: secret, Concurrent: 1, Owner: true}}})
	if err != nil {
		t.Fatal(err)
	}
	g.Handle("/", SellingHandler(fine(), g.Owner))
	h := g.Handler()
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
	}{
		{"GET", "/", []string{"Authorization", ""}, 200},
		{"GET", "/daulat/v1/status", nil, 200},
		{"GET", "/daulat/v1/status", []string{"Authorization", ""}, 401},
		{"GET", "/daulat/v1/status", []string{"Origin", "http://evil.example"}, 403},
		{"POST", "/daulat/v1/status", nil, 405},
		{"POST", "/daulat/v1/verify", nil, 404},
		{"POST", "/daulat/v1/liar", nil, 404},
		{"POST", "/v1/chat/completions", nil, 404},
		{"GET", "/v1/models", nil, 404},
	} {
		if w := send(h, c.method, c.path, "{}", c.header...); w.Code != c.status {
			t.Errorf("%s %s with %q: %d, want %d", c.method, c.path, c.header, w.Code, c.status)
		}
	}
}

func TestPageLoadsOnlyItself(t *testing.T) {
	h := start(t, fine())
	for path, kind := range map[string]string{"/": "text/html", "/app.js": "text/javascript", "/style.css": "text/css", "/icon.svg": "image/svg+xml"} {
		w := send(h, "GET", path, "", "Authorization", "")
		if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) || w.Body.Len() == 0 {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("%s has the policy %q", path, csp)
		}
		for _, foreign := range []string{"http://", "https://", "innerHTML", "eval(", " style=", " onclick=", "<style", "localStorage"} {
			if foreign == "http://" && path == "/icon.svg" {
				continue // the namespace of SVG
			}
			if strings.Contains(w.Body.String(), foreign) {
				t.Errorf("%s contains %q", path, foreign)
			}
		}
	}
	if w := send(h, "GET", "/web.go", ""); w.Code != 404 {
		t.Errorf("another file: %d", w.Code)
	}
}

// TestPageIsWhole finds a script that reaches for an element that is not there.
func TestPageIsWhole(t *testing.T) {
	page, script := read(t, "index.html"), read(t, "app.js")
	names := regexp.MustCompile(`\$\("([a-z-]+)"\)`).FindAllStringSubmatch(script, -1)
	if len(names) < 20 {
		t.Fatalf("found only %d elements in the script", len(names))
	}
	for _, name := range names {
		if !strings.Contains(page, `id="`+name[1]+`"`) {
			t.Errorf("the page has no element %q", name[1])
		}
	}
	for _, class := range regexp.MustCompile(`part\("([a-z]+)"\)`).FindAllStringSubmatch(script, -1) {
		if !regexp.MustCompile(`class="[^"]*\b` + class[1] + `\b`).MatchString(page) {
			t.Errorf("the answer has no part %q", class[1])
		}
	}
	lines := strings.Count(page, "\n") + strings.Count(script, "\n") + strings.Count(read(t, "style.css"), "\n")
	if lines > 345 {
		t.Errorf("the page has %d lines, more than 345", lines)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := fs.ReadFile(files, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStatusKeepsAmountsExact(t *testing.T) {
	a := fine()
	a.status = func() (Status, error) {
		return Status{Provider: &Provider{Earned: math.MaxUint64, Requests: 3, Days: []Day{{"2026-01-02", 1<<53 + 1}}}, Wallet: Wallet{Balance: 1<<53 + 1}, Network: Network{Chain: "c", Height: 9}}, nil
	}
	var got struct {
		Provider map[string]any
		Wallet   map[string]any
	}
	w := send(start(t, a), "GET", "/daulat/v1/status", "")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if days := got.Provider["days"].([]any); len(days) != 1 || days[0].(map[string]any)["earned_udlt"] != "9007199254740993" {
		t.Errorf("%s", w.Body)
	}
	if got.Provider["earned_udlt"] != "18446744073709551615" || got.Provider["requests"] != 3.0 || got.Wallet["balance_udlt"] != "9007199254740993" {
		t.Errorf("%s", w.Body)
	}
	if w := send(start(t, fine()), "GET", "/daulat/v1/status", ""); !strings.Contains(w.Body.String(), `"provider":null`) {
		t.Errorf("a machine that provides nothing: %s", w.Body)
	}
}

func TestVerify(t *testing.T) {
	h := start(t, fine())
	w := send(h, "POST", "/daulat/v1/verify", `{"receipt":"s1-7"}`)
	var check Check
	if err := json.Unmarshal(w.Body.Bytes(), &check); err != nil || check.Receipt != "s1-7" || check.Verdict != Agree || len(check.Steps) != 1 || !check.Steps[0].OK {
		t.Errorf("%s: %v", w.Body, err)
	}
	for _, body := range []string{"", "[]", `{}`, `{"receipt":7}`, `{"receipt":""}`, `{"receipt":"a b"}`, `{"receipt":"é"}`, `{"receipt":"` + strings.Repeat("x", 257) + `"}`, `{"receipt":"x"}` + strings.Repeat(" ", maxBody)} {
		if w := send(h, "POST", "/daulat/v1/verify", body); w.Code != 400 || !strings.Contains(w.Body.String(), `"error"`) {
			t.Errorf("%.40s: %d %s", body, w.Code, w.Body)
		}
	}
}

// endless is a body that goes on for ever, and counts what was taken of it.
type endless struct{ taken int }

func (e *endless) Read(p []byte) (int, error) {
	if e.taken > 16<<20 { // far more than may be read
		return 0, io.ErrUnexpectedEOF
	}
	for i := range p {
		p[i] = ' '
	}
	e.taken += len(p)
	return len(p), nil
}

func TestBodiesAreNotReadBeyondTheirLimit(t *testing.T) {
	for _, path := range []string{"/daulat/v1/verify", "/daulat/v1/liar"} {
		body := &endless{}
		r := httptest.NewRequest("POST", path, body)
		r.Host = "localhost"
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		start(t, fine()).ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || body.taken > 1<<20 {
			t.Errorf("%s: status %d after %d bytes", path, w.Code, body.taken)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{{ErrUnavailable, 501}, {ErrUnknownReceipt, 404}, {ErrBusy, 429}, {fmt.Errorf("%w: 7 udlt", ErrSpent), 429}, {context.Canceled, 503}, {errors.New("password=hunter2"), 502}} {
		a := api{
			status: func() (Status, error) { return Status{}, c.err },
			verify: func(context.Context, string) (Check, error) { return Check{}, c.err },
			liar:   func() (Check, error) { return Check{}, c.err },
		}
		for _, call := range calls {
			w := send(start(t, a), call.method, call.path, call.body)
			if w.Code != c.status || !json.Valid(w.Body.Bytes()) || strings.Contains(w.Body.String(), "hunter2") {
				t.Errorf("%v at %s: %d %s", c.err, call.path, w.Code, w.Body)
			}
		}
	}
}

func TestOneCheckAtATime(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	a := fine()
	a.verify = func(context.Context, string) (Check, error) {
		arrived <- struct{}{}
		<-release
		return Check{Verdict: Agree}, nil
	}
	h := start(t, a)
	replies := make(chan *httptest.ResponseRecorder, 2)
	verify := func() { replies <- send(h, "POST", "/daulat/v1/verify", `{"receipt":"a"}`) }
	go verify()
	<-arrived
	go verify()
	select {
	case w := <-replies:
		if w.Code != 429 || w.Header().Get("Retry-After") == "" {
			t.Errorf("a second check: %d", w.Code)
		}
	case <-arrived:
		t.Error("a second check ran")
	}
	close(release)
	if w := <-replies; w.Code != 200 {
		t.Errorf("the first check: %d", w.Code)
	}
}

func FuzzReceipt(f *testing.F) {
	for _, seed := range []string{`{"receipt":"s1-7"}`, `{"receipt":"\u0000"}`, `{"RECEIPT":"x"}`, `[`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		receipt, err := decodeReceipt(body)
		if err != nil {
			return
		}
		if len(receipt) == 0 || len(receipt) > 256 || bytes.ContainsAny([]byte(receipt), " \x00\n\r\t\x7f") {
			t.Fatalf("accepted %q", receipt)
		}
	})
}
