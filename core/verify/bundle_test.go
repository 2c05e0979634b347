package verify_test

import (
	"strings"
	"testing"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/core/verify"
)

const chain = "test-chain"

func key(t testing.TB, name string) canon.PrivateKey {
	t.Helper()
	k, err := canon.GenerateKey(strings.NewReader(strings.Repeat(name, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// scene is a settled session of three answers, and the bundle for the second.
type scene struct {
	identity, asker canon.PrivateKey
	session         job.Session
	bundle          verify.Bundle
}

func play(t testing.TB) scene {
	t.Helper()
	s := scene{identity: key(t, "i"), asker: key(t, "s")}
	manifest, model, err := artifact.Manifest{Version: canon.Version, Name: "tiny", Media: artifact.MediaModelGGUF, Licence: "MIT",
		Parts: []artifact.Part{{Role: artifact.Weights, Blob: canon.NewCID(canon.Raw, canon.Hash{1}), Size: 1}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s.session = job.Session{Version: canon.Version, ID: 7, SessionKey: s.asker.Public(), ProviderKey: s.identity.Public(),
		Terms: job.Terms{Model: model}, Price: job.Price{Input: 500, Output: 2000}, State: job.SessionSettled}
	var tally job.Tally
	var leaves []canon.Hash
	var transcripts []receipt.Transcript
	for i := range uint64(3) {
		r := receipt.Request{Version: canon.Version, Key: s.asker.Public(), Counter: i + 1, Model: model,
			Tokens: []uint32{1, 2, 3}, Params: receipt.Params{MaxTokens: 4, TopP: receipt.MaxTopP}}
		ask := receipt.Ask{Chain: chain, Session: 7, Seq: i + 1, Request: r.Hash(), Salt: canon.Hash{byte(i)}}
		tr := receipt.Transcript{Ask: ask, Signature: s.asker.Sign(receipt.DomainAsk, ask), Request: r,
			Answer: receipt.Answer{Tokens: []uint32{uint32(i), 9}, Finish: receipt.FinishStop}, Index: i}
		if tally, err = tally.Add(tr.Leaf(), s.session.Price); err != nil {
			t.Fatal(err)
		}
		leaves, transcripts = append(leaves, tr.Leaf().Hash()), append(transcripts, tr)
	}
	r, v := tally.Receipt(chain, 7), tally.Voucher(chain, 7, true)
	s.session.Claim = &receipt.Entry{Receipt: r, ReceiptSignature: s.identity.Sign(receipt.DomainReceipt, r),
		Voucher: v, VoucherSignature: s.asker.Sign(receipt.DomainVoucher, v)}
	s.bundle = verify.Bundle{Version: canon.Version, Ledger: []byte{1}, Manifest: manifest, Transcript: transcripts[1]}
	if s.bundle.Path, err = receipt.Prove(leaves, 1); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s scene) check() (verify.Checked, error) {
	return s.bundle.Check(chain, canon.MustMarshal(s.session))
}

func TestBundleOfASettledAnswer(t *testing.T) {
	s := play(t)
	c, err := s.check()
	if err != nil {
		t.Fatal(err)
	}
	if !c.Settled || c.Price != 6 || c.Model != s.session.Terms.Model || c.Manifest.Name != "tiny" {
		t.Fatalf("%+v", c)
	}
	back, err := verify.DecodeBundle(canon.MustMarshal(s.bundle))
	if err != nil || back.Transcript.Ask != s.bundle.Transcript.Ask {
		t.Fatal(err)
	}
}

func TestBundleOfAnUnpaidLie(t *testing.T) {
	s := play(t)
	s.bundle.Unsettled = &receipt.Signed{Receipt: s.session.Claim.Receipt, Signature: s.session.Claim.ReceiptSignature}
	s.session.Claim, s.session.State = nil, job.SessionOpen
	c, err := s.check()
	if err != nil || c.Settled {
		t.Fatalf("%+v, %v", c, err)
	}
	s.bundle.Unsettled.Receipt.Amount++
	if _, err := s.check(); err == nil {
		t.Fatal("a receipt that the provider did not sign passed")
	}
}

// Each lie is refused by the check that is there for it.
func TestBundleRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*scene)
		want   string
	}{
		"an unsettled session":      {func(s *scene) { s.session.State = job.SessionOpen }, "not settled yet"},
		"a session without claim":   {func(s *scene) { s.session.Claim = nil }, "not settled yet"},
		"a claim of another chain":  {func(s *scene) { s.session.Claim.Receipt.Chain = "x" }, "another chain"},
		"an ask of another chain":   {func(s *scene) { s.resign(func(a *receipt.Ask) { a.Chain = "x" }) }, "another session"},
		"an ask of another session": {func(s *scene) { s.resign(func(a *receipt.Ask) { a.Session++ }) }, "another session"},
		"another request":           {func(s *scene) { s.bundle.Transcript.Request.Seed[0]++ }, "another request"},
		"an ask that nobody signed": {func(s *scene) { s.bundle.Transcript.Ask.Salt[0]++ }, "signature"},
		"another salt":              {func(s *scene) { s.resign(func(a *receipt.Ask) { a.Salt[0]++ }) }, "not the one that was settled"},
		"another answer":            {func(s *scene) { s.bundle.Transcript.Answer.Tokens = []uint32{1, 8} }, "not the one that was settled"},
		"another end":               {func(s *scene) { s.bundle.Transcript.Answer.Finish = receipt.FinishLength }, "not the one that was settled"},
		"another place":             {func(s *scene) { s.bundle.Transcript.Index = 0 }, "not the one that was settled"},
		"another path":              {func(s *scene) { s.bundle.Path[0][0]++ }, "not the one that was settled"},
		"another manifest":          {func(s *scene) { s.bundle.Manifest = append([]byte{}, s.bundle.Manifest[1:]...) }, "manifest"},
		"another asker": {func(s *scene) {
			s.bundle.Transcript.Request.Key[0]++
			s.resign(func(a *receipt.Ask) { a.Request = s.bundle.Transcript.Request.Hash() })
		}, "another asker"},
		"another model": {func(s *scene) {
			s.bundle.Transcript.Request.Model[9]++
			s.resign(func(a *receipt.Ask) { a.Request = s.bundle.Transcript.Request.Hash() })
		}, "another model"},
		"a request without a prompt": {func(s *scene) { s.bundle.Transcript.Request.Tokens = nil }, "prompt"},
		"a receipt of another session": {func(s *scene) {
			r := s.session.Claim.Receipt
			r.Session++
			s.bundle.Unsettled = &receipt.Signed{Receipt: r, Signature: s.identity.Sign(receipt.DomainReceipt, r)}
		}, "another session"},
	} {
		s := play(t)
		c.change(&s)
		if _, err := s.check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	s := play(t)
	if _, err := s.bundle.Check(chain, []byte{0xa0}); err == nil {
		t.Error("an empty record passed")
	}
}

// resign changes the ask and has the asker sign it again.
func (s *scene) resign(change func(*receipt.Ask)) {
	change(&s.bundle.Transcript.Ask)
	s.bundle.Transcript.Signature = s.asker.Sign(receipt.DomainAsk, s.bundle.Transcript.Ask)
}

func TestCompareFindsTheFirstDifference(t *testing.T) {
	answer := func(f receipt.Finish, tokens ...uint32) receipt.Answer {
		return receipt.Answer{Tokens: tokens, Finish: f}
	}
	for _, c := range []struct {
		paid, got receipt.Answer
		want      string
	}{
		{answer("stop", 1, 2), answer("stop", 1, 2), "agree"},
		{answer("stop", 1, 2), answer("stop", 1, 3), "disagree at token 1: paid for 2, got 3"},
		{answer("stop", 1, 2), answer("stop", 1), "disagree at token 1: paid for 2, got the end"},
		{answer("stop", 1), answer("stop", 1, 2), "disagree at token 1: paid for the end, got 2"},
		{answer("stop", 1), answer("length", 1), `disagree at the end, after 1 tokens: paid for an end by "stop", got one by "length"`},
	} {
		if got := verify.Compare(c.paid, c.got).String(); got != c.want {
			t.Errorf("%v against %v: %q, want %q", c.paid, c.got, got, c.want)
		}
	}
}

func TestCompareReadsWhatIsShown(t *testing.T) {
	type pairs []receipt.Logprob
	shown := func(l ...receipt.Logprobs) receipt.Answer {
		return receipt.Answer{Tokens: []uint32{4, 5}, Finish: "stop", Logprobs: l}
	}
	one := func(nll uint32, top pairs) receipt.Logprobs { return receipt.Logprobs{NLL: nll, Top: top} }
	first, second := one(3<<15, nil), one(1, pairs{{Token: 5, NLL: 1}, {Token: 6, NLL: 1 << 31}})
	paid := shown(first, second)
	longer := paid
	longer.Logprobs = append(longer.Logprobs[:2:2], first)
	changed := shown(one(0, nil), second)
	changed.Tokens = []uint32{4, 6}
	for _, c := range []struct {
		paid, got receipt.Answer
		want      string
	}{
		{paid, shown(first, second), "agree"},
		{paid, shown(one(3<<15+1, nil), second), "disagree at token 0: paid for log-probability -1.5000000000000000, got -1.5000152587890625"},
		{paid, changed, "disagree at token 0: paid for log-probability -1.5000000000000000, got -0.0000000000000000"},
		{paid, shown(first, one(1, pairs{{Token: 5, NLL: 1}})), "disagree at token 1: paid for 2 alternatives, got 1"},
		{paid, shown(first, one(1, pairs{{Token: 5, NLL: 1}, {Token: 7, NLL: 1 << 31}})),
			"disagree at token 1: paid for alternative 6 with log-probability -32768.0000000000000000, got 7 with -32768.0000000000000000"},
		{paid, shown(), "disagree at token 0: paid for its log-probabilities, got none"},
		{paid, shown(first), "disagree at token 1: paid for its log-probabilities, got none"},
		{paid, longer, "disagree at the end, after 2 tokens: got log-probabilities that nobody asked for"},
		{shown(), paid, "disagree at token 0: got log-probabilities that nobody asked for"},
	} {
		if got := verify.Compare(c.paid, c.got).String(); got != c.want {
			t.Errorf("%+v against %+v: %q, want %q", c.paid, c.got, got, c.want)
		}
	}
}

func FuzzDecodeBundle(f *testing.F) {
	f.Add(canon.MustMarshal(play(f).bundle))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := verify.DecodeBundle(data)
		if err == nil {
			_, _ = b.Check(chain, canon.MustMarshal(play(t).session)) // must not panic
		}
	})
}

// declare makes the scene one of a declared model, which answers in text.
func (s *scene) declare(t *testing.T, change func(*receipt.Transcript)) {
	t.Helper()
	declared, model, err := artifact.Declaration{Version: canon.Version, Name: "small"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s.session.Terms.Model, s.bundle.Manifest = model, declared
	tr := &s.bundle.Transcript
	tr.Request.Model, tr.Request.Tokens, tr.Request.Chat = model, nil, `{"messages":[{"content":"x","role":"user"}]}`
	tr.Answer = receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishStop, Message: receipt.NewMessage("hello", nil), Usage: &receipt.Usage{Input: 9, Output: 3}}
	tr.Index = 0
	change(tr)
	s.resign(func(a *receipt.Ask) { a.Request = tr.Request.Hash() })
	tally, err := job.Tally{}.Add(tr.Leaf(), s.session.Price)
	if err != nil {
		t.Fatal(err)
	}
	r, v := tally.Receipt(chain, 7), tally.Voucher(chain, 7, true)
	s.session.Claim = &receipt.Entry{Receipt: r, ReceiptSignature: s.identity.Sign(receipt.DomainReceipt, r),
		Voucher: v, VoucherSignature: s.asker.Sign(receipt.DomainVoucher, v)}
	s.bundle.Path = nil
}

func TestBundleOfADeclaredModel(t *testing.T) {
	s := play(t)
	s.declare(t, func(*receipt.Transcript) {})
	c, err := s.check()
	if err != nil {
		t.Fatal(err)
	}
	if c.Declared == nil || c.Name() != "small" || c.Price != 11 || c.Manifest.Name != "" {
		t.Errorf("%+v", c)
	}
	s.bundle.Manifest = play(t).bundle.Manifest
	if _, err := s.check(); err == nil || !strings.Contains(err.Error(), "declaration") {
		t.Errorf("a manifest in place of a declaration: %v", err)
	}
	for name, change := range map[string]func(*receipt.Transcript){
		"too many tokens": func(tr *receipt.Transcript) { tr.Answer.Usage.Output = 5 },
		"tokens":          func(tr *receipt.Transcript) { tr.Answer.Tokens = []uint32{1} },
		"no usage":        func(tr *receipt.Transcript) { tr.Answer.Usage = nil },
	} {
		s := play(t)
		s.declare(t, func(tr *receipt.Transcript) { tr.Request.Params.MaxTokens = 4; change(tr) })
		if _, err := s.check(); err == nil || !strings.Contains(err.Error(), "answer: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
