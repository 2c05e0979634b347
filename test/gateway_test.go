package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"daulat/ui/control"
)

// TestGateway speaks HTTP to one running network, as programs do, well-behaved
// and not.
func TestGateway(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	g := gateway{upward: up(t, home)}
	t.Run("Strangers", g.strangers)
	t.Run("BadRequests", g.badRequests)
	t.Run("BadPromptsCloseNoSession", g.badPromptsCloseNoSession)
	t.Run("StreamEqualsWhole", g.streamEqualsWhole)
	t.Run("Seeds", g.seeds)
	t.Run("StopStrings", g.stopStrings)
	t.Run("StoppedAnswersVerify", g.stoppedAnswersVerify)
	t.Run("Disconnect", g.disconnect)
	t.Run("EightAtOnce", g.eightAtOnce)
	stop(t, g.Process)
}

type gateway struct{ *upward }

// A reply is what came back, whole or in pieces.
type reply struct {
	status  int
	header  http.Header
	body    string
	text    string
	pieces  []string // as they were streamed
	finish  string
	receipt string
	price   uint64
	output  uint64
	err     string // of an error object
	code    string
	param   string
}

type completion struct {
	Choices []struct {
		Message struct{ Content string } `json:"message"`
		Delta   struct{ Content string } `json:"delta"`
		Text    string                   `json:"text"`
		Finish  string                   `json:"finish_reason"`
	} `json:"choices"`
	Usage struct {
		Output uint64 `json:"completion_tokens"`
	} `json:"usage"`
	Daulat struct {
		Receipt string `json:"receipt"`
		Price   uint64 `json:"price_udlt,string"`
	} `json:"daulat"`
	Error struct{ Message, Code, Param string } `json:"error"`
}

// post sends a body to a path below /v1; change may spoil the request.
func (g gateway) post(t *testing.T, path string, body io.Reader, change func(*http.Request)) reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.API+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.Token)
	req.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		t.Fatal(err)
	}
	r := reply{status: resp.StatusCode, header: resp.Header, body: string(data)}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		r.follow(t)
		return r
	}
	if c, err := parse[completion](r.body); err == nil {
		r.take(c)
	} else if command, err := parse[struct{ Error string }](r.body); err == nil { // as the command line gets it
		r.err = command.Error
	} else {
		t.Errorf("%s answered with status %d and no JSON: %q", path, r.status, r.body)
	}
	return r
}

func (r *reply) follow(t *testing.T) {
	t.Helper()
	done := false
	lines := bufio.NewScanner(strings.NewReader(r.body))
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if done {
			t.Errorf("an event follows [DONE]: %s", data)
		}
		if data == "[DONE]" {
			done = true
			continue
		}
		c, err := parse[completion](data)
		if err != nil {
			t.Fatalf("event %q: %v", data, err)
		}
		r.take(c)
	}
	if done != (r.err == "") {
		t.Errorf("the stream has [DONE]: %v, and error %q", done, r.err)
	}
}

func (r *reply) take(c completion) {
	for _, choice := range c.Choices {
		piece := choice.Message.Content + choice.Delta.Content + choice.Text
		r.text += piece
		if piece != "" {
			r.pieces = append(r.pieces, piece)
		}
		if choice.Finish != "" {
			r.finish = choice.Finish
		}
	}
	if c.Daulat.Receipt != "" {
		r.receipt, r.price = c.Daulat.Receipt, c.Daulat.Price
	}
	if c.Usage.Output != 0 {
		r.output = c.Usage.Output
	}
	if c.Error.Message != "" {
		r.err, r.code, r.param = c.Error.Message, c.Error.Code, c.Error.Param
	}
}

// A question is the body of a chat completion.
type question map[string]any

func (g gateway) question(more question) question {
	q := question{"model": g.Model, "messages": []question{{"role": "user", "content": "What is daulat?"}}, "max_tokens": 48, "temperature": 0}
	for k, v := range more {
		q[k] = v
	}
	return q
}

func (g gateway) ask(t *testing.T, more question) reply {
	t.Helper()
	body, err := json.Marshal(g.question(more))
	if err != nil {
		t.Fatal(err)
	}
	return g.post(t, "/chat/completions", bytes.NewReader(body), nil)
}

// answered asks and wants an answer.
func (g gateway) answered(t *testing.T, more question) reply {
	t.Helper()
	r := g.ask(t, more)
	if r.status != http.StatusOK || r.err != "" || r.receipt == "" {
		t.Fatalf("status %d, error %q, receipt %q", r.status, r.err, r.receipt)
	}
	if h := r.header.Get("Daulat-Receipt"); h != r.receipt {
		t.Errorf("the header names receipt %q and the reply %q", h, r.receipt)
	}
	return r
}

