package canon_test

import (
	"testing"

	"daulat/core/canon"
)

func TestPlain(t *testing.T) {
	for _, good := range []string{"", "SmolLM2-135M-Instruct", "a b", "Größe", "模型", "נמל", "🙂", "a\u00a0b", "a\u200db", "~", "\ufffd"} {
		if !canon.Plain(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"\x00", "a\n", "\x1b[2J", "\x1f", "\x7f", "\u0080", "\u009b2J", "\u009f", "\u061c", "\u200e",
		"\u200f", "\u202a", "gpj\u202egguf", "\u2066", "\u2069", "\xff", "a\xc3", "\xed\xa0\x80"} {
		if canon.Plain(bad) {
			t.Errorf("%q passes", bad)
		}
	}
}
