package inference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"daulat/model/chat"
	"daulat/model/float"
	"daulat/model/replay"
)

// llamaServer serves a model as llama.cpp does, as far as a replay asks it: by its documentation, and with what the end of an
// answer looks like as it was seen. bad, if there is one, answers for a token in its place.
func llamaServer(t *testing.T, by fileTeacher, bad func(w http.ResponseWriter)) string {
	t.Helper()
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	read := func(r *http.Request, v any) {
		if err := json.NewDecoder(r.Body).Decode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /props", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"default_generation_settings": map[string]any{"n_ctx": by.Context()}})
	})
	mux.HandleFunc("POST /apply-template", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Messages []struct{ Role, Content string }
		}
		read(r, &q)
		text := ""
		for _, m := range q.Messages {
			text += "<|im_start|>" + m.Role + "\n" + m.Content + "<|im_end|>\n"
		}
		reply(w, map[string]any{"prompt": text + "<|im_start|>assistant\n"})
	})
	mux.HandleFunc("POST /tokenize", func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Content string
			Special bool `json:"parse_special"`
		}
		read(r, &q)
		tokens, err := by.words.Encode(q.Content, q.Special)
		if err != nil {
			t.Error(err)
		}
		reply(w, map[string]any{"tokens": tokens})
	})
	mux.HandleFunc("POST /completion", func(w http.ResponseWriter, r *http.Request) {
		if bad != nil {
			bad(w)
			return
		}
		var q struct {
			Prompt  []uint32
			N       int   `json:"n_probs"`
			Predict int   `json:"n_predict"`
			Post    *bool `json:"post_sampling_probs"`
		}
		read(r, &q)
		if q.Predict != 1 || q.Post == nil || *q.Post {
			t.Errorf("asked for %+v", q)
		}
		reply(w, completed(t, by, q.Prompt, q.N))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// locked is a server that wants a key for all that it is asked.
func locked(t *testing.T, url, key string) string {
	t.Helper()
	to, err := neturl.Parse(url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+key {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// completed tells the likeliest n tokens, the end among them: llama.cpp shows it without bytes.
func completed(t *testing.T, by fileTeacher, prompt []uint32, n int) any {
	var top []any
	best := likeliest{hidden: make([]bool, len(by.hidden)), shown: len(by.hidden)}
	err := by.weights.NewState(float.StateOptions{}).Append(context.Background(), prompt, len(prompt)-1, func(_ int, logits []float32) error {
		row := best.row(logits)
		for i, id := range row.IDs[:min(n, len(row.IDs))] {
			bytes := []int{}
			if text, _ := by.words.Token(id); !by.hidden[id] {
				bytes = append(bytes, int(text[0]))
			}
			top = append(top, map[string]any{"id": id, "logprob": row.Logprobs[i], "bytes": bytes})
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return map[string]any{"completion_probabilities": []any{map[string]any{"top_logprobs": top}}}
}

// A server's rows are those of the model that it has, and lead to the same results.
func TestServedTeacher(t *testing.T) {
	s := newStage(t, 1)
	url := locked(t, llamaServer(t, s.reference, nil), "sesame")
	if _, err := OpenServed(t.Context(), url, "wrong"); err == nil {
		t.Error("a server was opened without its key")
	}
	served, err := OpenServed(t.Context(), url, "sesame")
	if err != nil {
		t.Fatal(err)
	}
	small, err := OpenServed(t.Context(), llamaServer(t, s.smaller, nil), "")
	if err != nil {
		t.Fatal(err)
	}
	prompt := s.prompt(t)
	got, err := served.Prompt(t.Context(), []chat.Message{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "what is a daulat?"}})
	if err != nil || !slices.Equal(got, prompt) || served.Context() != s.reference.Context() {
		t.Fatalf("the prompt is %v instead of %v, %v", got, prompt, err)
	}
	honest := answers(t, s.reference, prompt, 60, replay.Sampler{Temperature: 1}, 1)
	cheap := answers(t, s.smaller, prompt, 60, replay.Sampler{Temperature: 1}, 1)
	remote := s
	remote.Forced = Forced{Reference: served, Against: map[replay.Kind]Teacher{replay.Smaller: small}}
	here, there := s.judge(t, honest), remote.judge(t, honest)
	for i, test := range there.Tests {
		switch test.Kind {
		case replay.Other: // a server does not say how large its vocabulary is
			if test.Rejects() {
				t.Error("an honest answer is other text")
			}
		case replay.FourBit, replay.HalfLayers:
			if test.Measured {
				t.Errorf("%s was measured without a server for it", test.Kind)
			}
		default:
			if math.Abs(test.Statistic-here.Tests[i].Statistic) > 1e-6 || math.Abs(test.Power-here.Tests[i].Power) > 0.01 {
				t.Errorf("%+v by a file, and %+v by a server", here.Tests[i], test)
			}
		}
	}
	if o, why := there.Outcome(); o != replay.Inconclusive || !strings.Contains(why, "4-bit is not measured") {
		t.Errorf("%s, %s", o, why)
	}
	if o, _ := remote.judge(t, cheap).Outcome(); o != replay.Disagree {
		t.Errorf("an answer by the smaller model: %s", o)
	}
}

// Whatever a server sends is an error, or a row.
func FuzzServedRow(f *testing.F) {
	var list []any
	for i := range minRow {
		list = append(list, map[string]any{"id": i, "logprob": -4 - float64(i)/50, "bytes": []int{65}[:min(i, 1)]})
	}
	good, err := json.Marshal(map[string]any{"completion_probabilities": []any{map[string]any{"top_logprobs": list}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"completion_probabilities":[{"top_logprobs":[{"id":1,"logprob":-1e999}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c completion
		if json.Unmarshal(data, &c) != nil {
			return
		}
		r, err := c.row()
		if err != nil {
			return
		}
		if err := r.Check(); err != nil || len(r.IDs) < 1 {
			t.Errorf("%+v: %v", r, err)
		}
	})
}

// What a server sends instead of a row gives one error, and no more is read of it than a row may have.
func TestServedTeacherRefuses(t *testing.T) {
	s := newStage(t, 1)
	top := func(change func(i int, token map[string]any)) func(http.ResponseWriter) {
		var list []any
		for i := range minRow {
			token := map[string]any{"id": i, "logprob": -5 - float64(i)/100, "bytes": []int{65}}
			change(i, token)
			list = append(list, token)
		}
		body, err := json.Marshal(map[string]any{"completion_probabilities": []any{map[string]any{"top_logprobs": list}}})
		return func(w http.ResponseWriter) {
			if err != nil {
				panic(err)
			}
			_, _ = w.Write(body)
		}
	}
	text := func(status int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(status); fmt.Fprint(w, body) }
	}
	var sent atomic.Int64
	for name, c := range map[string]struct {
		bad  func(http.ResponseWriter)
		want string
	}{
		"not a number": {text(200, `{"completion_probabilities":[{"top_logprobs":[{"id":1,"logprob":NaN}]}]}`), "can't be read"},
		"positive":     {top(func(i int, token map[string]any) { token["logprob"] = 1 - float64(i) }), "no log-probability"},
		"null":         {top(func(i int, token map[string]any) { token["logprob"] = nil }), "without ID or likelihood"},
		"no ID":        {top(func(i int, token map[string]any) { delete(token, "id") }), "without ID or likelihood"},
		"twice":        {top(func(i int, token map[string]any) { token["id"] = 7 }), "named twice"},
		"unsorted":     {top(func(i int, token map[string]any) { token["logprob"] = -9 + float64(i)/100 }), "likeliest tokens do not come first"},
		"above one":    {top(func(i int, token map[string]any) { token["logprob"] = -0.5 }), "add up to"},
		"only an end":  {top(func(i int, token map[string]any) { token["bytes"] = []int{} }), "are no row"},
		"no row":       {text(200, `{}`), "does not tell"},
		"few tokens":   {text(200, `{"completion_probabilities":[{"top_logprobs":[{"id":1,"logprob":-1,"bytes":[65]}]}]}`), "does not tell"},
		"an error":     {text(500, "boom"), `status 500: "boom"`},
		"sent elsewhere": {func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "status 307"},
		"endless": {func(w http.ResponseWriter) {
			for piece := strings.Repeat(" ", 1<<16); ; {
				n, err := io.WriteString(w, piece)
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		}, "longer than"},
	} {
		served, err := OpenServed(t.Context(), llamaServer(t, s.reference, c.bad), "")
		if err != nil {
			t.Fatal(err)
		}
		read, err := rows(t.Context(), served, "it", []uint32{1}, []uint32{2, 3}, func(string) {})
		if err == nil || !strings.Contains(err.Error(), c.want) || read != nil || len(err.Error()) > 500 {
			t.Errorf("%s: %v, %d rows", name, err, len(read))
		}
	}
	if sent.Load() > 64<<20 {
		t.Errorf("%d bytes of an endless reply were taken", sent.Load())
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if _, err := OpenServed(t.Context(), other.URL, ""); err == nil || !strings.Contains(err.Error(), "only llama.cpp") {
		t.Errorf("a server without props: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	silent := llamaServer(t, s.reference, func(w http.ResponseWriter) { cancel() })
	served, err := OpenServed(ctx, silent, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := served.Rows(ctx, []uint32{1}, []uint32{2}, func(int) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("a replay that its user ended: %v", err)
	}
}