func (g gateway) jobs(t *testing.T) []control.Job {
	t.Helper()
	return must[[]control.Job](t, g.home, "job", "ls")
}

// strangers are turned away before anything is read or spent.
func (g gateway) strangers(t *testing.T) {
	body, err := json.Marshal(g.question(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		status int
		change func(*http.Request)
	}{
		{"no token", 401, func(r *http.Request) { r.Header.Del("Authorization") }},
		{"empty token", 401, func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }},
		{"another token", 401, func(r *http.Request) { r.Header.Set("Authorization", "Bearer dlt-"+strings.Repeat("0", 64)) }},
		{"start of the token", 401, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+g.Token[:len(g.Token)-1]) }},
		{"another scheme", 401, func(r *http.Request) { r.Header.Set("Authorization", "Basic "+g.Token) }},
		{"token in the URL", 401, func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = "token=" + g.Token }},
		{"rebound name", 403, func(r *http.Request) { r.Host = "evil.example" }},
		{"rebound name with our port", 403, func(r *http.Request) {
			r.Host = "127.0.0.1.evil.example" + r.URL.Host[strings.LastIndex(r.URL.Host, ":"):]
		}},
		{"foreign origin", 403, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }},
		{"origin of another port", 403, func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:1") }},
		{"null origin", 403, func(r *http.Request) { r.Header.Set("Origin", "null") }},
	} {
		for _, path := range []string{"/chat/completions", "/completions", "/../daulat/v1/control/send", "/../daulat/v1/control/status"} {
			r := g.post(t, path, bytes.NewReader(body), c.change)
			if r.status != c.status || r.err == "" {
				t.Errorf("%s at %s: status %d, want %d, error %q", c.name, path, r.status, c.status, r.err)
			}
			if strings.Contains(r.body, g.Token) {
				t.Errorf("%s: the refusal tells the token", c.name)
			}
		}
	}
	if info, err := os.Stat(filepath.Join(g.home, "up.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others read the secret for commands: %v, %v", info, err)
	}
	if jobs := g.jobs(t); len(jobs) != 0 {
		t.Errorf("strangers opened %d sessions", len(jobs))
	}
}

