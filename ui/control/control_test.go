package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// counted are operations that count how often they were reached.
type counted struct{ calls int }

func (c *counted) Status(context.Context) (Status, error) {
	c.calls++
	return Status{Chain: "test"}, nil
}
func (c *counted) Earned(_ context.Context, days int) ([]EarnedDay, error) {
	c.calls++
	return make([]EarnedDay, days), nil
}
func (c *counted) Rest(context.Context, bool) error    { c.calls++; return nil }
func (c *counted) Jobs(context.Context) ([]Job, error) { c.calls++; return nil, nil }
func (c *counted) Job(_ context.Context, id uint64) (Job, error) {
	c.calls++
	return Job{ID: id}, nil
}
func (c *counted) Providers(context.Context, string) ([]Provider, error) { c.calls++; return nil, nil }
func (c *counted) Receipts(context.Context) ([]Receipt, error)           { c.calls++; return nil, nil }
func (c *counted) Export(_ context.Context, receipt string) (Exported, error) {
	c.calls++
	return Exported{Trust: receipt}, errors.New("no answer here has that receipt")
}
func (c *counted) Ready(context.Context) (Ready, error) { c.calls++; return Ready{}, nil }
func (c *counted) Liar(_ context.Context, say Progress) (Report, error) {
	c.calls++
	say("asking")
	say("checking")
	return Report{Verdict: "disagree"}, nil
}
func (c *counted) Send(context.Context, string, uint64) error {
	c.calls++
	return nil
}
func (c *counted) NewToken(_ context.Context, t TokenTerms) (NewToken, error) {
	c.calls++
	return NewToken{TokenTerms: t}, t.Check()
}
func (c *counted) Tokens(context.Context) ([]Token, error) { c.calls++; return nil, nil }
func (c *counted) RevokeToken(context.Context, string) error {
	c.calls++
	return errors.New("no token has that name")
}

func (c *counted) NewInvite(_ context.Context, t InviteTerms) (NewInvite, error) {
	c.calls++
	return NewInvite{Invite: Invite{Grant: t.Grant}}, nil
}
func (c *counted) Invites(context.Context) (Invites, error) { c.calls++; return Invites{}, nil }
func (c *counted) RevokeInvite(context.Context, string) error {
	c.calls++
	return errors.New("no invite has that ID")
}
func (c *counted) Validators(context.Context) ([]Validator, error) { c.calls++; return nil, nil }
func (c *counted) Upgrades(context.Context) (Upgrades, error)      { c.calls++; return Upgrades{}, nil }
func (c *counted) Keys(context.Context) ([]Key, error)             { c.calls++; return nil, nil }
func (c *counted) RotateKey(_ context.Context, name string) (Key, error) {
	c.calls++
	return Key{Name: name}, nil
}
func (c *counted) RevokeKey(_ context.Context, name string) (Key, error) {
	c.calls++
	return Key{Name: name}, nil
}

func post(o Operations, name string, body io.Reader) *httptest.ResponseRecorder {
	return postAs("Bearer "+secret, o, name, body)
}

func postAs(authorization string, o Operations, name string, body io.Reader) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest("POST", Prefix+name, body)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	Handler(secret, o).ServeHTTP(w, r)
	return w
}

const secret = "dlc-0123456789abcdef"

// operations are the names of all, as the Handler knows them.
var operationNames = []string{"ready", "status", "earned", "rest", "jobs", "job", "providers", "receipts", "export", "liar", "send", "token-new", "tokens", "token-revoke",
	"invite-new", "invites", "invite-revoke", "keys", "key-rotate", "key-revoke", "validators", "upgrades"}

// TestOperationsTakeTheirSecretAlone: nothing else opens any of them, whatever
// is asked.
func TestOperationsTakeTheirSecretAlone(t *testing.T) {
	o := &counted{}
	for _, name := range append(operationNames, "unknown", "") {
		for _, sent := range []string{"", "Bearer", "Bearer ", "Bearer dlt-an-api-token-of-the-home", "Bearer " + secret[:len(secret)-1], "Bearer " + secret + "0", "Basic " + secret, secret} {
			if w := postAs(sent, o, name, strings.NewReader("{}")); w.Code != http.StatusUnauthorized || o.calls != 0 {
				t.Errorf("%s with %q: status %d after %d calls", name, sent, w.Code, o.calls)
			}
		}
	}
	if n := reflect.TypeFor[Operations]().NumMethod(); n != len(operationNames) {
		t.Errorf("%d operations are tried, and there are %d", len(operationNames), n)
	}
	if w := post(o, "status", strings.NewReader("{}")); w.Code != http.StatusOK || o.calls != 1 {
		t.Errorf("the secret itself: status %d", w.Code)
	}
}

