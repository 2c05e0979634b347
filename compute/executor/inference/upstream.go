package inference

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/core/verify"
)

// UpstreamConfig says which server answers.
type UpstreamConfig struct {
	URL string       // of an OpenAI-compatible server, with or without /v1
	Key string       // bearer token that the server wants, if it wants one
	Log *slog.Logger // is told what went wrong there; nobody else is
	// Maybe is of a server that need not be there: what was never heard of it is not logged.
	Maybe bool
}

// Upstream is an OpenAI-compatible server of the provider's own (Ollama,
// llama.cpp, vLLM, …), of determinism class D2. Its models are declared.
//
// Guarantees: only the configured server is reached, and it can send nobody
// elsewhere; what it sends is bounded in size and in the time between two pieces;
// what an answer is billed for is what it reports, within core/receipt's bounds;
// errors tell a consumer neither its address nor its key nor what it said.
// It is safe for concurrent use.
type Upstream struct {
	base   string // without a slash at its end, and without /v1
	key    string
	log    *slog.Logger
	client *http.Client

	mu     sync.Mutex
	served map[canon.CID]string // the server's own names, as List last saw them
	said   map[string]string    // why each list failed the last time
	maybe  bool
}

const (
	dialTimeout = 3 * time.Second
	listTimeout = 5 * time.Second
	// quietTimeout is how long a server may send nothing: it may have to load the
	// model and to read the whole prompt first, but the consumer waits no longer.
	quietTimeout = 2 * time.Minute

	maxList = 1 << 20 // bytes
	// Overhead of a stream of events, in bytes, and of each token in it.
	streamFrame = 4 << 20
	tokenFrame  = 4 << 10
)

// OpenUpstream takes a server; nothing is asked of it yet.
func OpenUpstream(c UpstreamConfig) (*Upstream, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the address of a server of models is of the form http://HOST:PORT")
	}
	transport := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        time.Minute,
		DisableCompression:     true, // what it sends is bounded as it comes
	}
	base := strings.TrimSuffix(strings.TrimRight(u.String(), "/"), "/v1")
	return &Upstream{base: base, key: c.Key, log: c.Log, served: map[canon.CID]string{}, said: map[string]string{}, maybe: c.Maybe, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close lets go of idle connections.
func (u *Upstream) Close() { u.client.CloseIdleConnections() }

// Model returns a declared model that the server had when it was last listed.
func (u *Upstream) Model(id canon.CID) (Model, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	name, ok := u.served[id]
	if !ok {
		return nil, ErrAway
	}
	return upstreamModel{u, name}, nil
}

// do sends a request and returns the reply's body. What failed stays in the log:
// the error says no more than whose fault it is.
func (u *Upstream) do(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, u.failed(ErrAway, path, err)
	}
	if u.key != "" {
		req.Header.Set("Authorization", "Bearer "+u.key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return nil, u.failed(ErrAway, path, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // for the log, as far as it comes
	return nil, u.failed(blame(resp.StatusCode), path, fmt.Errorf("status %d: %s", resp.StatusCode, said))
}

// errRefused is a request that the server does not take as it is.
var errRefused = fmt.Errorf("%w: its server refuses the request", ErrPrompt)

// errAbsent is a model that the server does not have any more.
var errAbsent = fmt.Errorf("%w: it does not have the model any more", ErrAway)

// blame is whose fault a status is: the asker's, or the server's.
func blame(status int) error {
	switch status {
	case http.StatusNotFound:
		return errAbsent
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return errRefused
	}
	return ErrAway
}

// failed logs why something failed and returns what others may know of it. Lists
// are asked for all the time, so of each only another reason is logged.
func (u *Upstream) failed(public error, path string, why error) error {
	if path == chatPath || u.turned(path, why.Error()) {
		u.log.Warn("the server of models failed", "server", u.base, "path", path, "error", why)
	}
	return public
}

// turned notes how a list went, and reports whether it went otherwise before.
func (u *Upstream) turned(path, why string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	before, known := u.said[path]
	u.said[path] = why
	return before != why && (known || !u.maybe)
}

// upstreamModel is a declared model.
type upstreamModel struct {
	*Upstream
	name string // by which the server knows it
}

var _ Model = upstreamModel{}

// Context implements Model: it is not known.
func (m upstreamModel) Context() int { return math.MaxInt }

// Close implements Model.
func (m upstreamModel) Close() error { return nil }

// Replay implements Model: another run would give another answer.
func (m upstreamModel) Replay(context.Context, receipt.Request, receipt.Answer) (verify.Verdict, error) {
	return verify.Verdict{Outcome: verify.Inconclusive, Why: ErrDeclared.Error()}, nil
}

const chatPath = "/v1/chat/completions"

// Generate implements Model.
func (m upstreamModel) Generate(ctx context.Context, r receipt.Request, emit func(receipt.Token) error) (receipt.Answer, error) {
	if err := r.Validate(); err != nil {
		return receipt.Answer{}, err
	}
	if !artifact.IsDeclared(r.Model) {
		return receipt.Answer{}, fmt.Errorf("%w: %s is a manifest's", ErrPrompt, r.Model)
	}
	body, err := m.body(r)
	if err != nil {
		return receipt.Answer{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(quietTimeout, func() { cancel(ErrAway) })
	defer quiet.Stop()
	reply, err := m.do(ctx, http.MethodPost, chatPath, body)
	if err != nil {
		return receipt.Answer{}, because(ctx, err)
	}
	defer reply.Close()
	t := telling{request: r, emit: emit}
	whole := io.LimitReader(reply, streamFrame+tokenFrame*int64(r.Params.MaxTokens))
	err = readEvents(whole, func(data []byte) (bool, error) {
		quiet.Reset(quietTimeout)
		return t.event(data)
	})
	if own := t.failed; own != nil {
		return receipt.Answer{}, own
	}
	if err != nil {
		return receipt.Answer{}, because(ctx, m.Upstream.failed(ErrAway, chatPath, err))
	}
	return t.end()
}

// because is why ctx ended, or if it did not, err.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// body is the request as the server takes it.
func (m upstreamModel) body(r receipt.Request) ([]byte, error) {
	v, err := canon.ReadJSON([]byte(r.Chat))
	if err != nil {
		return nil, err
	}
	body := v.(map[string]any) // Validate has seen to it
	body["model"] = m.name
	body["stream"] = true
	body["stream_options"] = map[string]any{"include_usage": true}
	body["max_tokens"] = json.Number(fmt.Sprint(r.Params.MaxTokens))
	const unit = 152_587_890_625 // 10^16/2^16
	body["temperature"] = json.Number(fmt.Sprintf("%d.%016d", r.Params.Temperature>>16, r.Params.Temperature&(1<<16-1)*unit))
	body["top_p"] = json.Number(fmt.Sprintf("%d.%06d", r.Params.TopP/receipt.MaxTopP, r.Params.TopP%receipt.MaxTopP))
	seed := uint64(r.Seed[0])<<24 | uint64(r.Seed[1])<<16 | uint64(r.Seed[2])<<8 | uint64(r.Seed[3])
	body["seed"] = json.Number(fmt.Sprint(seed >> 1)) // as some servers take no more than 31 bits
	if len(r.Params.Stop) > 0 {
		stops := make([]any, len(r.Params.Stop))
		for i, s := range r.Params.Stop {
			stops[i] = s
		}
		body["stop"] = stops
	}
	return canon.JSON(body), nil
}
