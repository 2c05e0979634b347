package gateway

import (
	"context"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"daulat/platform/gateway/openai"
)

// Local refuses requests that a page of another site could have caused: a host
// name that is not this machine's (DNS rebinding) or the origin of another page.
// It also gives each write of the reply its own deadline.
func (g *Gateway) Local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		if !g.knownHost(r.Host) {
			refuse(w, &openai.Error{Status: http.StatusForbidden, Message: "this host name is not served here", Type: "invalid_request_error", Code: "host_not_allowed"})
			return
		}
		if !sameOrigin(r) {
			refuse(w, &openai.Error{Status: http.StatusForbidden, Message: "pages of other origins are not served here", Type: "invalid_request_error", Code: "origin_not_allowed"})
			return
		}
		next.ServeHTTP(&deadlineWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: g.WriteTimeout}, r)
	})
}

// Guard is Local, and asks for a token.
func (g *Gateway) Guard(next http.Handler) http.Handler {
	return g.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		a := g.bearer(r)
		if a == nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, &openai.Error{Status: http.StatusUnauthorized, Message: "the token is missing or not known here; send it as Authorization: Bearer TOKEN", Type: "invalid_request_error", Code: "invalid_api_key"})
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accountKey{}, a)))
	}))
}

// Owner is Guard, and asks for an owner's token: who was given a token with
// limits must not lift them, nor reach the money behind them.
func (g *Gateway) Owner(next http.Handler) http.Handler {
	return g.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.Context().Value(accountKey{}).(*account).Owner {
			refuse(w, &openai.Error{Status: http.StatusForbidden, Message: "this token lets its bearer ask, and nothing else", Type: "invalid_request_error", Code: "token_not_allowed"})
			return
		}
		next.ServeHTTP(w, r)
	}))
}

type accountKey struct{}

// Charge counts an amount in udlt against the daily limit of the token that let
// a request through Guard; ctx is the request's. It is for what a handler spends
// besides answers.
func (g *Gateway) Charge(ctx context.Context, amount uint64) error {
	a, ok := ctx.Value(accountKey{}).(*account)
	if !ok {
		return errors.New("no token came with the request")
	}
	_, err := a.reserve(g.Now(), amount)
	return err
}

// bearer finds the account of the request's token, in time that does not depend
// on how much of a token was guessed.
func (g *Gateway) bearer(r *http.Request) (found *account) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	hash := HashSecret(strings.TrimSpace(secret))
	for _, a := range g.all() {
		if subtle.ConstantTimeCompare(hash[:], a.Hash[:]) == 1 {
			found = a
		}
	}
	return found
}

func (g *Gateway) knownHost(hostport string) bool {
	host := hostport
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if addr, err := netip.ParseAddr(host); err == nil && addr.Unmap().IsLoopback() {
		return true
	}
	return host == "localhost" || slices.Contains(g.Hosts, host)
}

// sameOrigin accepts programs, which send no Origin, and pages served from here.
func sameOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	scheme, host, _ := strings.Cut(origins[0], "://")
	return len(origins) == 1 && (scheme == "http" || scheme == "https") && strings.EqualFold(host, r.Host)
}

// deadlineWriter drops a client that does not read for so long. The deadline is
// renewed at most once a second, or once in a shorter timeout; it lies that much
// later, so that every write has the whole timeout and at most one second more.
type deadlineWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	renewed time.Time
}

func (w *deadlineWriter) Write(b []byte) (int, error) {
	span := min(w.timeout, time.Second)
	if now := time.Now(); now.Sub(w.renewed) >= span {
		w.renewed = now
		// A writer that is not a connection has no deadline, and needs none.
		_ = w.control.SetWriteDeadline(now.Add(w.timeout + span))
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *deadlineWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