// A daulat that only sells says so to all other commands, and takes its secret
// alone too.
func TestSellingTakesNoOtherCommand(t *testing.T) {
	o := &counted{}
	server := httptest.NewServer(SellingHandler(secret, o))
	defer server.Close()
	c := Client{Base: server.URL, Secret: secret}
	if days, err := c.Earned(t.Context(), 3); err != nil || len(days) != 3 || c.Rest(t.Context(), true) != nil || o.calls != 2 {
		t.Fatalf("%d days, %v, after %d calls", len(days), err, o.calls)
	}
	if _, err := c.Keys(t.Context()); err != nil || o.calls != 3 {
		t.Fatalf("keys: %v after %d calls", err, o.calls)
	}
	if k, err := c.RevokeKey(t.Context(), "identity"); err != nil || k.Name != "identity" || o.calls != 4 {
		t.Fatalf("a key: %+v, %v after %d calls", k, err, o.calls)
	}
	if _, err := c.Validators(t.Context()); err != nil || o.calls != 5 {
		t.Fatalf("validators: %v after %d calls", err, o.calls)
	}
	if _, err := c.Upgrades(t.Context()); err != nil || o.calls != 6 {
		t.Fatalf("upgrades: %v after %d calls", err, o.calls)
	}
	var wrong WrongInput
	if _, err := c.Receipts(t.Context()); err == nil || errors.As(err, &wrong) || !strings.Contains(err.Error(), "only sells") {
		t.Errorf("receipts: %v", err)
	}
	if err := c.RevokeToken(t.Context(), "bot"); err == nil || o.calls != 6 {
		t.Errorf("%v after %d calls", err, o.calls)
	}
	if err := (Client{Base: server.URL, Secret: "dlt-an-api-token-of-the-home"}).Rest(t.Context(), true); err == nil || o.calls != 6 {
		t.Errorf("another secret: %v after %d calls", err, o.calls)
	}
}

