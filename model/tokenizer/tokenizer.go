// Package tokenizer turns text into token IDs and back, by byte-level BPE as
// GGUF files describe it.
//
// Encoding has four steps: control tokens are cut out of trusted text, what
// remains is split into words by the rule that the file names (Vocabulary.Pre),
// each byte of a word becomes a symbol, and neighbouring symbols are merged in
// the order of the merge list. The result equals that of Hugging Face
// tokenizers for the same vocabulary.
//
// Guarantees: text from an untrusted source never yields a control token,
// whatever it spells; New refuses a vocabulary in which it could. Time is
// O(n log n) in the text, also for one endless word, and sizes are bounded
// before memory is taken. A Tokenizer is immutable and safe for concurrent use.
//
// A byte for which the vocabulary has no token becomes the unknown token, or
// vanishes when there is none that is safe to give to a user; both references
// (Hugging Face and llama.cpp) do the same.
//
// Start at New, Encode and Decoder.
package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits on what a vocabulary and a text may claim.
const (
	MaxTokens       = 1 << 20  // tokens of a vocabulary; merges may be twice as many
	MaxTokenBytes   = 4096     // of one token's text
	MaxSpecialBytes = 256      // of one control or user-defined token's text
	MaxText         = 16 << 20 // bytes given to one Encode
)

// Token types as GGUF numbers them.
const (
	Normal      = 1
	UnknownType = 2
	Control     = 3
	UserDefined = 4
	Unused      = 5
	Byte        = 6
)

// Vocabulary is what a GGUF file says about its tokenizer. IDs are indexes of
// Tokens; -1 means none. Types may be empty (all normal); Scores are only
// checked, since BPE ranks merges by their order.
type Vocabulary struct {
	Model, Pre             string
	Tokens                 []string
	Types                  []int32
	Merges                 []string // "left right", most urgent first
	Scores                 []float32
	BOS, EOS, EOT, Unknown int64
	AddBOS                 bool
}

// Segment is a stretch of text and whether its control tokens count. Template
// text is trusted; what a user wrote is not.
type Segment struct {
	Text    string
	Trusted bool
}

// Tokenizer encodes and decodes by one vocabulary.
type Tokenizer struct {
	text     []string // bytes that each token stands for
	types    []int32
	bytes    [256]int64       // token of a single byte, -1 = none
	merges   map[pair]merged  // what two neighbouring tokens become
	words    map[string]token // whole words that need no merging; nil = merge always
	specials *trie
	rule     rule
	unknown  int64
	bos      int64
	addBOS   bool
	ends     []uint32
}

type token = uint32

type pair struct{ left, right token }

type merged struct{ rank, token uint32 }

// New checks v in full and prepares it for use; it keeps no reference to v.
func New(v Vocabulary) (*Tokenizer, error) {
	if v.Model != "gpt2" {
		return nil, fmt.Errorf("tokenizer model %q is not supported, only byte-level BPE (gpt2)", clip(v.Model))
	}
	rule, ok := rules[v.Pre]
	if !ok {
		return nil, fmt.Errorf("pre-tokenizer %q is not supported", clip(v.Pre))
	}
	ids, err := v.check()
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{rule: rule, unknown: -1, bos: v.BOS, addBOS: v.AddBOS, specials: &trie{token: -1}}
	if t.types = append(t.types, v.Types...); len(v.Types) == 0 {
		t.types = make([]int32, len(v.Tokens))
		for i := range t.types {
			t.types[i] = Normal
		}
	}
	if v.Unknown >= 0 && t.plain(token(v.Unknown)) {
		t.unknown = v.Unknown
	}
	for _, end := range []int64{v.EOS, v.EOT} {
		if end >= 0 {
			t.ends = append(t.ends, token(end))
		}
	}
	if err := t.addTokens(v.Tokens); err != nil {
		return nil, err
	}
	return t, t.addMerges(v.Merges, ids)
}

