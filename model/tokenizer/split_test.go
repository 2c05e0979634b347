package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"
	"unicode/utf8"
)

var splitTexts = []string{
	"Hello  world, it's 2026!\n\n",
	"I'LL  don't we'VE 'ſo",
	"  \t leading\r\n\r\n  x\n",
	"a1b22c333 ４５６Ⅷ½",
	"日本語 テスト\U0001f600!? ok...\n\nnext",
	"tab\tword\u00a0nbsp\u3000wide \u2028 ",
	"'s''t 'd 'x",
	" ' ''",
	"x²+y²=z² ",
	"\U00013460\U00010d40\U00011de0a",
	"    indent\n        more  ",
	"naïve e\u0301t",
}

// splitWords is what Hugging Face tokenizers 0.23.3 makes of splitTexts.
var splitWords = map[string][][]string{
	"gpt-2": {
		{"Hello", " ", " world", ",", " it", "'s", " 2026", "!", "\n\n"},
		{"I", "'", "LL", " ", " don", "'t", " we", "'", "VE", " '", "ſo"},
		{"  \t", " leading", "\r\n\r\n ", " x", "\n"},
		{"a", "1", "b", "22", "c", "333", " ４５６Ⅷ½"},
		{"日本語", " テスト", "\U0001f600!?", " ok", "...", "\n", "\n", "next"},
		{"tab", "\t", "word", "\u00a0", "nbsp", "\u3000", "wide", " \u2028 "},
		{"'s", "''", "t", " '", "d", " '", "x"},
		{" '", " ''"},
		{"x", "²", "+", "y", "²", "=", "z", "²", " "},
		{"\U00013460", "\U00010d40", "\U00011de0", "a"},
		{"   ", " indent", "\n       ", " more", "  "},
		{"naïve", " e", "\u0301", "t"},
	},
	"smollm": {
		{"Hello", " ", " world", ",", " it", "'s", " ", "2", "0", "2", "6", "!", "\n\n"},
		{"I", "'", "LL", " ", " don", "'t", " we", "'", "VE", " '", "ſo"},
		{"  \t", " leading", "\r\n\r\n ", " x", "\n"},
		{"a", "1", "b", "2", "2", "c", "3", "3", "3", " ", "４", "５", "６", "Ⅷ", "½"},
		{"日本語", " テスト", "\U0001f600!?", " ok", "...", "\n", "\n", "next"},
		{"tab", "\t", "word", "\u00a0", "nbsp", "\u3000", "wide", " \u2028 "},
		{"'s", "''", "t", " '", "d", " '", "x"},
		{" '", " ''"},
		{"x", "²", "+", "y", "²", "=", "z", "²", " "},
		{"\U00013460", "\U00010d40", "\U00011de0", "a"},
		{"   ", " indent", "\n       ", " more", "  "},
		{"naïve", " e", "\u0301", "t"},
	},
	"llama-bpe": {
		{"Hello", " ", " world", ",", " it", "'s", " ", "202", "6", "!\n\n"},
		{"I", "'LL", " ", " don", "'t", " we", "'VE", " '", "ſo"},
		{"  \t", " leading", "\r\n\r\n", " ", " x", "\n"},
		{"a", "1", "b", "22", "c", "333", " ", "４５６", "Ⅷ½"},
		{"日本語", " テスト", "\U0001f600!?", " ok", "...\n\n", "next"},
		{"tab", "\tword", "\u00a0nbsp", "\u3000wide", " \u2028 "},
		{"'s", "''", "t", " '", "d", " '", "x"},
		{" '", " ''"},
		{"x", "²", "+y", "²", "=z", "²", " "},
		{"\U00013460", "\U00010d40", "\U00011de0a"},
		{"   ", " indent", "\n", "       ", " more", "  "},
		{"naïve", " e", "\u0301t"},
	},
	"qwen2": {
		{"Hello", " ", " world", ",", " it", "'s", " ", "2", "0", "2", "6", "!\n\n"},
		{"I", "'LL", " ", " don", "'t", " we", "'VE", " '", "ſo"},
		{"  \t", " leading", "\r\n\r\n", " ", " x", "\n"},
		{"a", "1", "b", "2", "2", "c", "3", "3", "3", " ", "４", "５", "６", "Ⅷ", "½"},
		{"日本語", " テスト", "\U0001f600!?", " ok", "...\n\n", "next"},
		{"tab", "\tword", "\u00a0nbsp", "\u3000wide", " \u2028 "},
		{"'s", "''", "t", " '", "d", " '", "x"},
		{" '", " ''"},
		{"x", "²", "+y", "²", "=z", "²", " "},
		{"\U00013460", "\U00010d40", "\U00011de0a"},
		{"   ", " indent", "\n", "       ", " more", "  "},
		{"naïve", " ét"},
	},
}

func TestSplitEqualsReference(t *testing.T) {
	for pre, want := range splitWords {
		for i, text := range splitTexts {
			var got []string
			rules[pre].split(text, func(w string) { got = append(got, w) })
			if !slices.Equal(got, want[i]) {
				t.Errorf("%s: %q splits into %q, not %q", pre, text, got, want[i])
			}
		}
	}
}

// The hash is of classes that were compared with the reference for every
// character; it changes when Go's Unicode tables do.
func TestClassesOfAllCharacters(t *testing.T) {
	h := sha256.New()
	for c := rune(0); c <= utf8.MaxRune; c++ {
		mark := byte(classOf(c))
		if standsAlone(c) {
			mark += 16
		}
		h.Write([]byte{mark})
	}
	const golden = "2ee5892dddcda9655c7c83cc9b66a9571e4339e8d0fed12ab43001d030cf9d80"
	if got := hex.EncodeToString(h.Sum(nil)); got != golden {
		t.Errorf("hash of classes is %s", got)
	}
}