// badRequests get one error of the right kind, and cost nothing.
func (g gateway) badRequests(t *testing.T) {
	valid, err := json.Marshal(g.question(nil))
	if err != nil {
		t.Fatal(err)
	}
	with := func(key, value string) string {
		return strings.Replace(string(valid), "{", fmt.Sprintf("{%q:%s,", key, value), 1)
	}
	without := func(q question) string {
		data, err := json.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, c := range []struct {
		name, body string
		status     int
	}{
		{"empty", "", 400},
		{"no JSON", "hello", 400},
		{"a list", "[]", 400},
		{"half", string(valid[:len(valid)/2]), 400},
		{"two documents", string(valid) + string(valid), 400},
		{"too large", with("user", `"`+strings.Repeat("x", 2<<20)+`"`), 413},
		{"a deep bomb", with("metadata", strings.Repeat(`[`, 100_000)+strings.Repeat(`]`, 100_000)), 400},
		{"a wide bomb", with("metadata", "["+strings.Repeat("0,", 300_000)+"0]"), 400},
		{"a number bomb", with("top_p", "1e-99999999"), 400},
		{"one key twice", with("model", `"noise"`), 400},
		{"invalid UTF-8", with("user", "\"\xff\xfe\""), 400},
		{"invalid UTF-8 in the prompt", strings.Replace(string(valid), "daulat?", "\xc3\x28", 1), 400},
		{"no messages", without(g.question(question{"messages": []any{}})), 400},
		{"an unknown role", without(g.question(question{"messages": []question{{"role": "boss", "content": "hi"}}})), 400},
		{"an unknown model", without(g.question(question{"model": "gpt-4"})), 404},
		{"no tokens", without(g.question(question{"max_tokens": 0})), 400},
		{"a negative number of tokens", without(g.question(question{"max_tokens": -1})), 400},
		{"more tokens than any answer has", without(g.question(question{"max_tokens": 100_000_000})), 400},
		{"a wild temperature", without(g.question(question{"temperature": 2.5})), 400},
		{"an empty stop string", without(g.question(question{"stop": []string{""}})), 400},
		{"too many stop strings", without(g.question(question{"stop": []string{"a", "b", "c", "d", "e"}})), 400},
		{"a stop string longer than a request may carry", without(g.question(question{"stop": strings.Repeat("x", 1000)})), 400},
		{"two answers", without(g.question(question{"n": 2})), 400},
		{"tools", without(g.question(question{"tools": []question{{"type": "function"}}})), 400},
		{"a prompt beyond the context", without(g.question(question{"messages": []question{{"role": "user", "content": strings.Repeat("many words ", 2000)}}})), 400},
		{"a streamed prompt beyond the context", without(g.question(question{"stream": true, "messages": []question{{"role": "user", "content": strings.Repeat("many words ", 2000)}}})), 400},
	} {
		r := g.post(t, "/chat/completions", strings.NewReader(c.body), nil)
		if r.status != c.status || r.err == "" {
			t.Errorf("%s: status %d, want %d, error %q", c.name, r.status, c.status, r.err)
		}
		if r.receipt != "" {
			t.Errorf("%s: was answered with receipt %s", c.name, r.receipt)
		}
	}
	if r := g.ask(t, question{"model": "gpt-4"}); r.code != "model_not_found" || r.param != "model" {
		t.Errorf("an unknown model has code %q and param %q", r.code, r.param)
	}
	g.answered(t, nil)
}

// badPromptsCloseNoSession: a request that no provider could answer must not
// cost the others their warm session.
func (g gateway) badPromptsCloseNoSession(t *testing.T) {
	before := g.answered(t, nil)
	for _, more := range []question{
		{"messages": []question{{"role": "user", "content": strings.Repeat("many words ", 2000)}}},
		{"max_tokens": 100_000_000},
		{"model": "gpt-4"},
		{"stop": strings.Repeat("x", 1000)},
	} {
		if r := g.ask(t, more); r.status == http.StatusOK {
			t.Errorf("%.40v was answered", more)
		}
	}
	after := g.answered(t, nil)
	if number(before.receipt)>>32 != number(after.receipt)>>32 {
		t.Errorf("between receipts %s and %s bad prompts closed the session", before.receipt, after.receipt)
	}
}

// The same question gives the same text in pieces and whole.
func (g gateway) streamEqualsWhole(t *testing.T) {
	for _, more := range []question{
		{"seed": 1}, {"seed": 2, "temperature": 1}, {"seed": 3, "temperature": 1.7, "top_p": 0.9, "max_tokens": 120},
	} {
		more["stream"] = false
		whole := g.answered(t, more)
		more["stream"] = true
		streamed := g.answered(t, more)
		more["stream_options"] = question{"include_usage": true}
		counted := g.answered(t, more)
		if whole.text != streamed.text || whole.finish != streamed.finish {
			t.Errorf("whole %q (%s), streamed %q (%s)", whole.text, whole.finish, streamed.text, streamed.finish)
		}
		if len(streamed.pieces) < 2 && counted.output >= 16 { // what a seed draws hangs on the home's key, and may be short
			t.Errorf("the stream of %d tokens came in %d pieces", counted.output, len(streamed.pieces))
		}
		if counted.output == 0 || whole.output == 0 {
			t.Errorf("usage counts %d and %d tokens", whole.output, counted.output)
		}
	}
}

// The seed decides the draw: one seed gives one text, and another a different
// one.
func (g gateway) seeds(t *testing.T) {
	text := func(seed int, stream bool) string {
		return g.answered(t, question{"seed": seed, "temperature": 1, "stream": stream}).text
	}
	first := text(11, false)
	for _, stream := range []bool{false, true} {
		if again := text(11, stream); again != first {
			t.Errorf("seed 11 gave %q, and then (stream %v) %q", first, stream, again)
		}
	}
	if other := text(12, false); other == first {
		t.Errorf("seeds 11 and 12 both gave %q", first)
	}
	free := g.answered(t, question{"temperature": 1}).text
	if again := g.answered(t, question{"temperature": 1}).text; again == free {
		t.Errorf("without a seed the same text came twice: %q", free)
	}
}

// torn finds a stop string that no single piece of the text holds, together
// with the text before it.
func torn(pieces []string) (stop, before string) {
	whole := strings.Join(pieces, "")
	at := 0
	for i := 0; i+1 < len(pieces); i++ {
		at += len(pieces[i])
		if i == 0 || at < 3 || at+2 > len(whole) {
			continue
		}
		s := whole[at-1 : at+1]
		if plain(s) && strings.Index(whole, s) == at-1 {
			return s, whole[:at-1]
		}
	}
	return "", ""
}

func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// A stop string ends the text before it also where it lies across tokens, and
// what a stream has shown of it is never taken back.
func (g gateway) stopStrings(t *testing.T) {
	free := g.answered(t, question{"stream": true, "max_tokens": 160})
	stop, before := torn(free.pieces)
	if stop == "" {
		t.Fatalf("the noise has no two plain characters across tokens: %q", free.pieces)
	}
	for _, stops := range []any{stop, []string{"never in it", stop}} {
		whole := g.answered(t, question{"max_tokens": 160, "stop": stops})
		streamed := g.answered(t, question{"max_tokens": 160, "stop": stops, "stream": true})
		for name, r := range map[string]reply{"whole": whole, "streamed": streamed} {
			if r.text != before || r.finish != "stop" {
				t.Errorf("%s, stopped by %q: %q (%s), want %q", name, stop, r.text, r.finish, before)
			}
		}
		if whole.output >= 160 {
			t.Errorf("a stopped answer has %d tokens", whole.output)
		}
	}
	// A stop string that begins and does not come is text like any other.
	near := stop + "never"
	if r := g.answered(t, question{"max_tokens": 160, "stop": near, "stream": true}); r.text != free.text {
		t.Errorf("with stop string %q the text is %q, want %q", near, r.text, free.text)
	}
}

// Answers that a stop string or the limit ended are verified like all others.
func (g gateway) stoppedAnswersVerify(t *testing.T) {
	free := g.answered(t, question{"stream": true, "max_tokens": 60})
	stop, _ := torn(free.pieces)
	if stop == "" {
		t.Fatalf("the noise has no two plain characters across tokens: %q", free.pieces)
	}
	for _, r := range []reply{
		g.answered(t, question{"max_tokens": 60, "stop": stop}),
		g.answered(t, question{"max_tokens": 1}),
		g.answered(t, question{"max_tokens": 250}),
		g.answered(t, question{"temperature": 1.3, "top_p": 0.8, "seed": 5}),
	} {
		if report := g.verified(t, r.receipt); report.Verdict != "agree" || uint64(report.Output) != r.output {
			t.Errorf("receipt %s of %d tokens: %s", r.receipt, r.output, report.Line)
		}
	}
}

// verified is what a stranger finds of a receipt.
func (g gateway) verified(t *testing.T, receipt string) control.Report {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, receipt)
	must[map[string]any](t, g.home, "receipt", "export", receipt, "-o", file)
	return must[control.Report](t, filepath.Join(dir, "stranger"), "verify", file, "--trust", g.Trust)
}

