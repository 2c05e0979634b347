package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const secret = "a-secret-of-enough-bytes"

// backend answers with a script and counts what it was asked.
type backend struct {
	answer func(ctx context.Context, p Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error)
	models []Model
	err    error
}

func (b *backend) Models(context.Context) ([]Model, error) { return b.models, b.err }

func (b *backend) Answer(ctx context.Context, p Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
	return b.answer(ctx, p, begin, piece)
}

var admission = Admission{Receipt: "s1-7", Model: "small", ModelID: "bafymodel", Provider: "p1", Ceiling: 100}

// says is a backend that answers with pieces for 40 udlt.
func says(pieces ...string) *backend {
	return &backend{answer: func(_ context.Context, _ Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
		if err := begin(admission); err != nil {
			return Result{}, err
		}
		for _, text := range pieces {
			if err := piece(text); err != nil {
				return Result{}, err
			}
		}
		return Result{Receipt: "s1-7", Provider: "p1", Input: 5, Output: 2, Finish: "stop", Price: 40, ModelLabel: "test"}, nil
	}}
}

func fails(err error) *backend {
	return &backend{err: err, answer: func(context.Context, Prompt, func(Admission) error, func(string, ...AnswerToken) error) (Result, error) {
		return Result{}, err
	}}
}

// memory is a ledger that can be told to fail.
type memory struct {
	mu    sync.Mutex
	spend map[string]Spend
	err   error
}

func (m *memory) Load(name string) (Spend, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.spend[name], m.err
}

func (m *memory) Save(name string, s Spend) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.spend[name] = s
	}
	return m.err
}

func (m *memory) spent(name string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.spend[name].Spent
}

func newMemory() *memory { return &memory{spend: map[string]Spend{}} }

func config(b Backend) Config {
	return Config{
		Backend: b, Ledger: newMemory(),
		Tokens: []Token{{Name: "t", Secret: secret, DailySpend: 1000, Concurrent: 8}},
		Log:    slog.New(slog.DiscardHandler),
		Now:    func() time.Time { return time.Unix(1700000000, 0) },
	}
}

func start(t *testing.T, c Config) *Gateway {
	t.Helper()
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const question = `{"model":"small","messages":[{"role":"user","content":"x"}]}`
const streamed = `{"model":"small","stream":true,"messages":[{"role":"user","content":"x"}]}`

func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost:8080"
	r.Header.Set("Authorization", "Bearer "+secret)
	return r
}

func ask(g *Gateway, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	g.Handler().ServeHTTP(w, request("POST", "/v1/chat/completions", body))
	return w
}

