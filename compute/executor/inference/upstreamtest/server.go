// Package upstreamtest imitates a server of models for tests: OpenAI's chat
// completions as llama.cpp, vLLM and Ollama serve them, and of Ollama's own API the
// list of models, all as their documentation has them. It counts a word as a token.
//
// Start at [New].
package upstreamtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Model is what the server says of a model.
type Model struct {
	Name   string
	Digest string // as Ollama has it; a server of which no model has one is no Ollama
	Family string
}

// Conduct is how the server treats what it is asked; the zero value is honest.
type Conduct struct {
	Status   int    // of every reply, with Body
	Body     string // may name what nobody shall hear
	Location string // to which it sends everybody
	Usage    func(input, output int) (int, int)
	NoUsage  bool
	Cut      int    // breaks off after so many words
	Raw      string // is sent in place of all events
	Endless  bool   // answers on and on, whatever was asked
	Hold     <-chan struct{}
	Call     string // the arguments with which the first tool is called
	Thinks   int    // words before the answer, which count as tokens of it
	Thought  string // the name under which it shows them; empty for llama.cpp's
}

// Server is the imitation.
type Server struct {
	URL string
	Key string // that it wants, if any

	mu      sync.Mutex
	models  []Model
	conduct Conduct
	asked   []map[string]any
	server  *http.Server
}

// New starts a server on loopback, which the test's end stops.
func New(t testing.TB, models ...Model) *Server {
	t.Helper()
	s := &Server{models: models}
	if err := s.listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Start starts a server without a test; who calls it stops it.
func Start(models ...Model) (*Server, error) {
	s := &Server{models: models}
	return s, s.listen("127.0.0.1:0")
}

func (s *Server) listen(at string) error {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/tags", s.tags)
	mux.HandleFunc("GET /v1/models", s.list)
	mux.HandleFunc("POST /v1/chat/completions", s.chat)
	server := &http.Server{Handler: s.treated(mux)}
	s.mu.Lock()
	s.server = server
	s.mu.Unlock()
	s.URL = "http://" + l.Addr().String()
	go func() { _ = server.Serve(l) }() // until Stop
	return nil
}

// Stop ends the server and all that it is answering.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.server.Close()
}

// Again starts a stopped server at the same address.
func (s *Server) Again() error { return s.listen(strings.TrimPrefix(s.URL, "http://")) }

// Behave changes how the server treats what comes.
func (s *Server) Behave(c Conduct) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conduct = c
}

// Have changes which models the server has.
func (s *Server) Have(models ...Model) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models = models
}

func (s *Server) has() []Model {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.models
}

// Asked are the bodies of all chat completions so far.
func (s *Server) Asked() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *Server) conducted() Conduct {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conduct
}

func (s *Server) treated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := s.conducted()
		switch {
		case s.Key != "" && r.Header.Get("Authorization") != "Bearer "+s.Key:
			w.WriteHeader(http.StatusUnauthorized)
		case c.Location != "":
			http.Redirect(w, r, c.Location+r.URL.Path, http.StatusTemporaryRedirect)
		case c.Status != 0:
			w.WriteHeader(c.Status)
			fmt.Fprint(w, c.Body)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *Server) tags(w http.ResponseWriter, r *http.Request) {
	if !slices.ContainsFunc(s.has(), func(m Model) bool { return m.Digest != "" }) {
		http.NotFound(w, r)
		return
	}
	list := []any{}
	for _, m := range s.has() {
		list = append(list, map[string]any{"name": m.Name, "model": m.Name, "digest": m.Digest, "size": 1,
			"details": map[string]any{"format": "gguf", "family": m.Family}})
	}
	write(w, map[string]any{"models": list})
}

func (s *Server) list(w http.ResponseWriter, _ *http.Request) {
	list := []any{}
	for _, m := range s.has() {
		list = append(list, map[string]any{"id": m.Name, "object": "model", "owned_by": "test"})
	}
	write(w, map[string]any{"object": "list", "data": list})
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked may be gone
}

type request struct {
	Model    string            `json:"model"`
	Messages []json.RawMessage `json:"messages"`
	Max      int               `json:"max_tokens"`
	Stop     []string          `json:"stop"`
	Tools    []struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	} `json:"tools"`
}

// Words are in a whole answer.
const Words = 12

// Text is the answer's first n words.
func Text(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(word(i))
	}
	return b.String()
}

func word(i int) string { return fmt.Sprintf("w%d ", i) }

func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var whole map[string]any
	var q request
	var raw json.RawMessage
	if json.NewDecoder(r.Body).Decode(&raw) != nil || json.Unmarshal(raw, &whole) != nil || json.Unmarshal(raw, &q) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, whole)
	s.mu.Unlock()
	if !slices.ContainsFunc(s.has(), func(m Model) bool { return m.Name == q.Model }) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"error":{"message":"model %q not found at %s"}}`, q.Model, s.URL)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	s.answer(&stream{w: w, out: http.NewResponseController(w)}, r, q)
}

// stream writes events.
type stream struct {
	w   http.ResponseWriter
	out *http.ResponseController
}

func (s *stream) event(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.w, "data: %s\n\n", data); err != nil {
		return err
	}
	return s.out.Flush()
}

func (s *stream) delta(delta map[string]any, finish any) error {
	return s.event(map[string]any{"object": "chat.completion.chunk", "choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish}}})
}

func (s *Server) answer(out *stream, r *http.Request, q request) {
	c := s.conducted()
	if c.Raw != "" {
		fmt.Fprint(out.w, c.Raw)
		return
	}
	if out.delta(map[string]any{"role": "assistant", "content": ""}, nil) != nil {
		return
	}
	for i := range c.Thinks {
		if out.delta(map[string]any{cmp.Or(c.Thought, "reasoning_content"): word(i)}, nil) != nil {
			return
		}
	}
	finish, n := "stop", 0
	var text strings.Builder
	for ; c.Endless || n < Words; n++ {
		if n == q.Max && !c.Endless {
			finish = "length"
			break
		}
		if c.Cut > 0 && n == c.Cut {
			return
		}
		if c.Hold != nil {
			select {
			case <-c.Hold:
			case <-r.Context().Done():
				return
			}
		}
		text.WriteString(word(n))
		if slices.ContainsFunc(q.Stop, func(stop string) bool { return strings.Contains(text.String(), stop) }) {
			n++
			break
		}
		if out.delta(map[string]any{"content": word(n)}, nil) != nil {
			return
		}
	}
	if c.Call != "" && len(q.Tools) > 0 {
		finish = "tool_calls"
		half := len(c.Call) / 2
		call := func(fields map[string]any) map[string]any { return map[string]any{"tool_calls": []any{fields}} }
		_ = out.delta(call(map[string]any{"index": 0, "id": "call_1", "type": "function", "function": map[string]any{"name": q.Tools[0].Function.Name, "arguments": c.Call[:half]}}), nil)
		_ = out.delta(call(map[string]any{"index": 0, "function": map[string]any{"arguments": c.Call[half:]}}), nil)
	}
	_ = out.delta(map[string]any{}, finish)
	if !c.NoUsage {
		input, output := 0, n+c.Thinks
		for _, m := range q.Messages {
			input += len(strings.Fields(string(m)))
		}
		if c.Usage != nil {
			input, output = c.Usage(input, output)
		}
		_ = out.event(map[string]any{"choices": []any{}, "usage": map[string]any{"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}})
	}
	fmt.Fprint(out.w, "data: [DONE]\n\n")
}
