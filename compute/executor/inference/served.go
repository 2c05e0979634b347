package inference

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	"daulat/core/receipt"
	"daulat/model/chat"
	"daulat/model/replay"
	"daulat/model/tokenizer"
)

// Bounds of what a server that replays may take and say.
const (
	maxProps = 4 << 20 // bytes, with the model's template
	maxReply = 1 << 20 // bytes, of one token's row and of all else
	// minRow is how many tokens a row names at least: as many as servers draw from, unless they are told otherwise.
	minRow      = 64
	rowTimeout  = time.Minute
	readTimeout = 30 * time.Minute // of one whole answer
)

// servedTeacher is a llama.cpp server. No other kind has what a replay needs: the likeliest tokens with their IDs after tokens that the asker
// chooses, by a template that it can be asked for.
//
// Nothing but the given address is reached; each reply is bounded in size and time, and is refused unless it is a row.
type servedTeacher struct {
	*Upstream
	context int
}

// OpenServed takes a llama.cpp server, which must not be the provider's. key is the
// bearer token that it wants, or empty.
func OpenServed(ctx context.Context, url, key string) (Teacher, error) {
	u, err := OpenUpstream(UpstreamConfig{URL: url, Key: key})
	if err != nil {
		return nil, err
	}
	s := servedTeacher{Upstream: u, context: math.MaxInt}
	var props struct {
		Settings struct {
			Context int `json:"n_ctx"`
		} `json:"default_generation_settings"`
	}
	if err := s.ask(ctx, http.MethodGet, "/props", nil, maxProps, &props); err != nil {
		return nil, fmt.Errorf("%w: only llama.cpp's server can replay", err)
	}
	if props.Settings.Context > 0 {
		s.context = props.Settings.Context
	}
	return s, nil
}

// Context implements Teacher.
func (s servedTeacher) Context() int { return s.context }

// Prompt implements Teacher.
func (s servedTeacher) Prompt(ctx context.Context, messages []chat.Message) ([]uint32, error) {
	list := make([]any, len(messages))
	for i, m := range messages {
		list[i] = map[string]any{"role": m.Role, "content": m.Content}
	}
	var reply struct {
		Prompt string `json:"prompt"`
	}
	if err := s.ask(ctx, http.MethodPost, "/apply-template", map[string]any{"messages": list}, maxProps, &reply); err != nil {
		return nil, err
	}
	return s.tokens(ctx, reply.Prompt, true)
}

// Tokens implements Teacher.
func (s servedTeacher) Tokens(ctx context.Context, text string) ([]uint32, error) {
	return s.tokens(ctx, text, false)
}

// tokens of a text; special for that of a template, whose control tokens count.
func (s servedTeacher) tokens(ctx context.Context, text string, special bool) ([]uint32, error) {
	var reply struct {
		Tokens []uint32 `json:"tokens"`
	}
	body := map[string]any{"content": text, "add_special": special, "parse_special": special}
	err := s.ask(ctx, http.MethodPost, "/tokenize", body, maxProps, &reply)
	if err == nil && len(reply.Tokens) > min(receipt.MaxPrompt, len(text)+1) {
		err = fmt.Errorf("%s finds %d tokens in %d bytes", s.base, len(reply.Tokens), len(text))
	}
	return reply.Tokens, err
}

// Rows implements Teacher: one call for each token, of which the server has computed all but the last already.
func (s servedTeacher) Rows(ctx context.Context, prompt, tokens []uint32, tell func(int)) ([]replay.Row, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readTimeout, errors.New(s.base+" takes too long"))
	defer cancel()
	feed := append(append(make([]uint32, 0, len(prompt)+len(tokens)), prompt...), tokens...)
	var rows []replay.Row
	for i := range tokens {
		r, err := s.row(ctx, feed[:len(prompt)+i])
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
		tell(len(rows))
	}
	return rows, nil
}

// row asks for what follows.
func (s servedTeacher) row(ctx context.Context, feed []uint32) (replay.Row, error) {
	var reply completion
	err := s.ask(ctx, http.MethodPost, "/completion", map[string]any{
		"prompt": feed, "n_predict": 1, "n_probs": replay.MaxRow, "post_sampling_probs": false, "cache_prompt": true,
		"samplers": []string{"top_k"}, "top_k": 1, "response_fields": []string{"completion_probabilities"}}, maxReply, &reply)
	if err != nil {
		return replay.Row{}, err
	}
	r, err := reply.row()
	if err != nil {
		return replay.Row{}, fmt.Errorf("%s: %w", s.base, err)
	}
	return r, nil
}

// completion is what llama.cpp says of one token.
type completion struct {
	Tokens []struct {
		Top []struct {
			ID      *uint32  `json:"id"`
			Logprob *float64 `json:"logprob"`
			Bytes   []int    `json:"bytes"`
		} `json:"top_logprobs"`
	} `json:"completion_probabilities"`
}

func (c completion) row() (replay.Row, error) {
	if len(c.Tokens) != 1 || len(c.Tokens[0].Top) < minRow {
		return replay.Row{}, fmt.Errorf("it does not tell the %d likeliest tokens", replay.MaxRow)
	}
	r := replay.Row{Vocabulary: tokenizer.MaxTokens} // it does not say
	var hidden []bool
	for _, t := range c.Tokens[0].Top {
		if t.ID == nil || t.Logprob == nil {
			return replay.Row{}, errors.New("it names a token without ID or likelihood")
		}
		r.IDs, r.Logprobs = append(r.IDs, *t.ID), append(r.Logprobs, *t.Logprob)
		hidden = append(hidden, len(t.Bytes) == 0) // the end, or another token that a text never shows
	}
	if err := r.Check(); err != nil {
		return replay.Row{}, err
	}
	r = without(r, hidden)
	return r, r.Check()
}

// without is a row where some tokens cannot come.
func without(r replay.Row, hidden []bool) replay.Row {
	gone, left := 0.0, 0.0
	out := replay.Row{Vocabulary: r.Vocabulary}
	for i, l := range r.Logprobs {
		if hidden[i] {
			gone += math.Exp(l)
			continue
		}
		left += math.Exp(l)
		out.IDs, out.Logprobs = append(out.IDs, r.IDs[i]), append(out.Logprobs, l)
	}
	const exact = 1e-4 // below, what the server rounds is as large as what is left
	if rest := 1 - gone; rest > exact {
		left = max(left, rest)
	}
	for i := range out.Logprobs {
		out.Logprobs[i] = min(0, out.Logprobs[i]-math.Log(left))
	}
	return out
}

// ask sends a request and reads the reply, of at most so many bytes. The server is the verifier's choice, so it is told what went wrong there.
func (s servedTeacher) ask(ctx context.Context, method, path string, body any, most int64, v any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, rowTimeout, errors.New("no answer for "+rowTimeout.String()))
	defer cancel()
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return because(ctx, err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s%s: %w", s.base, path, because(ctx, err))
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s%s: status %d: %.200q", s.base, path, resp.StatusCode, said)
	case int64(len(said)) > most:
		return fmt.Errorf("%s%s: the reply is longer than %d bytes", s.base, path, most)
	}
	if err := json.Unmarshal(said, v); err != nil {
		return fmt.Errorf("%s%s: the reply can't be read: %w", s.base, path, err)
	}
	return nil
}
