package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// rule says how text is cut into words. The originals are regular expressions
// with lookahead; they are scanned by hand here, one decision per word.
type rule struct {
	nfc        bool // text is brought to Unicode form C first
	digits     bool // each digit stands alone, and text ends at it
	modern     bool // the Llama 3 family of expressions instead of GPT-2's
	digitRun   int  // digits of one word in a modern rule
	wholeWords bool // a word that is a token is not merged
}

// rules by the name of tokenizer.ggml.pre.
var rules = map[string]rule{
	"gpt-2":     {},
	"default":   {},
	"smollm":    {digits: true},
	"llama-bpe": {modern: true, digitRun: 3, wholeWords: true},
	"qwen2":     {modern: true, digitRun: 1, nfc: true},
}

// split calls word for each word of text, in order; together they are the text.
func (r rule) split(text string, word func(string)) {
	if r.nfc {
		text = nfc(text)
	}
	if r.digits {
		splitDigits(text, word)
		return
	}
	scan := gpt2Word
	if r.modern {
		scan = func(s string) int { return modernWord(s, r.digitRun) }
	}
	for text != "" {
		n := scan(text)
		word(text[:n])
		text = text[n:]
	}
}

func splitDigits(text string, word func(string)) {
	gpt2 := rules["gpt-2"]
	start := 0
	for i, c := range text {
		if standsAlone(c) {
			gpt2.split(text[start:i], word)
			start = i + utf8.RuneLen(c)
			word(text[i:start])
		}
	}
	gpt2.split(text[start:], word)
}

// first gives the class and size of the first character of s.
func first(s string) (class, int) {
	if s == "" {
		return end, 0
	}
	c, n := utf8.DecodeRuneInString(s)
	return classOf(c), n
}

// run is the length of the longest prefix of class k, in at most limit characters.
func run(s string, k class, limit int) int {
	n := 0
	for ; limit > 0; limit-- {
		got, size := first(s[n:])
		if got != k {
			break
		}
		n += size
	}
	return n
}

const unlimited = MaxText * 4

// gpt2Word is the length of the first word of s by
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func gpt2Word(s string) int {
	if n := contraction(s, false); n > 0 {
		return n
	}
	blank := 0
	if s[0] == ' ' {
		blank = 1
	}
	if k, _ := first(s[blank:]); k < space || k == other {
		return blank + run(s[blank:], k, unlimited)
	}
	return spaces(s)
}

// modernWord is the length of the first word of s by
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}|
//	 ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func modernWord(s string, digits int) int {
	if n := contraction(s, true); n > 0 {
		return n
	}
	k, size := first(s)
	if k == letter {
		return run(s, letter, unlimited)
	}
	if k == number {
		return run(s, number, digits)
	}
	if s[0] != '\r' && s[0] != '\n' {
		if n := run(s[size:], letter, unlimited); n > 0 {
			return size + n
		}
	}
	blank := 0
	if s[0] == ' ' {
		blank = 1
	}
	if n := run(s[blank:], other, unlimited); n > 0 {
		n += blank
		for n < len(s) && (s[n] == '\r' || s[n] == '\n') {
			n++
		}
		return n
	}
	white := s[:run(s, space, unlimited)]
	if line := strings.LastIndexAny(white, "\r\n"); line >= 0 {
		return line + 1
	}
	return spaces(s)
}

// spaces is the length of \s+(?!\S)|\s+ at a run of white space: the last
// character of a longer run is left to the word that follows.
func spaces(s string) int {
	n := run(s, space, unlimited)
	if n == len(s) {
		return n
	}
	if _, last := utf8.DecodeLastRuneInString(s[:n]); last < n {
		return n - last
	}
	return n
}

// contraction is the length of an English 's, 't, 're, 've, 'm, 'll or 'd at the
// start of s, or 0.
func contraction(s string, anyCase bool) int {
	if s[0] != '\'' {
		return 0
	}
	for _, tail := range [...]string{"s", "t", "re", "ve", "m", "ll", "d"} {
		if strings.HasPrefix(s[1:], tail) {
			return 1 + len(tail)
		}
		if !anyCase {
			continue
		}
		if n := foldPrefix(s[1:], tail); n > 0 {
			return 1 + n
		}
	}
	return 0
}

// foldPrefix is the length of the prefix of s that equals tail in any case, or
// 0; the long s ſ is a form of s.
func foldPrefix(s, tail string) int {
	n := 0
	for range tail {
		_, size := utf8.DecodeRuneInString(s[n:])
		n += size
	}
	if strings.EqualFold(s[:n], tail) {
		return n
	}
	return 0
}
