package client

import (
	"strings"
	"testing"
)

func TestTrustText(t *testing.T) {
	a, b := strings.Repeat("0a", 32), strings.Repeat("b1", 32)
	want := Trust{ChainID: "daulat-1", GenesisHash: a, Height: 42, Hash: b}
	if got, err := ParseTrust(want.String()); err != nil || got != want {
		t.Fatalf("%+v: %v", got, err)
	}
	for _, bad := range []string{
		"", "daulat-1", "daulat-1@" + a, "@" + a + ":1:" + b, "daulat-1@" + a + ":0:" + b, "daulat-1@" + a + ":-1:" + b,
		"daulat-1@" + a + ":01:" + b, "daulat-1@" + a + ":9999999999999999999:" + b, "daulat-1@" + a + ":1:" + b + "00",
		"daulat-1@" + strings.ToUpper(a) + ":1:" + b, "a b@" + a + ":1:" + b, strings.Repeat("x", 51) + "@" + a + ":1:" + b,
		strings.Repeat(" ", 300) + want.String(),
	} {
		if _, err := ParseTrust(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzParseTrust(f *testing.F) {
	f.Add("daulat-1@" + strings.Repeat("0a", 32) + ":42:" + strings.Repeat("b1", 32))
	f.Add("@::")
	f.Fuzz(func(t *testing.T, text string) {
		trust, err := ParseTrust(text)
		if err == nil && trust.String() != strings.TrimSpace(text) {
			t.Fatalf("%q became %q", text, trust)
		}
	})
}
