// Openaigo talks to a running node through the Go module openai-go, as a Go
// program would. The same checks, environment and output as openai_client.py.
// It is a module of its own, so that Daulat does not depend on the client.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/packages/respjson"
	"github.com/openai/openai-go/v3/packages/ssestream"
)

const (
	system    = "Be brief."
	question  = "Is this noise?"
	prompt    = "Once upon a time"
	maxTokens = 40
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	p := &peer{ctx: ctx, Client: connect(os.Getenv("DAULAT_TOKEN")), model: "noise"}
	run := p.all
	if len(os.Args) == 2 && os.Args[1] == "busy" {
		run = p.busy
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func connect(token string) openai.Client {
	return openai.NewClient(option.WithBaseURL(os.Getenv("DAULAT_API")), option.WithAPIKey(token),
		option.WithMaxRetries(0), option.WithRequestTimeout(time.Minute))
}

type peer struct {
	openai.Client
	ctx             context.Context
	model, manifest string
	seed            int64 // of an answer that is as long as it may be
}

func (p *peer) all() error {
	var err error
	if p.seed, err = strconv.ParseInt(os.Getenv("DAULAT_SEED"), 10, 64); err != nil {
		return err
	}
	page, err := p.Models.List(p.ctx)
	if err != nil {
		return err
	}
	if len(page.Data) != 1 {
		return fmt.Errorf("listed %d models, want 1", len(page.Data))
	}
	p.model = page.Data[0].ID
	p.manifest = daulat(page.Data[0].JSON.ExtraFields).ModelID
	one, err := p.Models.Get(p.ctx, p.model)
	if err != nil {
		return err
	}
	if got := daulat(one.JSON.ExtraFields).ModelID; got != p.manifest || got == "" {
		return fmt.Errorf("the model is %q alone and %q in the list", got, p.manifest)
	}
	answer, err := p.chats()
	if err != nil {
		return err
	}
	if err := p.ends(); err != nil {
		return err
	}
	completion, err := p.completions()
	if err != nil {
		return err
	}
	if err := errors.Join(p.logprobs(), p.errors()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]string{"chat": answer.text, "completion": completion.text})
}

// extra is the object "daulat" of a reply or a model.
type extra struct {
	Receipt  string `json:"receipt"`
	Price    uint64 `json:"price_udlt,string"`
	ModelID  string `json:"model_id"`
	Label    string `json:"label"`
	Provider string `json:"provider"`
}

func daulat(fields map[string]respjson.Field) (e extra) {
	_ = json.Unmarshal([]byte(fields["daulat"].Raw()), &e) // what is missing stays empty, and is noticed
	return e
}

// receipt checks that it is the same wherever a reply names it, and has a price.
func (p *peer) receipt(fields map[string]respjson.Field, id string, response *http.Response) error {
	e, header := daulat(fields), response.Header.Get("Daulat-Receipt")
	if header == "" || e.Receipt != header || !strings.HasSuffix(id, "-"+header) {
		return fmt.Errorf("reply %s has receipt %q and in its header %q", id, e.Receipt, header)
	}
	if e.Price == 0 || e.ModelID != p.manifest || e.Label == "" || e.Provider == "" {
		return fmt.Errorf("the receipt lacks a part: %+v", e)
	}
	return nil
}

// outcome is what must be equal however an answer is asked for.
type outcome struct {
	text, finish       string
	prompt, completion int64
}

func same(got, want outcome, what string) error {
	if got != want {
		return fmt.Errorf("%s: got %+v, want %+v", what, got, want)
	}
	return nil
}

func (p *peer) ask() openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: p.model, Seed: openai.Int(p.seed), Temperature: openai.Float(1), MaxTokens: openai.Int(maxTokens),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage(system), openai.UserMessage(question)}}
}

// chat asks for a whole answer.
func (p *peer) chat(ask openai.ChatCompletionNewParams) (outcome, error) {
	var response *http.Response
	r, err := p.Chat.Completions.New(p.ctx, ask, option.WithResponseInto(&response))
	if err != nil {
		return outcome{}, err
	}
	if len(r.Choices) != 1 || r.Object != "chat.completion" || r.Model != p.model || r.Choices[0].Message.Role != "assistant" {
		return outcome{}, fmt.Errorf("not a chat completion: %s", r.RawJSON())
	}
	c := r.Choices[0]
	return outcome{c.Message.Content, c.FinishReason, r.Usage.PromptTokens, r.Usage.CompletionTokens},
		errors.Join(p.receipt(r.JSON.ExtraFields, r.ID, response), sum(r.Usage))
}

func sum(u openai.CompletionUsage) error {
	if u.TotalTokens != u.PromptTokens+u.CompletionTokens || u.PromptTokens == 0 {
		return fmt.Errorf("the usage does not add up: %s", u.RawJSON())
	}
	return nil
}