// check validates everything that needs no derived table and returns the ID of
// each token's text.
func (v Vocabulary) check() (map[string]token, error) {
	n := len(v.Tokens)
	if n == 0 || n > MaxTokens {
		return nil, fmt.Errorf("vocabulary has %d tokens, not 1 to %d", n, MaxTokens)
	}
	if len(v.Types) != 0 && len(v.Types) != n {
		return nil, fmt.Errorf("vocabulary has %d tokens but %d token types", n, len(v.Types))
	}
	if len(v.Scores) != 0 && len(v.Scores) != n {
		return nil, fmt.Errorf("vocabulary has %d tokens but %d scores", n, len(v.Scores))
	}
	if len(v.Merges) > 2*MaxTokens {
		return nil, fmt.Errorf("vocabulary has %d merges, more than %d", len(v.Merges), 2*MaxTokens)
	}
	for name, id := range map[string]int64{"bos": v.BOS, "eos": v.EOS, "eot": v.EOT, "unknown": v.Unknown} {
		if id < -1 || id >= int64(n) {
			return nil, fmt.Errorf("%s token %d is outside the vocabulary of %d", name, id, n)
		}
	}
	if v.AddBOS && v.BOS < 0 {
		return nil, errors.New("vocabulary wants a bos token but names none")
	}
	for i, typ := range v.Types {
		if typ < Normal || typ > Byte {
			return nil, fmt.Errorf("token %d has unknown type %d", i, typ)
		}
		if special(typ) && len(v.Tokens[i]) > MaxSpecialBytes {
			return nil, fmt.Errorf("special token %d is longer than %d bytes", i, MaxSpecialBytes)
		}
	}
	ids := make(map[string]token, n)
	for i, text := range v.Tokens {
		if text == "" || len(text) > MaxTokenBytes || !utf8.ValidString(text) {
			return nil, fmt.Errorf("token %d is empty, longer than %d bytes or not UTF-8", i, MaxTokenBytes)
		}
		if first, dup := ids[text]; dup {
			return nil, fmt.Errorf("tokens %d and %d are both %q", first, i, clip(text))
		}
		ids[text] = token(i)
	}
	return ids, nil
}

func (t *Tokenizer) addTokens(tokens []string) error {
	for i := range t.bytes {
		t.bytes[i] = -1
	}
	t.text = make([]string, len(tokens))
	if t.rule.wholeWords {
		t.words = make(map[string]token, len(tokens))
	}
	for i, text := range tokens {
		if special(t.types[i]) {
			t.text[i] = strings.Clone(text)
			t.specials.add(text, token(i))
			continue
		}
		raw, ok := rawBytes(text)
		t.text[i] = raw
		if !ok || !t.plain(token(i)) {
			continue
		}
		if len(raw) == 1 {
			t.bytes[raw[0]] = int64(i)
		}
		if t.words != nil {
			t.words[raw] = token(i)
		}
	}
	for _, id := range t.bytes {
		if id >= 0 {
			return nil
		}
	}
	return errors.New("vocabulary has no single-byte token, so no text can be encoded")
}

func (t *Tokenizer) addMerges(merges []string, ids map[string]token) error {
	t.merges = make(map[pair]merged, len(merges))
	for rank, text := range merges {
		left, right, ok := strings.Cut(text, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			return fmt.Errorf("merge %d is not two tokens with a space between", rank)
		}
		var id [3]token
		for i, part := range [3]string{left, right, left + right} {
			if id[i], ok = ids[part]; !ok {
				return fmt.Errorf("merge %d refers to %q, which is no token", rank, clip(part))
			}
			if !t.plain(id[i]) {
				return fmt.Errorf("merge %d refers to %q, which is not a normal token", rank, clip(part))
			}
		}
		p := pair{id[0], id[1]}
		if _, dup := t.merges[p]; dup {
			return fmt.Errorf("merge %d repeats %q", rank, clip(text))
		}
		t.merges[p] = merged{uint32(rank), id[2]}
	}
	return nil
}

