package test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"daulat/compute/executor/inference/upstreamtest"
	"daulat/ui/control"
)

// TestDeclaredModel speaks HTTP to a network on which a machine sells what its
// own server of models answers: tools and images pass through, which a model that
// runs here refuses, and every answer says that nobody checked it.
func TestDeclaredModel(t *testing.T) {
	server := upstreamtest.New(t, upstreamtest.Model{Name: "small"})
	u := up(t, filepath.Join(t.TempDir(), "home"), "--link", "127.0.0.1:0")
	line := must[control.NewInvite](t, u.home, "invite").Line
	p := sell(t, filepath.Join(t.TempDir(), "seller"), line, "--upstream", server.URL, "--model", "SMALL")
	if p.Model != "small" || len(p.Models) != 1 || !strings.HasPrefix(p.Label, "unaudited (A0, declared)") || !reflect.DeepEqual(p.Upstreams, []string{server.URL}) {
		t.Errorf("daulat provide offers %+v", p)
	}
	g := gateway{u}
	const look = `"max_tokens":40,"messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}],` +
		`"tools":[{"type":"function","function":{"name":"zoom","parameters":{"type":"object"}}}],"response_format":{"type":"json_object"}`

	t.Run("tools and images pass through", func(t *testing.T) {
		server.Behave(upstreamtest.Conduct{Call: `{"by":2}`})
		whole := g.complete(t, http.StatusOK, `{"model":"small",`+look+`}`)
		choice := whole.Choices[0]
		if choice.Finish != "tool_calls" || choice.Message.Content != upstreamtest.Text(upstreamtest.Words) || len(choice.Message.Calls) != 1 ||
			choice.Message.Calls[0].Function.Arguments != `{"by":2}` || choice.Message.Calls[0].Function.Name != "zoom" {
			t.Errorf("%+v", choice)
		}
		if !strings.HasPrefix(whole.Daulat.Label, "unaudited (A0, declared)") || whole.Usage.Output != upstreamtest.Words || whole.Daulat.Price == "" {
			t.Errorf("%+v and %+v", whole.Usage, whole.Daulat)
		}
		asked := server.Asked()
		last, err := json.Marshal(asked[len(asked)-1])
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{`"url":"data:image/png;base64,AAAA"`, `"name":"zoom"`, `"response_format":{"type":"json_object"}`} {
			if !strings.Contains(string(last), part) {
				t.Errorf("%s did not arrive: %s", part, last)
			}
		}
	})
	t.Run("a stream has the calls at its end", func(t *testing.T) {
		r := g.post(t, "/chat/completions", strings.NewReader(`{"model":"small","stream":true,`+look+`}`), nil)
		if r.text != upstreamtest.Text(upstreamtest.Words) || r.finish != "tool_calls" {
			t.Errorf("%q in %d pieces, finish %q", r.text, len(r.pieces), r.finish)
		}
		call := `"tool_calls":[{"function":{"arguments":"{\"by\":2}","name":"zoom"},"id":"call_1","index":0,"type":"function"}]`
		if at := strings.Index(r.body, call); at < 0 || at < strings.LastIndex(r.body, `"content":"w`) {
			t.Errorf("no call at the end of %s", r.body)
		}
	})
	t.Run("what it thinks comes apart from its answer", func(t *testing.T) {
		server.Behave(upstreamtest.Conduct{Thinks: 2})
		r := g.post(t, "/chat/completions", strings.NewReader(`{"model":"small","stream":true,"messages":[{"role":"user","content":"x"}]}`), nil)
		at := strings.LastIndex(r.body, `"delta":{"reasoning_content":"w`)
		if r.text != upstreamtest.Text(upstreamtest.Words) || at < 0 || at > strings.Index(r.body, `"content":"w`) {
			t.Errorf("%q, and %s", r.text, r.body)
		}
		whole := g.complete(t, http.StatusOK, `{"model":"small","messages":[{"role":"user","content":"x"}]}`)
		if m := whole.Choices[0].Message; m.Content != r.text || m.Reasoning != upstreamtest.Text(2) || whole.Usage.Output != upstreamtest.Words+2 {
			t.Errorf("%+v, %+v", m, whole.Usage)
		}
	})
	t.Run("text is shown while the server still writes", func(t *testing.T) {
		hold := make(chan struct{})
		server.Behave(upstreamtest.Conduct{Hold: hold})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.API+"/chat/completions", strings.NewReader(`{"model":"small","stream":true,"messages":[{"role":"user","content":"x"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+u.Token)
		go func() {
			select {
			case hold <- struct{}{}: // the first word, and no other before it is seen
			case <-ctx.Done():
			}
		}()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines, seen := bufio.NewScanner(resp.Body), false
		for lines.Scan() {
			if !seen && strings.Contains(lines.Text(), `"w0 "`) {
				seen = true
				close(hold)
			}
		}
		if err := lines.Err(); err != nil || !seen {
			t.Errorf("the first word was shown before the last: %t, %v", seen, err)
		}
	})
	server.Behave(upstreamtest.Conduct{})
	t.Run("a tool's result goes back", func(t *testing.T) {
		g.complete(t, http.StatusOK, `{"model":"small","messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"zoom","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call_1","content":"a cat"}]}`)
		asked := server.Asked()
		if turns := fmt.Sprint(asked[len(asked)-1]["messages"]); !strings.Contains(turns, "a cat") || !strings.Contains(turns, "call_1") {
			t.Errorf("asked %s", turns)
		}
	})
	t.Run("what can't be asked is refused by name", func(t *testing.T) {
		for body, why := range map[string]string{
			`{"model":"small","logprobs":true,"messages":[{"role":"user","content":"x"}]}`:                                            "log-probabilities",
			`{"model":"small","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://127.0.0.1/"}}]}]}`: "data: URL",
			`{"model":"noise",` + look + `}`: "only text is served here",
		} {
			if r := g.complete(t, http.StatusBadRequest, body); !strings.Contains(r.Error.Message, why) {
				t.Errorf("%s: %s", body, r.Error.Message)
			}
		}
	})
	t.Run("a server that counts too much is not paid for it", func(t *testing.T) {
		server.Behave(upstreamtest.Conduct{Usage: func(int, int) (int, int) { return 1 << 30, 1 << 30 }})
		r := g.complete(t, http.StatusOK, `{"model":"small","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`)
		if r.Usage.Output != 5 || r.Usage.Input > 400 {
			t.Errorf("billed for %+v", r.Usage)
		}
		server.Behave(upstreamtest.Conduct{})
	})
	t.Run("it is listed as what it is", func(t *testing.T) {
		req, err := http.NewRequest(http.MethodGet, u.API+"/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+u.Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if data, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(data), `"id":"small"`) || !strings.Contains(string(data), "unaudited (A0, declared)") {
			t.Errorf("%s, %v", data, err)
		}
	})
	stop(t, u.Process)
}

// whole is a chat completion, or the error in its place.
type whole struct {
	Choices []struct {
		Message struct {
			Content   string
			Reasoning string `json:"reasoning_content"`
			Calls     []struct {
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		Finish string `json:"finish_reason"`
	}
	Usage struct {
		Input  int `json:"prompt_tokens"`
		Output int `json:"completion_tokens"`
	}
	Daulat struct {
		Label string
		Price string `json:"price_udlt"`
	}
	Error struct{ Message string }
}

// complete posts a chat completion and wants that HTTP status.
func (g gateway) complete(t *testing.T, status int, body string) whole {
	t.Helper()
	r := g.post(t, "/chat/completions", strings.NewReader(body), nil)
	w, err := parse[whole](r.body)
	if err != nil || r.status != status {
		t.Fatalf("status %d, want %d: %v in %s", r.status, status, err, r.body)
	}
	return w
}

// sell runs `daulat provide` until the test ends.
func sell(t *testing.T, home, line string, args ...string) control.Providing {
	t.Helper()
	p := background[control.Providing](t, home, append([]string{"provide", line}, args...)...)
	t.Cleanup(func() { _ = p.Stop() }) // the ledger that it would settle on may be gone
	return p.ready
}
