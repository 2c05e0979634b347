package artifact_test

import (
	"bytes"
	"strings"
	"testing"

	"daulat/core/artifact"
	"daulat/core/canon"
)

func manifest() artifact.Manifest {
	return artifact.Manifest{Version: canon.Version, Name: "tiny", Media: artifact.MediaModelGGUF, Licence: "Apache-2.0",
		Parts:   []artifact.Part{{Role: artifact.Weights, Blob: canon.NewCID(canon.Raw, canon.Sum([]byte("weights"))), Size: 7}},
		Parents: []canon.CID{canon.NewCID(canon.DagCBOR, canon.Sum([]byte("parent")))},
		Model:   &artifact.Model{Semantics: "float/1", Architecture: "llama", Context: 128}}
}

func TestManifestRoundTrip(t *testing.T) {
	data, id, err := manifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := artifact.DecodeAs(id, data)
	if err != nil {
		t.Fatal(err)
	}
	again, other, err := back.Encode()
	if err != nil || other != id || !bytes.Equal(again, data) {
		t.Fatalf("%s became %s, %v", id, other, err)
	}
	if p, ok := back.Part(artifact.Weights); !ok || p.Size != 7 {
		t.Fatalf("%+v", p)
	}
	if _, ok := back.Part("tokenizer"); ok {
		t.Fatal("a part that is not there")
	}
	if _, err := artifact.DecodeAs(canon.NewCID(canon.DagCBOR, canon.Hash{}), data); err == nil {
		t.Fatal("bytes passed under another name")
	}
}

// Every field is part of the name: models that differ in one have another.
func TestEveryFieldChangesTheName(t *testing.T) {
	_, id, err := manifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*artifact.Manifest){
		"name":         func(m *artifact.Manifest) { m.Name += "x" },
		"media":        func(m *artifact.Manifest) { m.Media += "x" },
		"licence":      func(m *artifact.Manifest) { m.Licence = "MIT" },
		"consent":      func(m *artifact.Manifest) { m.Consent = "yes" },
		"role":         func(m *artifact.Manifest) { m.Parts[0].Role = "other" },
		"blob":         func(m *artifact.Manifest) { m.Parts[0].Blob[5]++ },
		"size":         func(m *artifact.Manifest) { m.Parts[0].Size++ },
		"parents":      func(m *artifact.Manifest) { m.Parents = nil },
		"semantics":    func(m *artifact.Manifest) { m.Model.Semantics = "float/2" },
		"architecture": func(m *artifact.Manifest) { m.Model.Architecture = "qwen2" },
		"context":      func(m *artifact.Manifest) { m.Model.Context++ },
		"no model":     func(m *artifact.Manifest) { m.Model = nil },
	} {
		m := manifest()
		change(&m)
		if _, other, err := m.Encode(); err != nil || other == id {
			t.Errorf("another %s: %s, %v", name, other, err)
		}
	}
}

func TestManifestRefuses(t *testing.T) {
	for name, change := range map[string]func(*artifact.Manifest){
		"unknown version":           func(m *artifact.Manifest) { m.Version = 2 },
		"no name":                   func(m *artifact.Manifest) { m.Name = "" },
		"long name":                 func(m *artifact.Manifest) { m.Name = strings.Repeat("n", 257) },
		"a model's foreign letter":  func(m *artifact.Manifest) { m.Name = "tiny-m\u043edel" },
		"a model's wide letter":     func(m *artifact.Manifest) { m.Name = "\uff54iny" },
		"a model's space before":    func(m *artifact.Manifest) { m.Name = " tiny" },
		"a model's space behind":    func(m *artifact.Manifest) { m.Name = "tiny " },
		"no media":                  func(m *artifact.Manifest) { m.Media = "" },
		"no licence":                func(m *artifact.Manifest) { m.Licence = "" },
		"long consent":              func(m *artifact.Manifest) { m.Consent = strings.Repeat("c", 257) },
		"no parts":                  func(m *artifact.Manifest) { m.Parts = nil },
		"a part without a role":     func(m *artifact.Manifest) { m.Parts[0].Role = "" },
		"a part without a blob":     func(m *artifact.Manifest) { m.Parts[0].Blob = canon.CID{} },
		"a parent that is a blob":   func(m *artifact.Manifest) { m.Parents[0] = m.Parts[0].Blob },
		"too many parents":          func(m *artifact.Manifest) { m.Parents = make([]canon.CID, 257) },
		"a model without semantics": func(m *artifact.Manifest) { m.Model.Semantics = "" },
		"a model without context":   func(m *artifact.Manifest) { m.Model.Context = 0 },
	} {
		m := manifest()
		change(&m)
		if _, _, err := m.Encode(); err == nil {
			t.Errorf("%s was encoded", name)
		}
		if data, err := canon.Marshal(m); err == nil {
			if _, err := artifact.Decode(data); err == nil {
				t.Errorf("%s was decoded", name)
			}
		}
	}
	if _, err := artifact.Decode(make([]byte, artifact.MaxManifest+1)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("an oversized manifest: %v", err)
	}
}

// What people are shown must not be able to move a terminal's cursor or to show
// in another order than it has.
func TestManifestRefusesTextThatIsNotPlain(t *testing.T) {
	fields := map[string]func(*artifact.Manifest) *string{
		"name":         func(m *artifact.Manifest) *string { return &m.Name },
		"media":        func(m *artifact.Manifest) *string { return &m.Media },
		"licence":      func(m *artifact.Manifest) *string { return &m.Licence },
		"consent":      func(m *artifact.Manifest) *string { return &m.Consent },
		"role":         func(m *artifact.Manifest) *string { return &m.Parts[0].Role },
		"semantics":    func(m *artifact.Manifest) *string { return &m.Model.Semantics },
		"architecture": func(m *artifact.Manifest) *string { return &m.Model.Architecture },
	}
	for name, field := range fields {
		for _, bad := range hostileText {
			m := manifest()
			*field(&m) = "tiny" + bad
			if _, _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), "plain text") {
				t.Errorf("%s with %q: %v", name, bad, err)
			}
			data, err := canon.Marshal(m)
			if err != nil { // not UTF-8
				continue
			}
			if _, err := artifact.Decode(data); err == nil {
				t.Errorf("%s with %q was decoded", name, bad)
			}
		}
	}
}

var hostileText = []string{"\n", "\x1b[2J", "\x7f", "\u009b2J", "\u202egguf", "\u2066", "\u200f", "\xff"}

func FuzzDecode(f *testing.F) {
	data, _, err := manifest().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	for _, bad := range hostileText {
		m := manifest()
		m.Name += bad
		if data, err := canon.Marshal(m); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := artifact.Decode(data)
		if err != nil {
			return
		}
		if again, _, err := m.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x is accepted and encodes as %x, %v", data, again, err)
		}
	})
}