// Encode gives the token IDs of text. With special set, control and user-defined
// tokens that the text spells out are recognised; text from a user must be
// encoded without. It adds no bos token. Text that is not UTF-8 is an error.
func (t *Tokenizer) Encode(text string, special bool) ([]uint32, error) {
	return t.EncodeSegments([]Segment{{text, special}})
}

// Prompt gives the token IDs of an untrusted plain-text prompt, after the bos
// token where the vocabulary wants one.
func (t *Tokenizer) Prompt(text string) ([]uint32, error) {
	tokens, err := t.Encode(text, false)
	if err != nil || !t.addBOS {
		return tokens, err
	}
	return append([]uint32{token(t.bos)}, tokens...), nil
}

// EncodeSegments encodes the segments as the one text they form, so that words
// and merges cross their borders, but recognises a control or user-defined
// token only where it lies within a single trusted segment.
func (t *Tokenizer) EncodeSegments(segments []Segment) ([]uint32, error) {
	total := 0
	for _, s := range segments {
		if len(s.Text) > MaxText-total {
			return nil, fmt.Errorf("text is longer than %d bytes", MaxText)
		}
		if !utf8.ValidString(s.Text) {
			return nil, errors.New("text is not valid UTF-8")
		}
		total += len(s.Text)
	}
	e := encoder{t: t, out: make([]uint32, 0, total/4+8)}
	var plain strings.Builder // text since the last control token
	for _, s := range segments {
		rest := s.Text
		for s.Trusted {
			at, length, id := t.specials.find(rest)
			if id < 0 {
				break
			}
			plain.WriteString(rest[:at])
			e.text(plain.String())
			plain.Reset()
			e.out = append(e.out, token(id))
			rest = rest[at+length:]
		}
		plain.WriteString(rest)
	}
	e.text(plain.String())
	return e.out, nil
}

// Size is the number of tokens; IDs are below it.
func (t *Tokenizer) Size() int { return len(t.text) }

// Token is the bytes that the token stands for, which may be a fragment of a
// UTF-8 character; false for an ID outside the vocabulary.
func (t *Tokenizer) Token(id uint32) (string, bool) {
	if int64(id) >= int64(len(t.text)) {
		return "", false
	}
	return t.text[id], true
}

// IsControl says whether the token steers the model and is no part of a text.
func (t *Tokenizer) IsControl(id uint32) bool {
	return int64(id) < int64(len(t.types)) && t.types[id] == Control
}

// IsEnd says whether the token ends an answer.
func (t *Tokenizer) IsEnd(id uint32) bool {
	for _, end := range t.ends {
		if id == end {
			return true
		}
	}
	return false
}

// plain says whether ordinary text may become the token.
func (t *Tokenizer) plain(id token) bool { return t.types[id] == Normal }

func special(typ int32) bool { return typ == Control || typ == UserDefined || typ == UnknownType }

// clip bounds text from a file before it enters an error.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// trie holds the special tokens by their bytes.
type trie struct {
	next  map[byte]*trie
	token int64 // that ends here, -1 = none
}

func (n *trie) add(text string, id token) {
	for i := range len(text) {
		child := n.next[text[i]]
		if child == nil {
			child = &trie{token: -1}
			if n.next == nil {
				n.next = make(map[byte]*trie)
			}
			n.next[text[i]] = child
		}
		n = child
	}
	n.token = int64(id)
}

// find gives the leftmost special token in text, the longest of those that
// start there; id is -1 if there is none.
func (n *trie) find(text string) (at, length int, id int64) {
	for at = range len(text) {
		id = -1
		node := n
		for i := at; i < len(text) && node.next != nil; i++ {
			if node = node.next[text[i]]; node == nil {
				break
			}
			if node.token >= 0 {
				length, id = i+1-at, node.token
			}
		}
		if id >= 0 {
			return at, length, id
		}
	}
	return 0, 0, -1
}
