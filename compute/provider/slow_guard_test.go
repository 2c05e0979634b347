package provider_test

import (
	"fmt"
	"testing"
	"time"

	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/link"
	"daulat/link/session"
	"daulat/link/session/sessiontest"
)

// Consumers that read one byte of their long answers, and then as good as nothing,
// cost the provider those streams: the model has finished by then, and its places
// are free for others.
func TestSlowReaderHoldsUpNobodyElse(t *testing.T) {
	s := start(t)
	s.toy.wide = true // far more than a stream takes unread
	var streams []*link.Stream
	for i := range parallel {
		slow := s.leaseOf(fmt.Sprint("slow", i), 9000, 9000)
		r := receipt.Request{Version: canon.Version, Key: slow.key.Public(), Counter: 1, Model: slow.session.Terms.Model,
			Tokens: make([]uint32, 1), Params: receipt.Params{MaxTokens: 1900, TopP: receipt.MaxTopP, Logprobs: 1 + receipt.MaxAlternatives}}
		ask := slow.sign(receipt.Ask{Chain: sessiontest.ID, Session: slow.session.ID, Seq: 1, Request: r.Hash(), Salt: canon.Hash{1}}, r)
		stream := slow.send(session.Opening{Ask: &ask})
		streams = append(streams, stream)
		var one [1]byte
		if n, err := stream.Read(one[:]); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	other := s.leaseOf("other", 900, 900)
	served := make(chan struct{})
	go func() {
		defer close(served)
		for range 3 {
			other.buy(1, 100)
		}
	}()
	select {
	case <-served:
	case <-time.After(15 * time.Second):
		t.Error("nobody else is served while some read slowly")
		for _, stream := range streams {
			stream.Reset()
		}
		<-served
	}
}
