package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/match"
	"daulat/core/receipt"
	"daulat/core/verify"
	wire "daulat/link/session"
	"daulat/platform/consumer"
)

var declared = canon.NewCID(canon.Raw, canon.Hash{1})

const chat = `{"messages":[{"content":"hello","role":"user"}]}`

// tells registers a seller of the declared model, and has the asker afford it.
func (s *setup) tells(name string, udlt uint64) *seller {
	s.t.Helper()
	s.chain.Account("consumer", 40_000)
	x := s.sellsOf(name, match.Offer{Model: declared, Executor: job.Upstream, Price: job.Price{Input: 1000 * udlt, Output: 1000 * udlt}, Slots: 9})
	x.behave(conduct{text: []string{"Hel", "lo."}, usage: &receipt.Usage{Input: 5, Output: 2}})
	return x
}

// chatWith asks the declared model for up to 4 tokens and returns what was shown.
func (s *setup) chatWith() (r consumer.Result, shown string, err error) {
	t := terms()
	t.Model, t.Executor, t.Assurance, t.Escrow, t.Step = declared, job.Upstream, job.Metered, 8000, 1000
	t.Ceiling = job.Price{Input: 2000, Output: 2000}
	p := consumer.Prompt{Chat: chat, Params: receipt.Params{MaxTokens: 4, TopP: receipt.MaxTopP}}
	r, err = s.client.Ask(s.ctx, t, p, willing, func(token receipt.Token) error {
		shown += token.Reasoning + token.Text
		return nil
	})
	return r, shown, err
}

// alarm is an auditor that is not to be called.
type alarm struct{ t *testing.T }

func (a alarm) Replay(context.Context, canon.CID, receipt.Request, receipt.Answer) (verify.Verdict, error) {
	a.t.Error("an answer that nobody can run again was audited")
	return verify.Verdict{}, errors.New("nothing to run")
}

// A declared model's answer is streamed, paid by what the provider counts, and
// never audited: there is nothing to run again.
func TestDeclaredModelIsPaidByReport(t *testing.T) {
	s := start(t)
	s.auditor = alarm{t}
	s.crash(s.disk())
	seller := s.tells("seller", 1)
	r, shown, err := s.chatWith()
	if err != nil || shown != "Hello." || r.Answer.Message != `{"content":"Hello."}` || r.Price != 7 || r.Usage != (receipt.Usage{Input: 5, Output: 2}) {
		t.Fatalf("%q, %+v, %v", shown, r, err)
	}
	seller.behave(conduct{text: []string{"Look: "}, calls: `[{"id":"1"}]`, usage: &receipt.Usage{Input: 5, Output: 4}})
	r, _, err = s.chatWith()
	if err != nil || r.Answer.Message != `{"content":"Look: ","tool_calls":[{"id":"1"}]}` || r.Price != 9 {
		t.Fatalf("%+v, %v", r, err)
	}
	seller.behave(conduct{thinks: []string{"Hm", "m. "}, text: []string{"Yes."}, usage: &receipt.Usage{Input: 5, Output: 4}})
	r, shown, err = s.chatWith()
	if err != nil || r.Answer.Message != `{"content":"Yes.","reasoning_content":"Hmm. "}` || shown != "Hmm. Yes." || r.Price != 9 {
		t.Fatalf("%q, %+v, %v", shown, r, err)
	}
	if err := s.client.CloseAll(s.ctx); err != nil {
		t.Fatal(err)
	}
	now := s.onLedger(r.Session)
	if now.Escrow.Withheld != 25 {
		t.Errorf("%+v is withheld", now.Escrow)
	}
	s.advance(now.Clock)
	if got := s.onLedger(r.Session); got.State != job.SessionReleased || s.chain.Balance("seller") != 25 {
		t.Errorf("session is %s, and the seller has %d udlt", got.State, s.chain.Balance("seller"))
	}
}

// A provider that counts more than an answer can have gets nothing for it, and is
// not asked again. Nobody else is asked either: text was shown that nobody repeats.
func TestOverReportedUsage(t *testing.T) {
	most := receipt.Request{Chat: chat, Params: receipt.Params{MaxTokens: 4}}.Worst()
	half := slices.Repeat([]string{"aaaaaaa,"}, receipt.Params{MaxTokens: 4}.MessageRoom()/16+1)
	for name, c := range map[string]conduct{
		"too much input":    {text: []string{"Hello."}, usage: &receipt.Usage{Input: most.Input + 1, Output: 1}},
		"too much output":   {text: []string{"Hello."}, usage: &receipt.Usage{Input: 1, Output: 5}},
		"nothing":           {text: []string{"Hello."}},
		"too much text":     {text: []string{strings.Repeat("a", receipt.Params{MaxTokens: 4}.MessageRoom()+1)}, usage: &receipt.Usage{}},
		"text bit by bit":   {text: strings.SplitAfter(strings.Repeat("aaaaaaa,", receipt.Params{MaxTokens: 4}.MessageRoom()/8+1), ","), usage: &receipt.Usage{}},
		"thoughts and text": {thinks: half, text: half, usage: &receipt.Usage{}},
		"calls of no form":  {text: []string{"Hello."}, calls: `[{"id": 1}]`, usage: &receipt.Usage{Output: 1}},
		"no calls":          {text: []string{"Hello."}, calls: `[]`, usage: &receipt.Usage{Output: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			bad := s.tells("bad", 1)
			first, _, err := s.chatWith()
			if err != nil {
				t.Fatal(err)
			}
			bad.behave(c)
			r, shown, err := s.chatWith()
			if err == nil || r.Price != 0 {
				t.Errorf("paid %d udlt, %v", r.Price, err)
			}
			if room := (receipt.Params{MaxTokens: 4}).MessageRoom(); len(shown) > room {
				t.Errorf("%d bytes were taken, where there is room for %d", len(shown), room)
			}
			s.quiet()
			if n := len(bad.vouchers()); n != 1 {
				t.Errorf("%d vouchers", n)
			}
			if now := s.onLedger(first.Session); now.State != job.SessionSettled || now.Escrow.Withheld != 7 {
				t.Errorf("session is %s with %+v", now.State, now.Escrow)
			}
			good := s.tells("good", 2)
			if r, _, err := s.chatWith(); err != nil || r.Provider != "good" || len(good.vouchers()) != 1 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// As long as nothing was shown another provider may answer; afterwards none may:
// it would say something else.
func TestDeclaredAnswersAreNotJoined(t *testing.T) {
	for name, c := range map[string]struct {
		conduct conduct
		shown   string
		ok      bool
	}{
		"refused": {conduct{refuse: &wire.Refusal{Code: wire.Busy, Reason: "the server is away"}}, "Hello.", true},
		"cut off": {conduct{text: []string{"Goo", "dbye"}, cut: 1, usage: &receipt.Usage{}}, "Goo", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			bad := s.tells("bad", 1)
			bad.behave(c.conduct)
			good := s.tells("good", 2)
			r, shown, err := s.chatWith()
			if (err == nil) != c.ok || shown != c.shown || c.ok != (r.Provider == "good") {
				t.Errorf("%q, %+v, %v", shown, r, err)
			}
			if asked := len(good.asked()); (asked == 1) != c.ok {
				t.Errorf("the other one was asked %d times", asked)
			}
		})
	}
}