// TestStepsCross: the other end hears each step, then the result, and of a
// failure what kind it is.
func TestStepsCross(t *testing.T) {
	server := httptest.NewServer(Handler(secret, &counted{}))
	defer server.Close()
	c := Client{Base: server.URL, Secret: secret}
	var said []string
	r, err := c.Liar(t.Context(), func(step string) { said = append(said, step) })
	if err != nil || r.Verdict != "disagree" || !slices.Equal(said, []string{"asking", "checking"}) {
		t.Errorf("%+v, %v, said %q", r, err, said)
	}
	if _, err := (Client{Base: server.URL, Secret: "another"}).Liar(t.Context(), func(string) {}); err == nil || !strings.Contains(err.Error(), "own command line") {
		t.Errorf("another secret: %v", err)
	}
	mux := http.NewServeMux()
	serveSteps(mux, "liar", func(context.Context, empty, Progress) (Report, error) {
		return Report{}, WrongInput{errors.New("no")}
	})
	other := httptest.NewServer(mux)
	defer other.Close()
	var wrong WrongInput
	if _, err := (Client{Base: other.URL}).Liar(t.Context(), nil); !errors.As(err, &wrong) || err.Error() != "no" {
		t.Errorf("a wrong input came back as %v", err)
	}
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"step":"asking"}`) }))
	defer broken.Close()
	if _, err := (Client{Base: broken.URL}).Liar(t.Context(), func(string) {}); err == nil {
		t.Error("a reply that breaks off is a result")
	}
}

func TestBothEndsAgree(t *testing.T) {
	o := &counted{}
	server := httptest.NewServer(Handler(secret, o))
	defer server.Close()
	c := Client{Base: server.URL, Secret: secret}
	if s, err := c.Status(t.Context()); err != nil || s.Chain != "test" {
		t.Errorf("%+v, %v", s, err)
	}
	if j, err := c.Job(t.Context(), 1<<63); err != nil || j.ID != 1<<63 {
		t.Errorf("%+v, %v", j, err)
	}
	if _, err := c.Export(t.Context(), "1-1"); err == nil || err.Error() != "no answer here has that receipt" {
		t.Errorf("an error came back as %v", err)
	}
	if err := c.Send(t.Context(), "daulat1x", 5); err != nil || o.calls != 4 {
		t.Errorf("%v after %d calls", err, o.calls)
	}
}

// A wrong input is still one after it crossed to the other end, and no other
// failure becomes one.
func TestWrongInputStaysOne(t *testing.T) {
	server := httptest.NewServer(Handler(secret, &counted{}))
	defer server.Close()
	c := Client{Base: server.URL, Secret: secret}
	var wrong WrongInput
	if _, err := c.NewToken(t.Context(), TokenTerms{Name: "a b", Daily: 1, AtOnce: 1}); !errors.As(err, &wrong) {
		t.Errorf("a bad name came back as %v", err)
	}
	if err := c.RevokeToken(t.Context(), "bot"); err == nil || errors.As(err, &wrong) {
		t.Errorf("an unknown name came back as %v", err)
	}
	if made, err := c.NewToken(t.Context(), TokenTerms{Name: "bot", Daily: 1, AtOnce: 1}); err != nil || made.Name != "bot" {
		t.Errorf("%+v, %v", made, err)
	}
}

func TestTokenTerms(t *testing.T) {
	for name, good := range map[string]bool{
		"bot": true, "a": true, "7": true, "my_bot-2": true, strings.Repeat("a", 64): true,
		"": false, "Bot": false, "my bot": false, "-bot": false, "bot\n": false, "../bot": false, "bötchen": false, strings.Repeat("a", 65): false,
	} {
		if err := (TokenTerms{Name: name, Daily: 1, AtOnce: 1}).Check(); (err == nil) != good {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for _, c := range []TokenTerms{{"bot", 0, 1}, {"bot", 1, 0}, {"bot", 1, -1}, {"bot", 1, MaxAtOnce + 1}} {
		if c.Check() == nil {
			t.Errorf("%+v passed", c)
		}
	}
}

func TestBadRequestsReachNothing(t *testing.T) {
	for name, c := range map[string]struct{ operation, body string }{
		"nothing":          {"job", ""},
		"two values":       {"job", "1 2"},
		"trailing bracket": {"status", "{}]"},
		"unknown field":    {"send", `{"to":"x","amount_udlt":1,"from":"y"}`},
		"another type":     {"job", `"1"`},
		"negative":         {"job", "-1"},
		"fraction":         {"send", `{"to":"x","amount_udlt":1.5}`},
		"too large":        {"job", "18446744073709551616"},
		"huge exponent":    {"job", "1e999999999"},
		"long digits":      {"job", strings.Repeat("9", 1<<19)},
		"deep":             {"send", strings.Repeat("[", 1<<19)},
		"deep and unknown": {"send", `{"x":` + strings.Repeat("[", 1<<19)},
		"not JSON":         {"send", "\x00"},
		"over the limit":   {"export", `"` + strings.Repeat("a", maxRequest) + `"`},
	} {
		o := &counted{}
		w := post(o, c.operation, strings.NewReader(c.body))
		var f failure
		if err := json.Unmarshal(w.Body.Bytes(), &f); w.Code != http.StatusBadRequest || err != nil || f.Error == "" || o.calls != 0 {
			t.Errorf("%s: status %d, %d calls, %.99s", name, w.Code, o.calls, w.Body)
		}
	}
}

// endless is a string that never ends, and counts what was taken of it.
type endless struct{ taken int }

func (e *endless) Read(p []byte) (int, error) {
	if e.taken > 64<<20 { // far more than may be read
		return 0, io.ErrUnexpectedEOF
	}
	for i := range p {
		p[i] = '"' ^ byte(min(e.taken, 1)*('"'^'a')) // an opening quote, then letters
		e.taken++
	}
	return len(p), nil
}

func TestBodiesAreNotReadBeyondTheirLimit(t *testing.T) {
	body := &endless{}
	if w := post(&counted{}, "export", body); w.Code != http.StatusBadRequest || body.taken > 4<<20 {
		t.Errorf("status %d after %d bytes", w.Code, body.taken)
	}
}

// A reply that never ends does not fill the caller's memory.
func TestRepliesAreBounded(t *testing.T) {
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := []byte(strings.Repeat(" ", 1<<20))
		for sent < 3*maxReply {
			n, err := w.Write(piece)
			if sent += n; err != nil {
				return
			}
		}
	}))
	_, err := Client{Base: server.URL}.Status(t.Context())
	server.Close() // waits for the handler
	if err == nil || sent > 2*maxReply {
		t.Errorf("%v after %d bytes", err, sent)
	}
}

// FuzzRequest: whatever comes is refused or is the one value that was meant.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"to":"x","amount_udlt":1}`))
	f.Add([]byte(`{"to":"x"}{}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var in transfer
		if decode(strings.NewReader(string(body)), &in) == nil && !json.Valid(body) {
			t.Fatalf("%q was taken", body)
		}
	})
}
