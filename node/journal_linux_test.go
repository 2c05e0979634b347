package node

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"daulat/link/linktest"
	"daulat/link/session"
	"daulat/link/session/sessiontest"
	"daulat/platform/consumer"
	"daulat/platform/gateway"
	"daulat/platform/gateway/openai"
)

// brokenJournal is a journal whose disk was full once.
func brokenJournal(t *testing.T, path string) *session.Journal {
	t.Helper()
	j, err := session.OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	back := sessiontest.FillDisk(t, path)
	defer back()
	if _, err := j.NextCounter(); err == nil {
		t.Fatal("a full disk took a write")
	}
	return j
}

// TestFullDiskIsSaidToTheAsker: the reply to a request names the journal and
// says what to do, and so does the log.
func TestFullDiskIsSaidToTheAsker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "consumer.db")
	shelf := freshShelf(t)
	if _, err := importNoise(t.Context(), shelf); err != nil {
		t.Fatal(err)
	}
	asker := consumer.New(consumer.Config{Ledger: sessiontest.New().Account("consumer", 1), Link: linktest.Node(t, linktest.Key(t)), Key: linktest.Key(t),
		Journal: brokenJournal(t, path), Log: slog.New(slog.DiscardHandler)})
	_, err := backend{shelf: shelf, client: asker}.Answer(t.Context(), gateway.Prompt{Model: NoiseModel, Text: "hello", MaxTokens: 8, TopP: 1_000_000}, nil, nil)
	var reply *openai.Error
	if !errors.As(err, &reply) || reply.Code != "journal_broken" || reply.Status != 503 {
		t.Fatalf("%v", err)
	}
	for _, said := range []string{reply.Message, err.Error()} {
		if !strings.Contains(said, path) || !strings.Contains(said, "make room") || !strings.Contains(said, "restart daulat") {
			t.Errorf("it says %q", said)
		}
	}
}

// TestFullDiskEndsProvide: a provider that can serve no more does not go on as
// if it could.
func TestFullDiskEndsProvide(t *testing.T) {
	s := &seller{sales: brokenJournal(t, filepath.Join(t.TempDir(), "provider.db"))}
	var broken *session.BrokenError
	if err := s.watchEarnings(t.Context()); !errors.As(err, &broken) {
		t.Errorf("it ended with %v", err)
	}
}
