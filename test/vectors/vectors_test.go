// Package vectors_test writes spec/vectors, the golden bytes by which other
// implementations check theirs, and fails when the code no longer gives them.
// test/peers/vectors reads the same files in Python, with nothing of ours.
//
// Everything is made from fixed seeds: -update writes the files anew, and a
// change of one byte is a change of a format, which needs a new version.
package vectors_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"daulat/core/canon"
)

var update = flag.Bool("update", false, "write spec/vectors anew")

const folder = "../../spec/vectors"

// document is one file: a note and named lists of cases.
type document struct {
	note  string
	lists []list
}

type list struct {
	name  string
	cases []any
}

func (d *document) add(name string, cases ...any) { d.lists = append(d.lists, list{name, cases}) }

// encode writes one case a line, so that a change is readable.
func (d *document) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n\"note\": %s", asJSON(d.note))
	for _, l := range d.lists {
		fmt.Fprintf(&b, ",\n%q: [", l.name)
		for i, c := range l.cases {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("\n  ")
			b.Write(asJSON(c))
		}
		b.WriteString("\n]")
	}
	b.WriteString("\n}\n")
	return b.Bytes()
}

func asJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

// golden compares a document with its file.
func golden(t *testing.T, name string, d *document) {
	t.Helper()
	path := filepath.Join(folder, name)
	if *update {
		if err := os.WriteFile(path, d.encode(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, d.encode()) {
		t.Fatalf("%s differs from what the code gives", name)
	}
}

// item is a value with its encoding and, if it is sealed, its hash and signature.
type item struct {
	Kind      string `json:"kind"`
	Value     any    `json:"value"` // DAG-JSON
	CBOR      string `json:"cbor"`
	Domain    string `json:"domain,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Signer    string `json:"signer,omitempty"`
	Signature string `json:"signature,omitempty"`
}

func plain(kind string, v any) item {
	data := canon.MustMarshal(v)
	return item{Kind: kind, Value: dagJSON(data), CBOR: hex.EncodeToString(data)}
}

func sealed(kind, domain string, v any) item {
	i := plain(kind, v)
	i.Domain, i.Digest = domain, canon.Digest(domain, v).String()
	return i
}

func signed(kind, domain string, v any, key canon.PrivateKey) item {
	i := sealed(kind, domain, v)
	sig := key.Sign(domain, v)
	i.Signer, i.Signature = key.Public().String(), hex.EncodeToString(sig[:])
	return i
}

// key makes a key from 32 equal bytes.
func key(b byte) canon.PrivateKey {
	k, err := canon.KeyFromSeed(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		panic(err)
	}
	return k
}

var generic = func() cbor.DecMode {
	m, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}()

// dagJSON shows canonical bytes in DAG-JSON: links as {"/": CID}, byte strings
// as {"/": {"bytes": base64}}.
func dagJSON(data []byte) any {
	var v any
	if err := generic.Unmarshal(data, &v); err != nil {
		panic(err)
	}
	return show(v)
}

func show(v any) any {
	switch v := v.(type) {
	case []byte:
		return map[string]any{"/": map[string]any{"bytes": base64.RawStdEncoding.EncodeToString(v)}}
	case cbor.Tag:
		return map[string]any{"/": canon.CID(v.Content.([]byte)[1:]).String()}
	case []any:
		for i := range v {
			v[i] = show(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = show(v[k])
		}
	}
	return v
}