func (p *peer) chats() (outcome, error) {
	answer, err := p.chat(p.ask())
	if err != nil {
		return answer, err
	}
	if answer.finish != "length" || answer.completion != maxTokens {
		return answer, fmt.Errorf("an answer cut at its limit is %+v", answer)
	}
	again, err := p.chat(p.ask())
	if err = errors.Join(err, same(again, answer, "answer to the same seed")); err != nil {
		return answer, err
	}
	parts := p.ask()
	parts.Messages[1] = openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{openai.TextContentPart(question)})
	inParts, err := p.chat(parts)
	if err = errors.Join(err, same(inParts, answer, "content in parts")); err != nil {
		return answer, err
	}
	return answer, errors.Join(p.seeds(answer), p.streamed(answer), p.uncounted(), p.leave())
}

// seeds wants another answer than this one to another seed.
func (p *peer) seeds(answer outcome) error {
	ask := p.ask()
	ask.Seed = openai.Int(p.seed + 1)
	other, err := p.chat(ask)
	if err == nil && other.text == answer.text {
		err = errors.New("two seeds gave one answer")
	}
	return err
}

// streamed asks with usage and wants the same answer.
func (p *peer) streamed(want outcome) error {
	ask := p.ask()
	ask.StreamOptions.IncludeUsage = openai.Bool(true)
	var response *http.Response
	chunks, err := all(p.Chat.Completions.NewStreaming(p.ctx, ask, option.WithResponseInto(&response)))
	if err != nil {
		return err
	}
	last := chunks[len(chunks)-1]
	got := outcome{prompt: last.Usage.PromptTokens, completion: last.Usage.CompletionTokens}
	for i, c := range chunks[:len(chunks)-1] {
		if len(c.Choices) != 1 || got.finish != "" || c.Usage.TotalTokens != 0 {
			return fmt.Errorf("chunk %d of %d is %s", i, len(chunks), c.RawJSON())
		}
		got.text += c.Choices[0].Delta.Content
		got.finish = c.Choices[0].FinishReason
	}
	if len(last.Choices) != 0 {
		return fmt.Errorf("the last chunk is %s", last.RawJSON())
	}
	return errors.Join(same(got, want, "streamed chat"), p.receipt(last.JSON.ExtraFields, last.ID, response))
}

// uncounted streams without usage: the receipt is in the last choice's chunk.
func (p *peer) uncounted() error {
	chunks, err := all(p.Chat.Completions.NewStreaming(p.ctx, p.ask()))
	if err != nil {
		return err
	}
	last := chunks[len(chunks)-1]
	if len(last.Choices) != 1 || last.Choices[0].FinishReason != "length" || last.JSON.Usage.Valid() || daulat(last.JSON.ExtraFields).Receipt == "" {
		return fmt.Errorf("the last chunk without usage is %s", last.RawJSON())
	}
	return nil
}

// leave hangs up in the middle of an answer.
func (p *peer) leave() error {
	ask := p.ask()
	ask.MaxTokens = param.Opt[int64]{}
	stream := p.Chat.Completions.NewStreaming(p.ctx, ask)
	if !stream.Next() {
		return fmt.Errorf("an answer did not begin: %w", stream.Err())
	}
	return stream.Close()
}

func all[T any](stream *ssestream.Stream[T]) (chunks []T, err error) {
	defer stream.Close()
	for stream.Next() {
		chunks = append(chunks, stream.Current())
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	if len(chunks) < 3 {
		return nil, fmt.Errorf("the stream has %d chunks", len(chunks))
	}
	return chunks, nil
}

// ends wants answers that end at a stop string, and by themselves.
func (p *peer) ends() error {
	greedy := p.ask() // where the stop strings have no part in the draws
	greedy.Temperature = openai.Float(0)
	whole, err := p.chat(greedy)
	if err != nil {
		return err
	}
	words := regexp.MustCompile("[a-z]{3,}").FindAllString(whole.text, -1)
	if len(words) == 0 {
		return fmt.Errorf("no word to stop at in %q", whole.text)
	}
	stop := words[len(words)-1]
	greedy.Stop.OfStringArray = []string{stop, "\u2603"}
	cut, err := p.chat(greedy)
	if err != nil {
		return err
	}
	if before, _, _ := strings.Cut(whole.text, stop); cut.text != before || cut.finish != "stop" {
		return fmt.Errorf("stopped at %q: got %+v, want %q", stop, cut, before)
	}
	ask := p.ask()
	ask.MaxTokens = openai.Int(256)
	for seed := range int64(40) {
		ask.Seed = openai.Int(seed)
		o, err := p.chat(ask)
		if err != nil {
			return err
		}
		if o.finish != "stop" {
			continue
		}
		if o.completion >= 256 {
			return fmt.Errorf("an answer that stopped has %d tokens", o.completion)
		}
		return nil
	}
	return errors.New("no answer of 40 ended by itself")
}

func (p *peer) completions() (outcome, error) {
	ask := openai.CompletionNewParams{Model: openai.CompletionNewParamsModel(p.model), Seed: openai.Int(p.seed), Temperature: openai.Float(1),
		MaxTokens: openai.Int(maxTokens), Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String(prompt)}}
	var response *http.Response
	r, err := p.Completions.New(p.ctx, ask, option.WithResponseInto(&response))
	if err != nil {
		return outcome{}, err
	}
	if len(r.Choices) != 1 || r.Object != "text_completion" {
		return outcome{}, fmt.Errorf("not a completion: %s", r.RawJSON())
	}
	whole := outcome{r.Choices[0].Text, string(r.Choices[0].FinishReason), r.Usage.PromptTokens, r.Usage.CompletionTokens}
	if err := errors.Join(p.receipt(r.JSON.ExtraFields, r.ID, response), sum(r.Usage)); err != nil {
		return whole, err
	}
	ask.StreamOptions.IncludeUsage = openai.Bool(true)
	chunks, err := all(p.Completions.NewStreaming(p.ctx, ask, option.WithResponseInto(&response)))
	if err != nil {
		return whole, err
	}
	last := chunks[len(chunks)-1]
	got := outcome{prompt: last.Usage.PromptTokens, completion: last.Usage.CompletionTokens}
	for _, c := range chunks[:len(chunks)-1] {
		got.text += c.Choices[0].Text
		got.finish = string(c.Choices[0].FinishReason)
	}
	return whole, errors.Join(same(got, whole, "streamed completion"), p.receipt(last.JSON.ExtraFields, last.ID, response))
}