func code(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	var reply struct {
		Error struct{ Message, Type, Code string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || reply.Error.Message == "" || reply.Error.Type == "" {
		t.Fatalf("not an error object: %s", w.Body)
	}
	return reply.Error.Code
}

func TestWholeAnswer(t *testing.T) {
	c := config(says("Hel", "lo \xe2", "\x82\xac"))
	g := start(t, c)
	w := ask(g, question)
	var reply struct {
		Choices []struct {
			Message struct{ Content string }
		}
		Usage  struct{ Total_tokens int }
		Daulat map[string]string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
		t.Fatal(err, w.Body)
	}
	if w.Code != 200 || reply.Choices[0].Message.Content != "Hello €" || reply.Usage.Total_tokens != 7 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w.Header().Get("Daulat-Receipt") != "s1-7" || reply.Daulat["receipt"] != "s1-7" || reply.Daulat["price_udlt"] != "40" || reply.Daulat["model_id"] != "bafymodel" || reply.Daulat["label"] != "test" || reply.Daulat["provider"] != "p1" {
		t.Errorf("header %v, daulat %v", w.Header(), reply.Daulat)
	}
	if got := g.accounts[0].spend.Spent; got != 40 {
		t.Errorf("spent %d, want the price of 40", got)
	}
}

// contents joins the text of a stream's chunks and returns the last chunk.
func contents(t *testing.T, body string) (text string, last map[string]any) {
	t.Helper()
	for event := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, found := strings.CutPrefix(event, "data: ")
		if !found || strings.Contains(data, "\n") {
			t.Fatalf("bad event %q", event)
		}
		if data == "[DONE]" {
			break
		}
		last = nil
		if err := json.Unmarshal([]byte(data), &last); err != nil {
			t.Fatal(err)
		}
		if choices, _ := last["choices"].([]any); len(choices) > 0 {
			delta, _ := choices[0].(map[string]any)["delta"].(map[string]any)
			piece, _ := delta["content"].(string)
			text += piece
		}
	}
	return text, last
}

func TestStreamJoinsTornCharacters(t *testing.T) {
	w := ask(start(t, config(says("a\xe2", "", "\x82", "\xacb\xf0\x9f", "\x98\x80", "\xe2\x82"))), streamed)
	text, last := contents(t, w.Body.String())
	if text != "a€b😀\ufffd\ufffd" {
		t.Errorf("text %q", text)
	}
	if !strings.HasSuffix(w.Body.String(), "data: [DONE]\n\n") || w.Header().Get("Content-Type") != "text/event-stream" || w.Header().Get("Daulat-Receipt") != "s1-7" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	if d, _ := last["daulat"].(map[string]any); d["receipt"] != "s1-7" || d["price_udlt"] != "40" {
		t.Errorf("last chunk %v", last)
	}
}

func TestErrorsBecomeStatuses(t *testing.T) {
	for _, c := range []struct {
		err                error
		status             int
		code, retry, shown string
	}{
		{fmt.Errorf("wrapped: %w", ErrUnknownModel), 404, "model_not_found", "", "not known"},
		{fmt.Errorf("wrapped: %w", ErrBusy{1500 * time.Millisecond}), 429, "rate_limit_exceeded", "2", "too many"},
		{ErrBusy{}, 429, "rate_limit_exceeded", "1", "too many"},
		{ErrPrompt{"messages", "the prompt is too long", "context_length_exceeded"}, 400, "context_length_exceeded", "", "too long"},
		{ErrNoProvider{"3 of 3 are too dear"}, 503, "no_provider", "", "too dear"},
		{ErrSpend, 429, "insufficient_quota", "", "limit"},
		{context.DeadlineExceeded, 504, "timeout", "", "too long"},
		{context.Canceled, 503, "cancelled", "", "cancelled"},
		{errors.New("password=hunter2"), 502, "answer_failed", "", "log"},
		{nil, 502, "answer_failed", "", "log"}, // ended without being admitted
	} {
		for _, body := range []string{question, streamed} {
			w := ask(start(t, config(fails(c.err))), body)
			if got := code(t, w); w.Code != c.status || got != c.code || w.Header().Get("Retry-After") != c.retry || !strings.Contains(w.Body.String(), c.shown) {
				t.Errorf("%v: %d %q %v %s", c.err, w.Code, got, w.Header(), w.Body)
			}
			if strings.Contains(w.Body.String(), "hunter2") {
				t.Errorf("an inner error was shown: %s", w.Body)
			}
		}
	}
}

func TestErrorInsideAStream(t *testing.T) {
	b := &backend{answer: func(_ context.Context, _ Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
		return Result{}, errors.Join(begin(admission), piece("half"), errors.New("the provider vanished"))
	}}
	g := start(t, config(b))
	w := ask(g, streamed)
	text, last := contents(t, w.Body.String())
	if text != "half" || last["error"] == nil || strings.Contains(w.Body.String(), "[DONE]") {
		t.Errorf("%s", w.Body)
	}
	if got := g.accounts[0].spend.Spent; got != 100 {
		t.Errorf("spent %d, want the ceiling of 100, for the price is unknown", got)
	}
}

func TestOnlyThisMachinesHostNames(t *testing.T) {
	c := config(says("x"))
	c.Hosts = []string{"Box.lan"}
	g := start(t, c)
	g.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	for host, allowed := range map[string]bool{
		"localhost": true, "LOCALHOST:1": true, "127.0.0.1:8080": true, "127.9.9.9": true, "[::1]:8080": true, "[::1]": true, "[::ffff:127.0.0.1]:1": true, "box.LAN:80": true,
		"rebind.example:8080": false, "localhost.example": false, "127.0.0.1.example": false, "0.0.0.0": false, "192.168.1.2": false, "[::]:80": false, "": false, "localhost@evil": false,
	} {
		for _, path := range []string{"/healthz", "/v1/models", "/"} {
			r := request("GET", path, "")
			r.Host = host
			w := httptest.NewRecorder()
			g.Handler().ServeHTTP(w, r)
			if (w.Code < 300) != allowed || !allowed && code(t, w) != "host_not_allowed" {
				t.Errorf("host %q, %s: %d %s", host, path, w.Code, w.Body)
			}
		}
	}
}

func TestOnlyTheOwnOrigin(t *testing.T) {
	g := start(t, config(says("x")))
	for origin, allowed := range map[string]bool{
		"http://localhost:8080": true, "https://localhost:8080": true,
		"http://localhost:3000": false, "http://127.0.0.1:8080": false, "https://evil.example": false, "null": false, "": false, "ftp://localhost:8080": false, "http://localhost:8080.evil.example": false,
	} {
		r := request("POST", "/v1/chat/completions", question)
		r.Header.Set("Origin", origin)
		w := httptest.NewRecorder()
		g.Handler().ServeHTTP(w, r)
		if (w.Code == 200) != allowed || !allowed && code(t, w) != "origin_not_allowed" {
			t.Errorf("origin %q: %d %s", origin, w.Code, w.Body)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Error("another origin was let in")
		}
	}
}

func TestTokens(t *testing.T) {
	c := config(says("x"))
	c.Tokens = append(c.Tokens, Token{Name: "other", Secret: secret + "2", DailySpend: 1000, Concurrent: 1})
	g := start(t, c)
	for header, allowed := range map[string]bool{
		"Bearer " + secret: true, "bearer " + secret + "2": true,
		"": false, "Bearer": false, "Bearer ": false, secret: false, "Basic " + secret: false, "Bearer " + secret + "3": false, "Bearer " + secret[:20]: false,
	} {
		for _, path := range []string{"/v1/models", "/v1/models/small", "/v1/nothing"} {
			r := request("GET", path, "")
			r.Header.Set("Authorization", header)
			w := httptest.NewRecorder()
			g.Handler().ServeHTTP(w, r)
			if (w.Code != 401) != allowed || !allowed && code(t, w) != "invalid_api_key" {
				t.Errorf("%q %s: %d %s", header, path, w.Code, w.Body)
			}
		}
	}
	if strings.Contains(fmt.Sprintf("%+v %+v", g.Config, g.accounts[0].Token), secret) {
		t.Error("the gateway keeps a secret in clear")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no ledger":    func(c *Config) { c.Ledger = nil },
		"no token":     func(c *Config) { c.Tokens = nil },
		"short secret": func(c *Config) { c.Tokens[0].Secret = "short" },
		"no name":      func(c *Config) { c.Tokens[0].Name = "" },
		"no place":     func(c *Config) { c.Tokens[0].Concurrent = 0 },
		"same name": func(c *Config) {
			c.Tokens = append(c.Tokens, Token{Name: "t", Secret: secret + "2", DailySpend: 1, Concurrent: 1})
		},
		"same secret": func(c *Config) {
			c.Tokens = append(c.Tokens, Token{Name: "u", Secret: secret, DailySpend: 1, Concurrent: 1})
		},
		"negative":      func(c *Config) { c.Running = -1 },
		"failed ledger": func(c *Config) { c.Ledger.(*memory).err = errors.New("broken") },
	} {
		c := config(says())
		spoil(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestDailySpend(t *testing.T) {
	c := config(says("x")) // ceiling 100, price 40
	now := time.Unix(1700000000, 0)
	c.Now = func() time.Time { return now }
	c.Tokens[0].DailySpend = 179
	for i, want := range []int{200, 200, 429} { // 0+100, 40+100, 80+100 > 179
		w := ask(start(t, c), question) // a new gateway each time: the ledger remembers
		if w.Code != want {
			t.Fatalf("answer %d: %d %s", i, w.Code, w.Body)
		}
		if want == 429 && (code(t, w) != "insufficient_quota" || w.Header().Get("X-Should-Retry") != "false") {
			t.Errorf("%v %s", w.Header(), w.Body)
		}
	}
	now = now.Add(-48 * time.Hour)
	if w := ask(start(t, c), question); w.Code != 429 {
		t.Errorf("a clock set back opened a new day: %d", w.Code)
	}
	now = now.Add(72 * time.Hour)
	if w := ask(start(t, c), question); w.Code != 200 {
		t.Errorf("the next day: %d %s", w.Code, w.Body)
	}
}

func TestSpendIsRecordedBeforeItHappens(t *testing.T) {
	c := config(nil)
	ledger := c.Ledger.(*memory)
	c.Backend = &backend{answer: func(_ context.Context, _ Prompt, begin func(Admission) error, _ func(string, ...AnswerToken) error) (Result, error) {
		if err := begin(admission); err != nil {
			return Result{}, err
		}
		if got := ledger.spent("t"); got < 100 {
			t.Errorf("%d udlt on record while the answer runs, want 100", got)
		}
		return Result{Receipt: "s1-7", Price: 30}, errors.New("cut off, but paid")
	}}
	g := start(t, c)
	ask(g, question)
	if got := g.accounts[0].spend.Spent; got != 30 {
		t.Errorf("spent %d, want the 30 that the backend reported", got)
	}
	ledger.err = errors.New("disk full")
	if w := ask(g, question); w.Code != 502 {
		t.Errorf("an answer began without a record: %d %s", w.Code, w.Body)
	}
}

func TestSpendArithmetic(t *testing.T) {
	a, err := newAccount(Token{Name: "t", Secret: secret, DailySpend: math.MaxUint64, Concurrent: 1}, newMemory())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	first, err := a.reserve(now, math.MaxUint64-1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.reserve(now, 2); !errors.Is(err, ErrSpend) {
		t.Errorf("the sum overflowed: %v", err)
	}
	if err := a.settle(first, math.MaxUint64); err == nil || a.spend.Spent != math.MaxUint64 {
		t.Errorf("a price above its ceiling: %v, spent %d", err, a.spend.Spent)
	}
	if _, err := a.reserve(now.Add(24*time.Hour), 7); err != nil {
		t.Fatal(err)
	}
	if err := a.settle(first, 0); err != nil || a.spend.Spent != 7 {
		t.Errorf("yesterday's reservation changed today: %v, spent %d", err, a.spend.Spent)
	}
}

// held is a backend whose answers wait until they are released.
type held struct{ arrived, release chan struct{} }

func newHeld() held { return held{make(chan struct{}, 64), make(chan struct{})} }

func (h held) backend() *backend {
	return &backend{answer: func(ctx context.Context, _ Prompt, begin func(Admission) error, _ func(string, ...AnswerToken) error) (Result, error) {
		h.arrived <- struct{}{}
		select {
		case <-h.release:
		case <-ctx.Done():
			return Result{}, ctx.Err()
		}
		if err := begin(admission); err != nil {
			return Result{}, err
		}
		return Result{Receipt: "s1-7", Finish: "stop"}, nil
	}}
}

func TestQueueIsBounded(t *testing.T) {
	h := newHeld()
	c := config(h.backend())
	c.Running, c.Waiting = 1, 1
	c.AnswerTimeout = 5 * time.Second // reached only if no place comes free
	g := start(t, c)
	replies := make(chan int, 2)
	for range 2 {
		go func() { replies <- ask(g, question).Code }()
	}
	<-h.arrived
	for len(g.queue.waiting) == 0 {
		runtime.Gosched()
	}
	w := ask(g, question)
	if w.Code != 429 || code(t, w) != "rate_limit_exceeded" || w.Header().Get("Retry-After") != "1" {
		t.Errorf("a third request: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if len(h.arrived) != 0 {
		t.Error("two answers ran at once")
	}
	close(h.release)
	if a, b := <-replies, <-replies; a != 200 || b != 200 {
		t.Errorf("queued requests ended with %d and %d", a, b)
	}
	if len(g.queue.running) != 0 || len(g.queue.waiting) != 0 || g.accounts[0].active != 0 {
		t.Errorf("places are still taken: %d running, %d waiting, %d of the token", len(g.queue.running), len(g.queue.waiting), g.accounts[0].active)
	}
}

func TestTokenConcurrency(t *testing.T) {
	h := newHeld()
	c := config(h.backend())
	c.Tokens[0].Concurrent = 1
	g := start(t, c)
	replies := make(chan *httptest.ResponseRecorder, 2)
	go func() { replies <- ask(g, question) }()
	<-h.arrived
	go func() { replies <- ask(g, question) }()
	select {
	case w := <-replies:
		if w.Code != 429 || w.Header().Get("Retry-After") == "" {
			t.Errorf("a second request of the token: %d", w.Code)
		}
	case <-h.arrived:
		t.Error("a second request of the token ran")
	}
	close(h.release)
	if w := <-replies; w.Code != 200 {
		t.Errorf("the first ended with %d", w.Code)
	}
}

func TestBackendThatBreaksTheRules(t *testing.T) {
	for name, b := range map[string]*backend{
		"text before admission": {answer: func(_ context.Context, _ Prompt, _ func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
			return Result{}, piece("x")
		}},
		"two admissions": {answer: func(_ context.Context, _ Prompt, begin func(Admission) error, _ func(string, ...AnswerToken) error) (Result, error) {
			if err := begin(admission); err != nil {
				return Result{}, err
			}
			return Result{}, begin(admission)
		}},
		"endless text": {answer: func(_ context.Context, _ Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
			text := strings.Repeat("x", 1<<20)
			err := begin(admission)
			for n := 0; n <= maxAnswer>>20 && err == nil; n++ {
				err = piece(text)
			}
			return Result{}, err
		}},
	} {
		if w := ask(start(t, config(b)), question); w.Code != 502 {
			t.Errorf("%s: %d %.99s", name, w.Code, w.Body)
		}
	}
}

func TestBodyLimitAndBadInput(t *testing.T) {
	g := start(t, config(fails(errors.New("the backend was reached"))))
	if w := ask(g, strings.Repeat(" ", 1<<20)+question); w.Code != 413 || code(t, w) != "request_too_large" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(g, `{"model":"m"}`); w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestModels(t *testing.T) {
	b := says()
	b.models = []Model{{Name: "org/small:q4", ID: "bafymodel", Label: "test"}}
	g := start(t, config(b))
	for path, want := range map[string]string{"/v1/models": `"object":"list"`, "/v1/models/org/small:q4": `"model_id":"bafymodel"`, "/v1/models/x": "model_not_found", "/v1/chat/completions": "unknown_url"} {
		w := httptest.NewRecorder()
		g.Handler().ServeHTTP(w, request("GET", path, ""))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	b.err = errors.New("no ledger")
	w := httptest.NewRecorder()
	if g.Handler().ServeHTTP(w, request("GET", "/v1/models", "")); w.Code != 502 {
		t.Errorf("a failed list: %d", w.Code)
	}
}
