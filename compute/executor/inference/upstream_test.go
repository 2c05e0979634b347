package inference_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"daulat/compute/executor/inference"
	"daulat/compute/executor/inference/upstreamtest"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/receipt"
)

func TestUpstreamAddresses(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://user:pass@127.0.0.1", "http://127.0.0.1?x=1", "http://127.0.0.1#x", "http://a b"} {
		if _, err := inference.OpenUpstream(inference.UpstreamConfig{URL: bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func names(all []inference.Declared) (names []string) {
	for _, d := range all {
		names = append(names, d.Name+" "+d.Digest)
	}
	return names
}

// Ollama tells digests; of others the names alone are known, without the folders
// of the machine that they run on.
func TestUpstreamModels(t *testing.T) {
	digest := strings.Repeat("ab", 32)
	ollama := serve(t, upstreamtest.Model{Name: "llama3.2:latest", Digest: digest}, upstreamtest.Model{Name: "hf.co/a/b:Q4", Digest: "sha256:" + digest},
		upstreamtest.Model{Name: "embed", Digest: digest, Family: "nomic-bert"}, upstreamtest.Model{Name: "bad", Digest: "xyz"})
	all, err := ollama.List(t.Context())
	if got := strings.Join(names(all), ", "); err != nil || got != "llama3.2:latest "+digest+", hf.co/a/b:Q4 "+digest {
		t.Errorf("%s, %v", got, err)
	}
	other := serve(t, upstreamtest.Model{Name: "meta/Llama-3"}, upstreamtest.Model{Name: "/home/me/models/tiny.Q4.gguf"}, upstreamtest.Model{Name: `C:\models\win.gguf`},
		upstreamtest.Model{Name: "./x/../here.gguf"}, upstreamtest.Model{Name: "llam\u0430"}, upstreamtest.Model{Name: "meta/Llama-3"}, upstreamtest.Model{Name: ""})
	all, err = other.List(t.Context())
	if got := strings.Join(names(all), ","); err != nil || got != "meta/Llama-3 ,tiny.Q4 ,win ,here " {
		t.Errorf("%s, %v", got, err)
	}
	for _, d := range all {
		if back, err := artifact.DecodeDeclarationAs(d.ID, d.Data); err != nil || back != d.Declaration {
			t.Errorf("%+v: %v", d, err)
		}
	}
	// It is asked by the name that it knows.
	r := other.ask("tiny.Q4", receipt.Params{MaxTokens: 1})
	generate2(t, other.model(t, "tiny.Q4"), r)
	if asked := other.server.Asked(); len(asked) != 1 || asked[0]["model"] != "/home/me/models/tiny.Q4.gguf" {
		t.Errorf("asked %v", asked)
	}
}

func generate2(t *testing.T, m inference.Model, r receipt.Request) receipt.Answer {
	t.Helper()
	a, err := m.Generate(t.Context(), r, anything)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// What the asker signed is what the server is asked.
func TestUpstreamIsAskedWhatWasSigned(t *testing.T) {
	u := serve(t, upstreamtest.Model{Name: "small"})
	r := u.ask("small", receipt.Params{MaxTokens: 5, Temperature: 1<<15 + 1, Stop: []string{"END"}})
	r.Params.TopP = 900_001
	r.Seed = canon.Hash{0xff, 0xff, 0xff, 0xff}
	r.Chat = `{"messages":[{"content":[{"text":"what?","type":"text"},{"image_url":{"url":"data:image/png;base64,AAAA"},"type":"image_url"}],"role":"user"}],"tools":[{"function":{"name":"look"},"type":"function"}]}`
	generate2(t, u.model(t, "small"), r)
	got := fmt.Sprint(u.server.Asked()[0])
	want := "map[max_tokens:5 messages:[map[content:[map[text:what? type:text] map[image_url:map[url:data:image/png;base64,AAAA] type:image_url]] role:user]] model:small " +
		"seed:2.147483647e+09 stop:[END] stream:true stream_options:map[include_usage:true] temperature:0.5000152587890625 tools:[map[function:map[name:look] type:function]] top_p:0.900001]"
	if got != want {
		t.Errorf("asked\n%s\nnot\n%s", got, want)
	}
}

func TestUpstreamCallsTools(t *testing.T) {
	u := serve(t, upstreamtest.Model{Name: "small"})
	u.server.Behave(upstreamtest.Conduct{Call: `{"where":"Bandung \"Kota\""}`})
	r := u.ask("small", receipt.Params{MaxTokens: 40})
	r.Chat = `{"messages":[{"content":"weather?","role":"user"}],"tools":[{"function":{"name":"weather"},"type":"function"}]}`
	a := generate2(t, u.model(t, "small"), r)
	want := receipt.NewMessage(upstreamtest.Text(upstreamtest.Words), []any{map[string]any{"id": "call_1", "type": "function",
		"function": map[string]any{"name": "weather", "arguments": `{"where":"Bandung \"Kota\""}`}}})
	if a.Message != want || a.Finish != receipt.FinishTools || r.Fits(a) != nil {
		t.Errorf("%s, finish %q, %v", a.Message, a.Finish, r.Fits(a))
	}
}

// What a model thinks before it answers is passed on apart from its answer, whatever
// its server calls that, and is signed and billed with it.
func TestUpstreamThinks(t *testing.T) {
	u := serve(t, upstreamtest.Model{Name: "small"})
	m, r := u.model(t, "small"), u.ask("small", receipt.Params{MaxTokens: 40})
	for _, name := range []string{"", "reasoning"} {
		u.server.Behave(upstreamtest.Conduct{Thinks: 3, Thought: name})
		var passed receipt.Message
		a, err := m.Generate(t.Context(), r, func(t receipt.Token) error {
			passed.Content, passed.Reasoning = passed.Content+t.Text, passed.Reasoning+t.Reasoning
			return nil
		})
		want := receipt.Message{Content: upstreamtest.Text(upstreamtest.Words), Reasoning: upstreamtest.Text(3)}
		if err != nil || a.Message != want.Encode() || passed.Encode() != a.Message || a.Usage.Output != upstreamtest.Words+3 || r.Fits(a) != nil {
			t.Errorf("%s, and %+v was passed on, %+v, %v", a.Message, passed, a.Usage, err)
		}
	}
	r.Params.MaxTokens = 2
	u.server.Behave(upstreamtest.Conduct{Thinks: 1 << 12})
	pieces := 0
	a, err := m.Generate(t.Context(), r, func(receipt.Token) error { pieces++; return nil })
	if err != nil || len(a.Message) > r.Params.MessageRoom() || a.Finish != receipt.FinishLength || pieces > 2 || a.Usage.Output > 2 || r.Fits(a) != nil {
		t.Errorf("%d bytes in %d pieces, finish %q, %+v, %v", len(a.Message), pieces, a.Finish, a.Usage, err)
	}
}

// A server that counts what can't be is billed for what can.
func TestUpstreamUsage(t *testing.T) {
	u := serve(t, upstreamtest.Model{Name: "small"})
	m, r := u.model(t, "small"), u.ask("small", receipt.Params{MaxTokens: 4})
	u.server.Behave(upstreamtest.Conduct{Usage: func(int, int) (int, int) { return 1 << 40, 1 << 40 }})
	if a := generate2(t, m, r); *a.Usage != (receipt.Usage{Input: r.Worst().Input, Output: 4}) {
		t.Errorf("billed for %+v", a.Usage)
	}
	u.server.Behave(upstreamtest.Conduct{NoUsage: true})
	if a := generate2(t, m, r); *a.Usage != (receipt.Usage{Output: 4}) {
		t.Errorf("a server that does not count is billed for %+v", a.Usage)
	}
}

// A server that goes on and on is cut off, and so is its bill.
func TestUpstreamIsCutOff(t *testing.T) {
	u := serve(t, upstreamtest.Model{Name: "small"})
	m, r := u.model(t, "small"), u.ask("small", receipt.Params{MaxTokens: 2})
	u.server.Behave(upstreamtest.Conduct{Endless: true})
	pieces := 0
	a, err := m.Generate(t.Context(), r, func(receipt.Token) error { pieces++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Message) > r.Params.MessageRoom() || a.Finish != receipt.FinishLength || r.Fits(a) != nil || pieces > 2 {
		t.Errorf("%d bytes in %d pieces, finish %q: %v", len(a.Message), pieces, a.Finish, r.Fits(a))
	}
}

// Whose fault it is decides what becomes of the request; what a server says goes
// to its owner's log alone.
func TestUpstreamErrors(t *testing.T) {
	u := serve(t, upstreamtest.Model{Name: "small"}, upstreamtest.Model{Name: "other"})
	m, r := u.model(t, "small"), u.ask("small", receipt.Params{MaxTokens: 4})
	const said = "cannot load /root/models/private.gguf"
	for name, c := range map[string]struct {
		conduct upstreamtest.Conduct
		want    error
	}{
		"a bad request":      {upstreamtest.Conduct{Status: 400, Body: said}, inference.ErrPrompt},
		"a long request":     {upstreamtest.Conduct{Status: 413, Body: said}, inference.ErrPrompt},
		"no model":           {upstreamtest.Conduct{Status: 404, Body: said}, inference.ErrAway},
		"another key":        {upstreamtest.Conduct{Status: 401, Body: said}, inference.ErrAway},
		"busy":               {upstreamtest.Conduct{Status: 429, Body: said}, inference.ErrAway},
		"broken":             {upstreamtest.Conduct{Status: 500, Body: said}, inference.ErrAway},
		"no content":         {upstreamtest.Conduct{Status: 204}, inference.ErrAway},
		"cut off":            {upstreamtest.Conduct{Cut: 1}, inference.ErrAway},
		"an error later":     {upstreamtest.Conduct{Raw: "data: {\"error\":{\"message\":\"" + said + "\"}}\n\n"}, inference.ErrAway},
		"no JSON":            {upstreamtest.Conduct{Raw: "data: " + said + "\n\n"}, inference.ErrAway},
		"no events":          {upstreamtest.Conduct{Raw: "<html>" + said}, inference.ErrAway},
		"a long event":       {upstreamtest.Conduct{Raw: "data: " + strings.Repeat("x", 2<<20)}, inference.ErrAway},
		"calls of number 7":  {upstreamtest.Conduct{Raw: `data: {"choices":[{"delta":{"tool_calls":[{"index":7}]}}]}` + "\n\ndata: [DONE]\n\n"}, inference.ErrAway},
		"calls of number -1": {upstreamtest.Conduct{Raw: `data: {"choices":[{"delta":{"tool_calls":[{"index":-1}]}}]}` + "\n\ndata: [DONE]\n\n"}, inference.ErrAway},
	} {
		u.server.Behave(c.conduct)
		_, err := m.Generate(t.Context(), r, anything)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		discreet(t, name, err, u.server.URL, said)
	}
	u.server.Behave(upstreamtest.Conduct{})
	u.server.Stop()
	_, err := m.Generate(t.Context(), r, anything)
	if !errors.Is(err, inference.ErrAway) {
		t.Errorf("a server that is gone: %v", err)
	}
	discreet(t, "gone", err, u.server.URL)
	if _, err := u.List(t.Context()); !errors.Is(err, inference.ErrAway) {
		t.Errorf("the list of a server that is gone: %v", err)
	}
	if !strings.Contains(u.log.String(), said) || strings.Contains(u.log.String(), secret) {
		t.Errorf("the log does not say what the server said, or says the key: %s", u.log)
	}
}

func discreet(t *testing.T, name string, err error, secrets ...string) {
	t.Helper()
	for _, s := range append(secrets, secret, "127.0.0.1") {
		s = strings.TrimPrefix(s, "http://")
		if strings.Contains(err.Error(), s) {
			t.Errorf("%s: the error tells %q: %v", name, s, err)
		}
	}
}

// A server can send nobody elsewhere: it might be the machine's own network.
func TestUpstreamRedirects(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached = true
		fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}))
	defer elsewhere.Close()
	u := serve(t, upstreamtest.Model{Name: "small"})
	m := u.model(t, "small")
	u.server.Behave(upstreamtest.Conduct{Location: elsewhere.URL})
	_, err := m.Generate(t.Context(), u.ask("small", receipt.Params{MaxTokens: 4}), anything)
	if !errors.Is(err, inference.ErrAway) || reached {
		t.Errorf("sent elsewhere, and reached it: %t, %v", reached, err)
	}
	if _, err := u.List(t.Context()); !errors.Is(err, inference.ErrAway) || reached {
		t.Errorf("its list was taken from elsewhere: %t, %v", reached, err)
	}
}

// nowhere has no artifacts.
type nowhere struct{}

func (nowhere) Manifest(context.Context, canon.CID) (artifact.Manifest, error) {
	return artifact.Manifest{}, errors.New("it was looked for")
}
func (nowhere) File(context.Context, artifact.Part) (string, error) {
	return "", errors.New("it was looked for")
}

// A declared model is never looked for among those that manifests describe.
func TestDeclaredIsNotLoaded(t *testing.T) {
	library := inference.NewLibrary(inference.Native{}, nowhere{})
	if _, err := library.Model(t.Context(), declared("small")); !errors.Is(err, inference.ErrDeclared) {
		t.Errorf("%v", err)
	}
	sources := inference.Sources{Library: library}
	if _, err := sources.Model(t.Context(), declared("small")); !errors.Is(err, inference.ErrAway) {
		t.Errorf("%v", err)
	}
	u := serve(t, upstreamtest.Model{Name: "small"})
	u.model(t, "small")
	sources.Upstreams = []*inference.Upstream{u.Upstream}
	if _, err := sources.Model(t.Context(), declared("small")); err != nil {
		t.Error(err)
	}
	if _, err := sources.Model(t.Context(), declared("large")); !errors.Is(err, inference.ErrAway) {
		t.Errorf("%v", err)
	}
}
