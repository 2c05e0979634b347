package artifact_test

import (
	"bytes"
	"strings"
	"testing"

	"daulat/core/artifact"
	"daulat/core/canon"
)

func declaration() artifact.Declaration {
	return artifact.Declaration{Version: canon.Version, Name: "llama3.2:latest", Digest: strings.Repeat("0a", 32)}
}

func TestDeclarationRoundTrip(t *testing.T) {
	names := map[canon.CID]bool{}
	for _, d := range []artifact.Declaration{declaration(), {Version: canon.Version, Name: "llama3.2:latest"}, {Version: canon.Version, Name: "other"}} {
		data, id, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		back, err := artifact.DecodeDeclarationAs(id, data)
		if err != nil || back != d {
			t.Errorf("%+v became %+v, %v", d, back, err)
		}
		if !artifact.IsDeclared(id) || names[id] {
			t.Errorf("%s is not declared, or another's name", id)
		}
		names[id] = true
		if _, err := artifact.DecodeDeclarationAs(canon.NewCID(canon.Raw, canon.Hash{}), data); err == nil {
			t.Error("bytes passed under another name")
		}
	}
}

// The codec alone tells a declared model from one that a manifest describes.
func TestDeclaredIsNoManifest(t *testing.T) {
	data, id, err := declaration().Encode()
	if err != nil {
		t.Fatal(err)
	}
	described, manifestID, err := manifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if artifact.IsDeclared(manifestID) || artifact.IsDeclared(canon.CID{}) {
		t.Error("a manifest passes for declared")
	}
	if _, err := artifact.Decode(data); err == nil {
		t.Error("a declaration was read as a manifest")
	}
	if _, err := artifact.DecodeDeclaration(described); err == nil {
		t.Error("a manifest was read as a declaration")
	}
	if _, err := artifact.DecodeAs(id, described); err == nil {
		t.Error("a manifest passed under a declared name")
	}
	if _, err := artifact.DecodeDeclarationAs(canon.NewCID(canon.DagCBOR, canon.Sum(data)), data); err == nil {
		t.Error("a declaration passed under a manifest's name")
	}
	m := manifest()
	m.Parents = []canon.CID{id}
	if _, _, err := m.Encode(); err == nil {
		t.Error("a manifest has a declared parent")
	}
}

func TestDeclarationRefuses(t *testing.T) {
	for name, change := range map[string]func(*artifact.Declaration){
		"another version":       func(d *artifact.Declaration) { d.Version = 2 },
		"no name":               func(d *artifact.Declaration) { d.Name = "" },
		"a long name":           func(d *artifact.Declaration) { d.Name = strings.Repeat("n", 257) },
		"a foreign letter":      func(d *artifact.Declaration) { d.Name = "llam\u0430" },
		"a line end":            func(d *artifact.Declaration) { d.Name = "llama\n" },
		"a space before":        func(d *artifact.Declaration) { d.Name = " llama" },
		"a short digest":        func(d *artifact.Declaration) { d.Digest = d.Digest[2:] },
		"a digest's upper case": func(d *artifact.Declaration) { d.Digest = strings.ToUpper(d.Digest) },
		"a digest's prefix":     func(d *artifact.Declaration) { d.Digest = "sha256:" + d.Digest },
	} {
		d := declaration()
		change(&d)
		if _, _, err := d.Encode(); err == nil {
			t.Errorf("%s was encoded", name)
		}
		data, err := canon.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := artifact.DecodeDeclaration(data); err == nil {
			t.Errorf("%s was decoded", name)
		}
	}
	if _, err := artifact.DecodeDeclaration(make([]byte, 513)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("an oversized declaration: %v", err)
	}
}

func FuzzDecodeDeclaration(f *testing.F) {
	data, _, err := declaration().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := artifact.DecodeDeclaration(data)
		if err != nil {
			return
		}
		if again, _, err := d.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x is accepted and encodes as %x, %v", data, again, err)
		}
		if _, err := artifact.Decode(data); err == nil {
			t.Fatalf("%x is a manifest too", data)
		}
	})
}
