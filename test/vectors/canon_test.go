package vectors_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/match"
	"daulat/core/receipt"
)

type keyCase struct {
	Seed   string `json:"seed"`
	Public string `json:"public"`
}

type cidCase struct {
	Codec byte   `json:"codec"`
	Data  string `json:"data"`
	Bytes string `json:"bytes"`
	Text  string `json:"text"`
}

type refusal struct {
	Why  string `json:"why"`
	CBOR string `json:"cbor,omitempty"`
	Text string `json:"text,omitempty"`
}

func TestCanon(t *testing.T) {
	d := &document{note: "see spec/canon.md; cbor, bytes and data are hexadecimal, value is DAG-JSON"}
	voucher := receipt.Voucher{Chain: "daulat-1", Session: 7, Seq: 24, Amount: 256, Root: canon.Sum([]byte("root")), Final: true}
	claim := match.Claim{Chain: "daulat-1", Account: "daulat1provider"}
	var keys []any
	for _, b := range []byte{1, 2, 3, 4} {
		keys = append(keys, keyCase{hex.EncodeToString(key(b).Seed()), key(b).Public().String()})
	}
	d.add("key", keys...)
	d.add("sign", signed("voucher", receipt.DomainVoucher, voucher, key(1)),
		signed("claim", match.DomainProvider, claim, key(2)),
		signed("claim", match.DomainProvider, match.Claim{}, key(2)))
	var cids []any
	for _, data := range []string{"", "daulat", "\xa0"} {
		for _, codec := range []canon.Codec{canon.Raw, canon.DagCBOR} {
			c := canon.NewCID(codec, canon.Sum([]byte(data)))
			cids = append(cids, cidCase{byte(codec), hex.EncodeToString([]byte(data)), hex.EncodeToString(c[:]), c.String()})
		}
	}
	d.add("cid", cids...)
	d.add("cid_refused", badCIDs(t)...)
	d.add("refused", badVouchers(t, canon.MustMarshal(voucher))...)
	golden(t, "canon.json", d)
}

func badCIDs(t *testing.T) (cases []any) {
	good := canon.NewCID(canon.Raw, canon.Sum(nil)).String()
	for _, c := range []refusal{
		{Why: "upper case", Text: "B" + good[1:]},
		{Why: "CIDv0", Text: "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWJGBfC"},
		{Why: "SHA2-256", Text: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},
		{Why: "too short", Text: good[:57]},
		{Why: "stray low bits in the last letter", Text: good[:len(good)-1] + string(good[len(good)-1]+1)},
		{Why: "padding", Text: good + "="},
	} {
		if _, err := canon.ParseCID(c.Text); err == nil {
			t.Errorf("CID with %s is read", c.Why)
		}
		cases = append(cases, c)
	}
	return cases
}

// badVouchers are encodings of which none may be read as a voucher. good is
// a map of six fields: its head is one byte, its keys sort as seq (3 bytes)
// first, then root, chain and final, amount, session.
func badVouchers(t *testing.T, good []byte) (cases []any) {
	text := hex.EncodeToString(good)
	swap := func(old, with string) string {
		return replaceOnce(t, text, hex.EncodeToString([]byte(old)), hex.EncodeToString([]byte(with)))
	}
	for _, c := range []refusal{
		{Why: "a byte follows", CBOR: text + "00"},
		{Why: "cut short", CBOR: text[:len(text)-2]},
		{Why: "empty", CBOR: ""},
		{Why: "null", CBOR: "f6"},
		{Why: "integer in a longer form", CBOR: swap("seq\x18\x18", "seq\x19\x00\x18")},
		{Why: "map of indefinite length", CBOR: "bf" + text[2:] + "ff"},
		{Why: "string of indefinite length", CBOR: swap("chain\x68daulat-1", "chain\x7f\x68daulat-1\xff")},
		{Why: "float", CBOR: swap("amount\x19\x01\x00", "amount\xf9\x5c\x00")},
		{Why: "negative integer", CBOR: swap("session\x07", "session\x27")},
		{Why: "tagged integer", CBOR: swap("session\x07", "session\xc1\x07")},
		{Why: "not UTF-8", CBOR: swap("daulat-1", "daulat-\xff")},
		{Why: "key in another case", CBOR: swap("\x65final", "\x65Final")},
		{Why: "unknown field", CBOR: "a7" + text[2:] + "68616464656420617300"},
		{Why: "repeated field", CBOR: "a7" + text[2:] + "6773657373696f6e07"},
		{Why: "field missing", CBOR: "a5" + text[2:len(text)-18]},
		{Why: "keys out of order", CBOR: "a6" + text[len(text)-18:] + text[2:len(text)-18]},
		{Why: "array instead of a map", CBOR: "8107"},
		{Why: "hash of 31 bytes", CBOR: replaceOnce(t, text, "5820"+voucherRoot(good), "581f"+voucherRoot(good)[2:])},
	} {
		data, err := hex.DecodeString(c.CBOR)
		if err != nil {
			t.Fatalf("%s: %v", c.Why, err)
		}
		var v receipt.Voucher
		if canon.Unmarshal(data, &v) == nil {
			t.Errorf("voucher is read: %s", c.Why)
		}
		cases = append(cases, c)
	}
	return cases
}

