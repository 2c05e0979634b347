package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"daulat/model/gguf"
	"daulat/model/synthetic"
)

// qwen2 compares the token IDs of a vocabulary that is split by qwen2's rule.
func (t *tools) qwen2(ctx context.Context) (int, error) {
	data, err := joining("qwen2")
	if err != nil {
		return 0, err
	}
	path := filepath.Join(t.temp, "vocabulary.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return 0, err
	}
	return t.tokenizers(ctx, path)
}

// joining is a GGUF file of a vocabulary and nothing else: that of the random
// models, and a merge of any two bytes, in random order. Wherever two splits of a
// text differ there is then a pair that one of them keeps apart.
func joining(split string) ([]byte, error) {
	data, err := synthetic.Model("qwen2", 1, synthetic.Options{})
	if err != nil {
		return nil, err
	}
	f, err := gguf.Parse(data)
	if err != nil {
		return nil, err
	}
	tokens, _ := f.Strings("tokenizer.ggml.tokens")
	merges, _ := f.Strings("tokenizer.ggml.merges")
	types, _ := f.Ints("tokenizer.ggml.token_type")
	tokens, merges = withPairs(tokens, merges)
	kinds := slices.Repeat([]int32{normal}, len(tokens))
	for i, kind := range types {
		kinds[i] = int32(kind)
	}
	metadata, err := change{}.metadata(f)
	if err != nil {
		return nil, err
	}
	instead := map[string]any{"pre": split, "tokens": tokens, "token_type": kinds, "merges": merges}
	for i, kv := range metadata {
		if value := instead[strings.TrimPrefix(kv.Key, "tokenizer.ggml.")]; value != nil {
			metadata[i].Value = value
		}
	}
	var out bytes.Buffer
	err = gguf.Write(&out, metadata, nil)
	return out.Bytes(), err
}

const normal = 1 // a token's type

// withPairs adds a token and a merge for any two tokens of one character, which
// are the bytes, unless there is one.
func withPairs(tokens, merges []string) (_, _ []string) {
	known := map[string]bool{}
	var letters []string
	for _, token := range tokens {
		known[token] = true
		if utf8.RuneCountInString(token) == 1 {
			letters = append(letters, token)
		}
	}
	for _, n := range rand.New(rand.NewPCG(2025, 9)).Perm(len(letters) * len(letters)) {
		left, right := letters[n/len(letters)], letters[n%len(letters)]
		if !known[left+right] {
			tokens, merges = append(tokens, left+right), append(merges, left+" "+right)
		}
	}
	return tokens, merges
}