// logprobs wants the same of each token, whole and streamed.
func (p *peer) logprobs() error {
	ask := p.ask()
	ask.Logprobs, ask.TopLogprobs = openai.Bool(true), openai.Int(3)
	r, err := p.Chat.Completions.New(p.ctx, ask)
	if err != nil {
		return err
	}
	shown := r.Choices[0].Logprobs.Content
	if int64(len(shown)) != r.Usage.CompletionTokens {
		return fmt.Errorf("%d tokens of %d have log-probabilities", len(shown), r.Usage.CompletionTokens)
	}
	for _, t := range shown {
		if len(t.TopLogprobs) != 3 || t.Logprob > t.TopLogprobs[0].Logprob || t.TopLogprobs[0].Logprob > 0 || len(t.Bytes) == 0 {
			return fmt.Errorf("a token is shown as %s", t.RawJSON())
		}
	}
	chunks, err := all(p.Chat.Completions.NewStreaming(p.ctx, ask))
	if err != nil {
		return err
	}
	for _, c := range chunks {
		for _, t := range c.Choices[0].Logprobs.Content {
			if len(shown) == 0 || t.RawJSON() != shown[0].RawJSON() {
				return fmt.Errorf("%s was streamed, with %d tokens to come", t.RawJSON(), len(shown))
			}
			shown = shown[1:]
		}
	}
	if len(shown) != 0 {
		return fmt.Errorf("%d tokens were not streamed", len(shown))
	}
	return nil
}

// refused wants err to be the client's own error with these codes.
func refused(err error, status int, code, field string) error {
	var e *openai.Error
	if !errors.As(err, &e) || e.StatusCode != status || e.Code != code || e.Param != field {
		return fmt.Errorf("got %w, want status %d, code %q and parameter %q", err, status, code, field)
	}
	return nil
}

func (p *peer) errors() error {
	stranger := connect("dlt-" + strings.Repeat("0", 64))
	_, unknown := stranger.Models.List(p.ctx)
	_, noModel := p.Models.Get(p.ctx, "none")
	_, noURL := p.Embeddings.New(p.ctx, openai.EmbeddingNewParams{Model: p.model, Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("x")}})
	bad := func(change func(*openai.ChatCompletionNewParams)) error {
		ask := p.ask()
		change(&ask)
		_, err := p.chat(ask)
		return err
	}
	return errors.Join(
		refused(unknown, 401, "invalid_api_key", ""),
		refused(noModel, 404, "model_not_found", "model"),
		refused(noURL, 404, "unknown_url", ""),
		refused(bad(func(a *openai.ChatCompletionNewParams) { a.Model = "none" }), 404, "model_not_found", "model"),
		refused(bad(func(a *openai.ChatCompletionNewParams) { a.Temperature = openai.Float(3) }), 400, "", "temperature"),
		refused(bad(func(a *openai.ChatCompletionNewParams) { a.N = openai.Int(2) }), 400, "", "n"),
		refused(bad(func(a *openai.ChatCompletionNewParams) { a.TopLogprobs = openai.Int(2) }), 400, "", "top_logprobs"),
		refused(bad(func(a *openai.ChatCompletionNewParams) {
			a.Messages[1] = openai.UserMessage(strings.Repeat("word ", 100_000))
		}), 400, "context_length_exceeded", "messages"))
}

func (p *peer) busy() error {
	_, err := p.chat(p.ask())
	if err := refused(err, 429, "rate_limit_exceeded", ""); err != nil {
		return err
	}
	var e *openai.Error
	errors.As(err, &e)
	if seconds, err := strconv.Atoi(e.Response.Header.Get("Retry-After")); err != nil || seconds < 1 {
		return errors.New("no time to wait in Retry-After")
	}
	return nil
}