func voucherRoot(good []byte) string {
	var v receipt.Voucher
	if err := canon.Unmarshal(good, &v); err != nil {
		panic(err)
	}
	return v.Root.String()
}

func replaceOnce(t *testing.T, text, old, with string) string {
	t.Helper()
	at := -1
	for i := 0; i+len(old) <= len(text); i += 2 {
		if text[i:i+len(old)] == old {
			if at >= 0 {
				t.Fatalf("%s occurs twice", old)
			}
			at = i
		}
	}
	if at < 0 {
		t.Fatalf("%s does not occur in %s", old, text)
	}
	return text[:at] + with + text[at+len(old):]
}

type manifestCase struct {
	item
	ID string `json:"id"`
}

// defaultModel is the manifest of the model that a new network serves.
func defaultModel() artifact.Manifest {
	blob, err := canon.ParseCID("bafkr4ic7j6qtx7dn2sur7uaoekluvhcot3lcr7l5p4yhhgg56mbgbvvsym")
	if err != nil {
		panic(err)
	}
	return artifact.Manifest{Version: 1, Name: "SmolLM2-135M-Instruct", Media: artifact.MediaModelGGUF, Licence: "Apache-2.0",
		Parts: []artifact.Part{{Role: artifact.Weights, Blob: blob, Size: 98362432}},
		Model: &artifact.Model{Semantics: "float/1", Architecture: "llama", Context: 8192}}
}

func TestArtifact(t *testing.T) {
	d := &document{note: "see spec/artifact.md; the first is the default model's manifest"}
	parent := canon.NewCID(canon.DagCBOR, canon.Sum([]byte("parent")))
	child := artifact.Manifest{Version: 1, Name: "notes", Media: "text/plain", Licence: "CC-BY-4.0", Consent: "asked on paper",
		Parts:   []artifact.Part{{Role: "part", Blob: canon.NewCID(canon.Raw, canon.Sum([]byte("a"))), Size: 1}, {Role: "part", Blob: canon.NewCID(canon.Raw, canon.Sum(nil))}},
		Parents: []canon.CID{parent, parent}}
	var good []any
	for _, m := range []artifact.Manifest{defaultModel(), child} {
		data, id, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := artifact.DecodeAs(id, data); err != nil {
			t.Fatal(err)
		}
		good = append(good, manifestCase{plain("manifest", m), id.String()})
	}
	d.add("manifest", good...)
	d.add("refused", badManifests(t, child)...)
	d.add("declaration", declarations(t)...)
	d.add("declaration_refused", badDeclarations(t)...)
	golden(t, "artifact.json", d)
}

// declared is a model that its provider's server knows by a digest.
func declared() artifact.Declaration {
	return artifact.Declaration{Version: 1, Name: "llama3.2:latest", Digest: "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72"}
}

func declarations(t *testing.T) (cases []any) {
	for _, d := range []artifact.Declaration{declared(), {Version: 1, Name: "meta/Llama-3"}} {
		_, id, err := d.Encode()
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, manifestCase{plain("declaration", d), id.String()})
	}
	return cases
}

func badDeclarations(t *testing.T) (cases []any) {
	for _, c := range []struct {
		why    string
		change func(*artifact.Declaration)
	}{
		{"version 2", func(d *artifact.Declaration) { d.Version = 2 }},
		{"no name", func(d *artifact.Declaration) { d.Name = "" }},
		{"a name that is not ASCII", func(d *artifact.Declaration) { d.Name = "llam\u0430" }},
		{"a space at the end", func(d *artifact.Declaration) { d.Name += " " }},
		{"a digest in upper case", func(d *artifact.Declaration) { d.Digest = strings.ToUpper(d.Digest) }},
		{"a short digest", func(d *artifact.Declaration) { d.Digest = d.Digest[:62] }},
	} {
		d := declared()
		c.change(&d)
		data := canon.MustMarshal(d)
		if _, err := artifact.DecodeDeclaration(data); err == nil {
			t.Errorf("declaration with %s is read", c.why)
		}
		cases = append(cases, refusal{Why: c.why, CBOR: hex.EncodeToString(data)})
	}
	return cases
}

func badManifests(t *testing.T, good artifact.Manifest) (cases []any) {
	for _, c := range []struct {
		why    string
		change func(*artifact.Manifest)
	}{
		{"version 2", func(m *artifact.Manifest) { m.Version = 2 }},
		{"no name", func(m *artifact.Manifest) { m.Name = "" }},
		{"no licence", func(m *artifact.Manifest) { m.Licence = "" }},
		{"no parts", func(m *artifact.Manifest) { m.Parts = nil }},
		{"parent that is no manifest", func(m *artifact.Manifest) { m.Parents = []canon.CID{m.Parts[0].Blob} }},
		{"model without context limit", func(m *artifact.Manifest) { m.Model = &artifact.Model{Semantics: "float/1", Architecture: "llama"} }},
	} {
		m := good
		c.change(&m)
		data := canon.MustMarshal(m)
		if _, err := artifact.Decode(data); err == nil {
			t.Errorf("manifest with %s is read", c.why)
		}
		cases = append(cases, refusal{Why: c.why, CBOR: hex.EncodeToString(data)})
	}
	return cases
}
