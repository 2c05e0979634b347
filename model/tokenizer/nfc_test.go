package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// TestNFC: what Hugging Face tokenizers 0.23.3 makes of text that is not in form C.
func TestNFC(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "",
		"e\u0301":                       "é",
		"q\u0307\u0323":                 "q\u0323\u0307", // sorted
		"a\u0302\u0323":                 "ậ",             // sorted, then two steps
		"a\u0338\u0327\u0301":           "\u00e1\u0338\u0327",
		"a\u0301\u0301":                 "á\u0301", // the second is blocked
		"\u0301a":                       "\u0301a",
		"\u1112\u1161\u11ab":            "한",
		"\ud558\u11ab":                  "한",
		"\u09c7\u09be":                  "\u09cb", // neither is a mark
		"\u09c7\u0301\u09be":            "\u09c7\u0301\u09be",
		"\u212b\u2126":                  "ÅΩ",
		"\u0958":                        "\u0915\u093c", // excluded from composition
		"\U00011131\U00011127":          "\U0001112e",
		"\U0001003c\u0338":              "\U0001003c\u0338", // not <, as the last 16 bits have it
		"\u07fd\u0338e\u0301":           "\u07fd\u0338é",    // a mark since Unicode 11
		"a\u0898\u0301":                 "a\u0898\u0301",
		"\U00011935\U00011930e\u0301":   "\U00011935\U00011930é", // a pair since Unicode 13
		"\U00011938e\u0301":             "\U00011938é",
		"a" + marks(40, "\u0300"):       "à" + marks(39, "\u0300"), // no joiner
		"x" + marks(70, "\u0300\u0316"): "x" + marks(70, "\u0316") + marks(70, "\u0300"),
	} {
		if got := nfc(text); got != want {
			t.Errorf("%+q became %+q instead of %+q", text, got, want)
		}
	}
}

func marks(n int, s string) string { return strings.Repeat(s, n) }

// The hash is that of what the reference makes of the same texts: they show
// each character's class and what it composes with. It changes when the
// library's tables do.
func TestNFCOfAllCharacters(t *testing.T) {
	h := sha256.New()
	for c := rune(0); c <= utf8.MaxRune; c++ {
		if utf8.ValidRune(c) {
			h.Write([]byte(nfc("o\u0345" + string(c) + "\u0338")))
		}
	}
	const golden = "41e5ccea54d90eb4c0a64152b57778b35c1fec72f1aecd489cb44085f0b5cb52"
	if got := hex.EncodeToString(h.Sum(nil)); got != golden {
		t.Errorf("hash of normal texts is %s", got)
	}
}

// FuzzNFC: what the library holds for normal needs no change, and a result is normal.
func FuzzNFC(f *testing.F) {
	for _, seed := range []string{"e\u0301", "a\u0898\u0301", "\U0001003c\u0338", "\U00011935\U00011930", marks(35, "\u0300\u0345"), "\ud558\u11ab\u0958"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		got := compose(text)
		if norm.NFC.IsNormalString(text) && got != text {
			t.Errorf("%+q is normal and became %+q", text, got)
		}
		if again := compose(got); again != got {
			t.Errorf("%+q became %+q and then %+q", text, got, again)
		}
	})
}
