package node

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"daulat/platform/gateway"
)

// TestInterruptedAskBlamesNobody: a command that its user ends while it waits for its
// own answer speaks of no other command.
func TestInterruptedAskBlamesNobody(t *testing.T) {
	g := &gateway.Gateway{}
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	own := g.Attend(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(begun)
		<-end
	}))
	go func() {
		defer close(ended)
		own.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil))
	}()
	<-begun
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	u := &up{gateway: g, seller: seller{tenant: tenant{say: func(line string) { t.Errorf("it says %q", line) }}}}
	u.outlast(ctx)
	close(end)
	<-ended
}
