package canon_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"daulat/core/canon"
)

type sample struct {
	Long  uint64          `cbor:"long"`
	B     []byte          `cbor:"b"`
	Link  canon.CID       `cbor:"link"`
	Hash  canon.Hash      `cbor:"h"`
	Names []string        `cbor:"names,omitempty"`
	Key   canon.PublicKey `cbor:"key"`
}

func example() sample {
	return sample{Long: 300, B: []byte{1}, Link: canon.NewCID(canon.Raw, canon.Sum([]byte("x"))), Hash: canon.Sum(nil)}
}

func TestRoundTripIsCanonical(t *testing.T) {
	data := canon.MustMarshal(example())
	if !bytes.HasPrefix(data, []byte{0xa5, 0x61, 'b'}) {
		t.Fatalf("keys are not length-first: %x", data[:8])
	}
	var back sample
	if err := canon.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(canon.MustMarshal(back), data) {
		t.Fatal("round trip changed the bytes")
	}
}

func TestRestore(t *testing.T) {
	data := canon.MustMarshal(example())
	var back sample
	if err := canon.Restore(data, &back); err != nil || !bytes.Equal(canon.MustMarshal(back), data) {
		t.Fatalf("%+v, %v", back, err)
	}
	for _, bad := range [][]byte{nil, data[:len(data)-1], append(bytes.Clone(data), 0), {0xa1, 0x61, 'x', 0}} {
		if canon.Restore(bad, new(sample)) == nil {
			t.Errorf("%x was restored", bad)
		}
	}
}

func TestBytesAreByteStrings(t *testing.T) {
	data := canon.MustMarshal(canon.Hash{})
	if data[0] != 0x58 || data[1] != 32 {
		t.Fatalf("hash is encoded as %x, not as a byte string of 32", data[:2])
	}
}

func TestRefusesOtherEncodings(t *testing.T) {
	type one struct {
		A uint64 `cbor:"a"`
		B uint64 `cbor:"bb"`
	}
	good := "a2616101626262" + "02" // {"a":1,"bb":2}
	for name, raw := range map[string]string{
		"unsorted keys":     "a2626262" + "02" + "616101",
		"long integer":      "a261611801626262" + "02",
		"unknown field":     "a3616101616301626262" + "02",
		"repeated field":    "a3616101616101626262" + "02",
		"missing field":     "a1616101",
		"trailing byte":     good + "00",
		"truncated":         good[:len(good)-2],
		"indefinite map":    "bf616101626262" + "02ff",
		"float":             "a26161f93c00626262" + "02",
		"negative":          "a2616120626262" + "02",
		"null":              "f6",
		"tagged":            "d82a" + good,
		"case of the field": "a2614101626262" + "02",
	} {
		t.Run(name, func(t *testing.T) {
			data, err := hex.DecodeString(raw)
			if err != nil {
				t.Fatal(err)
			}
			if err := canon.Unmarshal(data, &one{}); err == nil {
				t.Fatalf("%x was accepted", data)
			}
		})
	}
	data, _ := hex.DecodeString(good)
	if err := canon.Unmarshal(data, &one{}); err != nil {
		t.Fatal(err)
	}
}

func TestRefusesHugeInput(t *testing.T) {
	var s []byte
	if err := canon.Unmarshal(make([]byte, canon.MaxSize+1), &s); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Fatalf("oversized input: %v", err)
	}
}

func TestCIDText(t *testing.T) {
	c := canon.NewCID(canon.DagCBOR, canon.Sum([]byte("manifest")))
	back, err := canon.ParseCID(c.String())
	if err != nil || back != c {
		t.Fatalf("%v, %v", back, err)
	}
	last := c.String()[len(c.String())-1]
	for _, bad := range []string{"", "b", "z" + c.String()[1:], strings.ToUpper(c.String()), c.String()[:20], c.String() + "a", c.String()[:len(c.String())-1] + string(last+1)} {
		if _, err := canon.ParseCID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestSignatureBindsDomainBodyAndKey(t *testing.T) {
	key, err := canon.GenerateKey(strings.NewReader(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	sig := key.Sign("daulat/a", example())
	if err := canon.Verify(key.Public(), "daulat/a", example(), sig); err != nil {
		t.Fatal(err)
	}
	other := example()
	other.Long++
	if err := canon.Verify(key.Public(), "daulat/a", other, sig); !errors.Is(err, canon.ErrSignature) {
		t.Errorf("another body: %v", err)
	}
	if err := canon.Verify(key.Public(), "daulat/b", example(), sig); !errors.Is(err, canon.ErrSignature) {
		t.Errorf("another domain: %v", err)
	}
	if err := canon.Verify(canon.PublicKey{1}, "daulat/a", example(), sig); !errors.Is(err, canon.ErrSignature) {
		t.Errorf("another key: %v", err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(canon.MustMarshal(example()))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s sample
		if canon.Unmarshal(data, &s) == nil && !bytes.Equal(canon.MustMarshal(s), data) {
			t.Fatalf("%x is accepted and is not canonical", data)
		}
	})
}

func FuzzParseCID(f *testing.F) {
	f.Add(canon.NewCID(canon.Raw, canon.Hash{}).String())
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := canon.ParseCID(text); err == nil && c.String() != text {
			t.Fatalf("%q reads as %s", text, c)
		}
	})
}
