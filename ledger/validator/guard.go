package validator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard lets a request in unless the node stops, or a web page of another site
// may have caused it: the page's name leads here (DNS rebinding), or its origin
// is another.
func (s *servers) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		if !s.knownHost(r) {
			refuse(w, http.StatusForbidden, "this host name is not served here")
			return
		}
		if !sameOrigin(r) {
			refuse(w, http.StatusForbidden, "pages of other origins are not served here")
			return
		}
		done, ok := s.enter()
		if !ok {
			refuse(w, http.StatusServiceUnavailable, "the node stops")
			return
		}
		defer done()
		next.ServeHTTP(w, r)
	})
}

// knownHost accepts the names of the configuration, localhost, loopback, and
// the address at which the request arrived: an address cannot be rebound.
func (s *servers) knownHost(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if address, err := netip.ParseAddr(host); err == nil {
		address = address.Unmap()
		return address.IsLoopback() || address.IsUnspecified() || address == arrival(r)
	}
	return slices.ContainsFunc(append([]string{"localhost"}, s.hosts...), func(name string) bool {
		return strings.EqualFold(name, host)
	})
}

func arrival(r *http.Request) netip.Addr {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return local.AddrPort().Addr().Unmap()
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

// bodies reads each request's body before next does, and refuses one of more
// than limit bytes.
func bodies(next http.Handler, limit int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			refuse(w, http.StatusRequestEntityTooLarge, "the request is too large")
			return
		}
		if err != nil {
			refuse(w, http.StatusBadRequest, "the request cannot be read")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// refuse answers with an error in the form of REST's.
func refuse(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message}) // a client that is gone reads nothing
}
