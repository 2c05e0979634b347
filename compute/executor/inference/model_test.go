package inference_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"daulat/compute/executor/inference"
	"daulat/compute/executor/inference/upstreamtest"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/model/synthetic"
)

// source is a model, whatever answers for it, with a way to ask it.
type source struct {
	model inference.Model
	ask   func(receipt.Params) receipt.Request
	text  func(receipt.Answer) string
	// unfit is a request that it refuses as the asker's fault.
	unfit receipt.Request
}

func TestNativeIsAModel(t *testing.T) {
	s := native(t, "llama", synthetic.Options{})
	unfit := ask(s, "x", receipt.Params{MaxTokens: 1})
	unfit.Tokens = []uint32{uint32(s.words.Size())}
	testModel(t, source{model: load(t, s, s.path), unfit: unfit,
		ask:  func(p receipt.Params) receipt.Request { return ask(s, "hello", p) },
		text: func(a receipt.Answer) string { return s.words.Decode(a.Tokens) }})
}

func TestUpstreamIsAModel(t *testing.T) {
	u := serve(t, upstreamtest.Model{Name: "small"})
	m := u.model(t, "small")
	unfit := u.ask("small", receipt.Params{MaxTokens: 1})
	unfit.Model = canon.NewCID(canon.DagCBOR, canon.Hash{1})
	unfit.Chat, unfit.Tokens = "", []uint32{1}
	testModel(t, source{model: m, unfit: unfit,
		ask: func(p receipt.Params) receipt.Request { return u.ask("small", p) },
		text: func(a receipt.Answer) string {
			text, _, err := receipt.ReadMessage(a.Message)
			if err != nil {
				t.Error(err)
			}
			return text
		}})
}

// testModel is what every model must pass before it is offered, whoever answers.
func testModel(t *testing.T, s source) {
	tell := func(t *testing.T, r receipt.Request) (receipt.Answer, []receipt.Token) {
		t.Helper()
		var emitted []receipt.Token
		a, err := s.model.Generate(t.Context(), r, func(token receipt.Token) error {
			emitted = append(emitted, token)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return a, emitted
	}
	t.Run("an answer fits its request and is what was emitted", func(t *testing.T) {
		for _, most := range []uint64{1, 2, 7, 40} {
			r := s.ask(receipt.Params{MaxTokens: most})
			a, emitted := tell(t, r)
			if err := r.Fits(a); err != nil {
				t.Errorf("%d tokens: %v", most, err)
			}
			if uint64(len(emitted)) > most {
				t.Errorf("%d tokens: %d pieces", most, len(emitted))
			}
			var again receipt.Answer
			var text strings.Builder
			for _, piece := range emitted {
				if piece.Text == "" {
					again.Add(piece)
				}
				text.WriteString(piece.Text)
			}
			if a.Message == "" {
				text.WriteString(s.text(again))
			}
			if text.String() != s.text(a) || text.Len() == 0 {
				t.Errorf("%d tokens: emitted %q and answered %q", most, text.String(), s.text(a))
			}
		}
	})
	t.Run("max tokens end it", func(t *testing.T) {
		r := s.ask(receipt.Params{MaxTokens: 3})
		a, _ := tell(t, r)
		if bill := r.Bill(a); bill.Output != 3 || bill.Input == 0 || a.Finish != receipt.FinishLength {
			t.Errorf("%+v, finish %q", bill, a.Finish)
		}
	})
	t.Run("stop strings end it", func(t *testing.T) {
		whole, _ := tell(t, s.ask(receipt.Params{MaxTokens: 40}))
		text := s.text(whole)
		stop := text[len(text)/4:]
		stop = stop[:strings.IndexFunc(stop[1:], func(r rune) bool { return r < 0x80 })+2]
		a, _ := tell(t, s.ask(receipt.Params{MaxTokens: 40, Stop: []string{stop}}))
		if a.Finish != receipt.FinishStop || len(s.text(a)) >= len(text) || !strings.HasPrefix(text, s.text(a)[:1]) {
			t.Errorf("%q after %q of %q, finish %q", stop, s.text(a), text, a.Finish)
		}
	})
	t.Run("emit and context stop it", func(t *testing.T) {
		gone := errors.New("gone")
		if _, err := s.model.Generate(t.Context(), s.ask(receipt.Params{MaxTokens: 40}), func(receipt.Token) error { return gone }); !errors.Is(err, gone) {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := s.model.Generate(ctx, s.ask(receipt.Params{MaxTokens: 40}), func(receipt.Token) error {
			cancel()
			return nil
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if _, err := s.model.Generate(ctx, s.ask(receipt.Params{MaxTokens: 40}), anything); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
	t.Run("what does not fit is the asker's fault", func(t *testing.T) {
		if _, err := s.model.Generate(t.Context(), s.unfit, anything); !errors.Is(err, inference.ErrPrompt) {
			t.Errorf("%v", err)
		}
		invalid := s.ask(receipt.Params{MaxTokens: 0})
		if a, err := s.model.Generate(t.Context(), invalid, anything); err == nil {
			t.Errorf("an invalid request was answered with %+v", a)
		}
	})
	t.Run("requests at once do not disturb each other", func(t *testing.T) {
		r := s.ask(receipt.Params{MaxTokens: 9})
		want, _ := tell(t, r)
		var wait sync.WaitGroup
		for range 6 {
			wait.Go(func() {
				a, err := s.model.Generate(t.Context(), r, anything)
				if err != nil || a.Hash() != want.Hash() {
					t.Errorf("%+v, not %+v: %v", a, want, err)
				}
			})
		}
		wait.Wait()
	})
	t.Run("a replay of an answer that was never given does not agree", func(t *testing.T) {
		r := s.ask(receipt.Params{MaxTokens: 9})
		a, _ := tell(t, r)
		if a.Message != "" {
			a.Message = receipt.NewMessage("I never said this.", nil)
		} else {
			a.Tokens[0] ^= 1
		}
		if v, err := s.model.Replay(t.Context(), r, a); err != nil || v.Outcome == verify.Agree {
			t.Errorf("%s, %v", v, err)
		}
	})
}

// upstream is an imitated server and what reaches it.
type upstream struct {
	*inference.Upstream
	server *upstreamtest.Server
	log    *bytes.Buffer
}

const secret = "sk-very-secret"

func serve(t *testing.T, models ...upstreamtest.Model) upstream {
	t.Helper()
	u := upstream{server: upstreamtest.New(t, models...), log: &bytes.Buffer{}}
	u.server.Key = secret
	var err error
	u.Upstream, err = inference.OpenUpstream(inference.UpstreamConfig{URL: u.server.URL + "/v1/", Key: secret, Log: slog.New(slog.NewTextHandler(u.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func declared(name string) canon.CID {
	_, id, err := artifact.Declaration{Version: canon.Version, Name: name}.Encode()
	if err != nil {
		panic(err)
	}
	return id
}

func (u upstream) model(t *testing.T, name string) inference.Model {
	t.Helper()
	if _, err := u.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := u.Model(declared(name))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (u upstream) ask(name string, p receipt.Params) receipt.Request {
	p.TopP = receipt.MaxTopP
	return receipt.Request{Version: canon.Version, Key: canon.PublicKey{1}, Counter: 1, Model: declared(name), Params: p,
		Chat: `{"messages":[{"content":"hello there","role":"user"}]}`}
}