// A client that leaves in the middle harms nobody: what came is paid for, and proves
// itself like a whole answer.
func (g gateway) disconnect(t *testing.T) {
	body, err := json.Marshal(g.question(question{"stream": true, "max_tokens": 200}))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		before := g.receipts(t)
		ctx, leave := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.API+"/chat/completions", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+g.Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		for begun := false; !begun && lines.Scan(); { // the first event has no text yet
			begun = strings.Contains(lines.Text(), `"content":"`) && !strings.Contains(lines.Text(), `"content":""`)
		}
		leave()
		resp.Body.Close()
		var all []string
		eventually(t, func() (bool, string) { all = g.receipts(t); return len(all) > len(before), "the part is paid for" })
		for _, receipt := range all {
			if slices.Contains(before, receipt) {
				continue
			}
			if report := g.verified(t, receipt); report.Verdict != "agree" || report.Output == 0 {
				t.Errorf("receipt %s: %s", receipt, report.Line)
			}
		}
		g.answered(t, nil)
	}
}

func (g gateway) receipts(t *testing.T) (names []string) {
	t.Helper()
	for _, r := range must[[]struct{ Receipt string }](t, g.home, "receipt", "ls") {
		names = append(names, r.Receipt)
	}
	return names
}

// Eight requests at once, as many as a token may have, all get answers of their
// own, and what they were told to cost is what the vouchers come to.
func (g gateway) eightAtOnce(t *testing.T) {
	last := g.answered(t, nil) // the session that the others share
	must[map[string]any](t, g.home, "receipt", "export", last.receipt, "-o", filepath.Join(t.TempDir(), "receipt"))
	replies := make([]reply, 8)
	var all sync.WaitGroup
	for i := range replies {
		all.Go(func() {
			replies[i] = g.ask(t, question{"seed": i, "temperature": 1, "stream": i%2 == 0, "max_tokens": 20 + i})
		})
	}
	all.Wait()
	sums := map[uint64]uint64{}
	seen := map[string]bool{}
	for i, r := range replies {
		if r.status != http.StatusOK || r.err != "" || r.receipt == "" || seen[r.receipt] {
			t.Errorf("request %d: status %d, error %q, receipt %q", i, r.status, r.err, r.receipt)
			continue
		}
		seen[r.receipt] = true
		sums[number(r.receipt)>>32] += r.price
	}
	if len(seen) == 0 {
		return
	}
	for receipt := range seen {
		must[map[string]any](t, g.home, "receipt", "export", receipt, "-o", filepath.Join(t.TempDir(), "receipt"))
	}
	for _, j := range g.jobs(t) {
		if sum, mine := sums[j.ID]; mine && j.Amount != sum {
			t.Errorf("session %d settled %d udlt for prices of %d", j.ID, j.Amount, sum)
		}
	}
}
