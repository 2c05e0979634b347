package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// endless is a body that goes on for ever, and counts what was taken of it.
type endless struct{ taken int }

func (e *endless) Read(p []byte) (int, error) {
	const stop = 64 << 20 // far more than the gateway may read
	if e.taken > stop {
		return 0, io.ErrUnexpectedEOF
	}
	for i := range p {
		p[i] = '['
	}
	e.taken += len(p)
	return len(p), nil
}

// TestBodiesAreNotReadBeyondTheirLimit: the limit bounds memory, so it holds
// while the body is read and not after.
func TestBodiesAreNotReadBeyondTheirLimit(t *testing.T) {
	for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
		body := &endless{}
		r := request("POST", path, "")
		r.Body, r.ContentLength = io.NopCloser(body), -1
		w := httptest.NewRecorder()
		start(t, config(fails(errors.New("the backend was reached")))).Handler().ServeHTTP(w, r)
		if w.Code != http.StatusRequestEntityTooLarge || body.taken > 4<<20 {
			t.Errorf("%s: status %d after %d bytes", path, w.Code, body.taken)
		}
	}
}

// costs is a backend whose answers are admitted at a ceiling and then cost more
// or less.
func costs(ceiling, price *uint64, asked *int) *backend {
	return &backend{answer: func(_ context.Context, _ Prompt, begin func(Admission) error, _ func(string, ...AnswerToken) error) (Result, error) {
		a := admission
		a.Ceiling = *ceiling
		if err := begin(a); err != nil {
			return Result{}, err
		}
		*asked++
		return Result{Receipt: "s1-7", Finish: "stop", Price: *price}, nil
	}}
}

// TestOverrunCountsAgainstTheToken: what an answer cost above its ceiling is
// gone, so it is not there to be spent again.
func TestOverrunCountsAgainstTheToken(t *testing.T) {
	ceiling, price, asked := uint64(1), uint64(700), 0
	c := config(costs(&ceiling, &price, &asked))
	g := start(t, c)
	for range 10 {
		ask(g, question)
	}
	// After 700 of 1,000 there is room for one more, and then for none.
	if asked != 2 {
		t.Errorf("%d answers of 700 udlt were given for a token of 1,000 a day", asked)
	}
}

// TestDayRollsOver: an answer that began yesterday is yesterday's, whatever it
// costs in the end; it neither eats up today's money nor adds to it.
func TestDayRollsOver(t *testing.T) {
	day := time.Unix(0, 0).Add(20000 * 24 * time.Hour)
	for name, late := range map[string]uint64{"costs less than reserved": 0, "costs more than reserved": 900} {
		now := day.Add(24*time.Hour - time.Second)
		ceiling, price, asked := uint64(100), uint64(100), 0
		var g *Gateway
		b := costs(&ceiling, &price, &asked)
		answer := b.answer
		b.answer = func(ctx context.Context, p Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
			r, err := answer(ctx, p, begin, piece)
			if now.Before(day.Add(24 * time.Hour)) { // the first ends tomorrow, when another has been given
				now = now.Add(time.Hour)
				ask(g, question)
				r.Price = late
			}
			return r, err
		}
		c := config(b)
		c.Now = func() time.Time { return now }
		g = start(t, c)
		ask(g, question)
		asked = 0
		for range 30 {
			ask(g, question)
		}
		if asked != 9 {
			t.Errorf("%s: the second day allowed %d answers of 100 udlt after the first one, and its 1,000 allow 9", name, asked)
		}
	}
}

// TestOriginsAndHosts: what a browser sends for a page of another site, and what
// else may stand for a name or an address.
func TestOriginsAndHosts(t *testing.T) {
	c := config(says("x"))
	c.Hosts = []string{"daulat.lan"}
	g := start(t, c)
	for _, e := range []struct {
		host    string
		origins []string
		want    int
	}{
		{"localhost:4747", nil, 200},
		{"LOCALHOST:4747", []string{"http://localhost:4747"}, 200},
		{"127.0.0.1:4747", []string{"http://127.0.0.1:4747"}, 200},
		{"127.8.9.1", nil, 200},
		{"[::1]:4747", []string{"http://[::1]:4747"}, 200},
		{"[::1]", nil, 200},
		{"[::ffff:127.0.0.1]:4747", nil, 200},
		{"Daulat.lan", nil, 200},
		{"localhost:4747", []string{"http://localhost:4747", "http://evil.example"}, 403},
		{"localhost:4747", []string{"http://evil.example", "http://localhost:4747"}, 403},
		{"localhost:4747", []string{"http://localhost:4747", "http://localhost:4747"}, 403},
		{"localhost:4747", []string{"null"}, 403},
		{"localhost:4747", []string{""}, 403},
		{"localhost:4747", []string{"http://localhost:4747.evil.example"}, 403},
		{"localhost:4747", []string{"http://localhost:4748"}, 403},
		{"localhost:4747", []string{"http://localhost:4747@evil.example"}, 403},
		{"localhost:4747", []string{"http://evil.example@localhost:4747"}, 403},
		{"localhost:4747", []string{"http://localhost:4747/path"}, 403},
		{"localhost:4747", []string{"ftp://localhost:4747"}, 403},
		{"localhost:4747", []string{"http://127.0.0.1:4747"}, 403},
		{"evil.example", nil, 403},
		{"localhost.evil.example:4747", nil, 403},
		{"evil.example:4747@localhost", nil, 403},
		{"user@localhost:4747", nil, 403},
		{"localhost:4747:4747", nil, 403},
		{"localhost.:4747", nil, 403}, // a name of its own, which a server may give out
		{"127.0.0.1.:4747", nil, 403},
		{"127.1", nil, 403},
		{"2130706433", nil, 403},
		{"0177.0.0.1", nil, 403},
		{"0.0.0.0:4747", nil, 403}, // leads here from a page, past its own checks
		{"[::]:4747", nil, 403},
		{"[fe80::1%25lo]:4747", nil, 403},
		{"[[::1]]", nil, 403},
		{"192.168.1.7:4747", nil, 403},
		{"", nil, 403},
	} {
		r := request("POST", "/v1/chat/completions", question)
		r.Host = e.host
		for _, o := range e.origins {
			r.Header.Add("Origin", o)
		}
		w := httptest.NewRecorder()
		g.Handler().ServeHTTP(w, r)
		if w.Code != e.want {
			t.Errorf("host %q, origins %q: status %d, want %d %s", e.host, strings.Join(e.origins, " "), w.Code, e.want, w.Body)
		}
	}
}

// TestAnswerOfAnotherProviderNamesItsReceipt: a provider that took over from the
// admitted one gives the receipt under which the answer can be verified.
func TestAnswerOfAnotherProviderNamesItsReceipt(t *testing.T) {
	g := start(t, config(&backend{answer: func(_ context.Context, _ Prompt, begin func(Admission) error, piece func(string, ...AnswerToken) error) (Result, error) {
		err := errors.Join(begin(admission), piece("x"))
		return Result{Receipt: "s2-1", Provider: "p2", Finish: "stop"}, err
	}}))
	whole := ask(g, question)
	if h := whole.Header().Get("Daulat-Receipt"); h != "s2-1" || strings.Contains(whole.Body.String(), "s1-7") {
		t.Errorf("header %q, %s", h, whole.Body)
	}
	for _, body := range []string{question, streamed} {
		if got := ask(g, body).Body.String(); !strings.Contains(got, `"receipt":"s2-1"`) || !strings.Contains(got, `"provider":"p2"`) {
			t.Errorf("%s", got)
		}
	}
}
