package session_test

import (
	"path/filepath"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/link/session"
)

// A write that did not reach the disk is never reported as done.
func TestFailedWriteIsAnError(t *testing.T) {
	j, err := session.OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	record := session.Record{Session: job.Session{ID: 1}}
	_, counted := j.NextCounter()
	for name, err := range map[string]error{
		"save": j.Save(record), "append": j.Append(record, receipt.Transcript{}), "lie": j.SaveLie(session.Lie{}), "counter": counted,
	} {
		if err == nil {
			t.Errorf("%s into a closed journal succeeded", name)
		}
	}
}

// FuzzFrames: whatever frame comes is either refused or has this one encoding.
func FuzzFrames(f *testing.F) {
	model := canon.NewCID(canon.DagCBOR, canon.Hash{1})
	f.Add(canon.MustMarshal(session.Opening{Ask: &session.Ask{Request: receipt.Request{Model: model}}}))
	f.Add(canon.MustMarshal(session.Opening{Finish: &session.Payment{}}))
	f.Add(canon.MustMarshal(session.Reply{Tokens: []uint32{1}}))
	f.Add(canon.MustMarshal(session.Reply{Done: &session.Done{}}))
	f.Add(canon.MustMarshal(session.Word{Stop: true, Payment: &session.Payment{}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range []any{&session.Opening{}, &session.Reply{}, &session.Word{}} {
			if canon.Unmarshal(data, v) == nil && string(canon.MustMarshal(v)) != string(data) {
				t.Fatalf("%x is accepted as %T and is not canonical", data, v)
			}
		}
	})
}
