package vectors_test

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
	"daulat/core/verify"
	wire "daulat/link/session"
)

type auditCase struct {
	Gain  json.Number `json:"gain"`
	Power json.Number `json:"power"`
	Pay   json.Number `json:"pay"`
	Stake json.Number `json:"stake"`
	Rate  json.Number `json:"rate"`
}

func audits() (cases []any) {
	for _, c := range [][4]uint64{
		{0, 0, 0, 0}, {1, 0, 5, 5}, {1, 1_000_000, 0, 0}, {100, 1_000_000, 100, 0}, {100, 1_000_000, 100, 50}, {100, 1_000_000, 100, 51},
		{100, 1_000_000, 100, 1_000_000}, {100, 990_000, 100, 9_900}, {7, 333_333, 11, 13_000}, {math.MaxUint64, 1_000_000, 1, 1},
		{1, 1_000_000, math.MaxUint64, 1}, {1, 1_000_000, math.MaxUint64, 0}, {math.MaxUint64, 1, math.MaxUint64, 0},
	} {
		cases = append(cases, auditCase{decimal(c[0]), decimal(c[1]), decimal(c[2]), decimal(c[3]), decimal(verify.AuditRate(c[0], c[1], c[2], c[3]))})
	}
	return cases
}

type compareCase struct {
	Paid    item   `json:"paid"`
	Got     item   `json:"got"`
	Outcome string `json:"outcome"`
	At      *int   `json:"at,omitempty"`         // of a disagreement: number of the token
	Want    any    `json:"paid_token,omitempty"` // "end" where the answer ends
	Served  any    `json:"got_token,omitempty"`
}

func comparisons() (cases []any) {
	ordinary := receipt.Answer{Tokens: []uint32{5, 6, 7}, Finish: receipt.FinishStop}
	cases = against(ordinary,
		ordinary,
		receipt.Answer{Tokens: []uint32{5, 9, 7}, Finish: receipt.FinishStop},
		receipt.Answer{Tokens: []uint32{5, 6}, Finish: receipt.FinishStop},
		receipt.Answer{Tokens: []uint32{5, 6, 7, 8}, Finish: receipt.FinishStop},
		receipt.Answer{Tokens: []uint32{5, 6, 7}, Finish: receipt.FinishLength})
	none, nll, one, other, swapped := likely(), likely(), likely(), likely(), likely()
	none.Logprobs = nil
	nll.Logprobs[1].NLL--
	one.Logprobs[0].Top = one.Logprobs[0].Top[:1]
	other.Logprobs[1].Top[0].Token++
	top := swapped.Logprobs[0].Top
	top[0], top[1] = top[1], top[0]
	return append(cases, against(likely(), likely(), none, nll, one, other, swapped)...)
}

func against(paid receipt.Answer, all ...receipt.Answer) (cases []any) {
	for _, got := range all {
		v := verify.Compare(paid, got)
		c := compareCase{Paid: plain("answer", paid), Got: plain("answer", got), Outcome: string(v.Outcome)}
		if v.Outcome == verify.Disagree {
			c.At, c.Want, c.Served = &v.At, orEnd(v.Paid), orEnd(v.Got)
		}
		cases = append(cases, c)
	}
	return cases
}

func orEnd(token uint32) any {
	if token == verify.End {
		return "end"
	}
	return token
}

type bundleCase struct {
	Name    string `json:"name"`
	Chain   string `json:"chain"`
	Record  string `json:"record"` // cbor of the session
	Bundle  string `json:"bundle"` // cbor
	Sound   bool   `json:"sound"`
	Settled bool   `json:"settled"`
	Model   string `json:"model,omitempty"`
	Price   uint64 `json:"price,omitempty"`
}

// forgery changes one thing in a sound bundle and its record.
type forgery struct {
	name   string
	sound  bool
	change func(chain *string, s *job.Session, b *verify.Bundle)
}

func forgeries(p past) []forgery {
	// unsettled rests a bundle on a receipt that the ledger does not hold.
	unsettled := func(r receipt.Receipt, by canon.PrivateKey) func(*string, *job.Session, *verify.Bundle) {
		return func(_ *string, s *job.Session, b *verify.Bundle) {
			s.Claim, s.State = nil, job.SessionOpen
			b.Unsettled = &receipt.Signed{Receipt: r, Signature: by.Sign(receipt.DomainReceipt, r)}
		}
	}
	last := p.entries[len(p.entries)-1].Receipt
	stranger := last
	stranger.Session++
	return []forgery{
		{"unsettled", true, unsettled(last, providerKey)},
		{"unsettled, signed by another", false, unsettled(last, sessionKey)},
		{"unsettled, of another session", false, unsettled(stranger, providerKey)},
		{"unsettled, of another history", false, unsettled(p.entries[0].Receipt, providerKey)},
		{"settled", true, func(*string, *job.Session, *verify.Bundle) {}},
		{"another chain", false, func(c *string, _ *job.Session, _ *verify.Bundle) { *c = "daulat-2" }},
		{"session not settled", false, func(_ *string, s *job.Session, _ *verify.Bundle) { s.State = job.SessionClosing }},
		{"session without a receipt", false, func(_ *string, s *job.Session, _ *verify.Bundle) { s.Claim = nil }},
		{"receipt by another key", false, func(_ *string, s *job.Session, _ *verify.Bundle) { s.ProviderKey = key(9).Public() }},
		{"another answer", false, func(_ *string, _ *job.Session, b *verify.Bundle) {
			b.Transcript.Answer = receipt.Answer{Tokens: []uint32{1}, Finish: receipt.FinishStop}
		}},
		{"another request", false, func(_ *string, _ *job.Session, b *verify.Bundle) { b.Transcript.Request.Counter++ }},
		{"another salt", false, func(_ *string, _ *job.Session, b *verify.Bundle) { b.Transcript.Ask.Salt[0] ^= 1 }},
		{"ask not signed", false, func(_ *string, _ *job.Session, b *verify.Bundle) { b.Transcript.Signature[0] ^= 1 }},
		{"another index", false, func(_ *string, _ *job.Session, b *verify.Bundle) { b.Transcript.Index++ }},
		{"another transcript", false, func(_ *string, _ *job.Session, b *verify.Bundle) { b.Transcript = p.transcripts[2] }},
		{"path cut short", false, func(_ *string, _ *job.Session, b *verify.Bundle) { b.Path = b.Path[1:] }},
		{"manifest of another model", false, func(_ *string, _ *job.Session, b *verify.Bundle) {
			m := defaultModel()
			m.Parts[0].Size++
			b.Manifest = canon.MustMarshal(m)
		}},
		{"request for another model", false, func(_ *string, s *job.Session, _ *verify.Bundle) {
			s.Terms.Model = canon.NewCID(canon.DagCBOR, canon.Hash{1})
		}},
	}
}

func bundles(t *testing.T) (cases []any) {
	p := history(t)
	const at = 1
	path, err := receipt.Prove(p.leaves, at)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range forgeries(p) {
		_, session := opened(t)
		settled, _, err := session.Settle(provider, chain, p.entries[len(p.entries)-1], true, 1_200)
		if err != nil {
			t.Fatal(err)
		}
		b := verify.Bundle{Version: 1, Ledger: []byte{}, Manifest: canon.MustMarshal(defaultModel()), Transcript: p.transcripts[at], Path: path,
			Sources: [][]string{{"/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X"}}}
		c := bundleCase{Name: f.name, Chain: chain}
		f.change(&c.Chain, &settled, &b)
		record := canon.MustMarshal(settled)
		c.Record, c.Bundle = hex.EncodeToString(record), hex.EncodeToString(canon.MustMarshal(b))
		read, err := verify.DecodeBundle(canon.MustMarshal(b))
		if err != nil {
			t.Fatal(err)
		}
		checked, err := read.Check(c.Chain, record)
		if (err == nil) != f.sound {
			t.Errorf("bundle with %s: %v", f.name, err)
		}
		if err == nil {
			c.Sound, c.Settled, c.Model, c.Price = true, checked.Settled, checked.Model.String(), checked.Price
		}
		cases = append(cases, c)
	}
	return cases
}

func TestVerify(t *testing.T) {
	d := &document{note: "see spec/verify.md; bundles lack the light-client proof, in whose place record stands"}
	d.add("audit", audits()...)
	d.add("compare", comparisons()...)
	d.add("bundle", bundles(t)...)
	golden(t, "verify.json", d)
}

type frameCase struct {
	item
	Frame string `json:"frame"`
}

func TestSession(t *testing.T) {
	p := history(t)
	script, entry := p.transcripts[1], p.entries[1]
	payment := func(e receipt.Entry) wire.Payment {
		return wire.Payment{Voucher: e.Voucher, Signature: e.VoucherSignature}
	}
	last, paid, final := payment(p.entries[0]), payment(entry), payment(p.entries[len(p.entries)-1])
	var frames []any
	for _, f := range []struct {
		kind string
		v    any
	}{
		{"opening", wire.Opening{Ask: &wire.Ask{Ask: script.Ask, Signature: script.Signature, Request: script.Request, Last: &last}}},
		{"reply", wire.Reply{Tokens: script.Answer.Tokens[:1]}},
		{"reply", wire.Reply{Tokens: script.Answer.Tokens[1:]}},
		{"reply", wire.Reply{Done: &wire.Done{Finish: script.Answer.Finish, Receipt: entry.Receipt, Signature: entry.ReceiptSignature}}},
		{"word", wire.Word{Stop: true}},
		{"word", wire.Word{Payment: &paid}},
		{"reply", wire.Reply{Paid: true}},
		{"opening", wire.Opening{Finish: &final}},
		{"reply", wire.Reply{Tokens: likely().Tokens, Logprobs: likely().Logprobs}},
		{"reply", wire.Reply{Text: "Halo."}},
		{"reply", wire.Reply{Calls: `[{"function":{"arguments":"{}","name":"f"},"id":"call_1","type":"function"}]`}},
		{"reply", wire.Reply{Done: &wire.Done{Finish: receipt.FinishTools, Receipt: entry.Receipt, Signature: entry.ReceiptSignature, Usage: &receipt.Usage{Input: 11, Output: 3}}}},
		{"reply", wire.Reply{Refused: &wire.Refusal{Code: wire.Busy, Reason: "all slots are in use"}}},
	} {
		i := plain(f.kind, f.v)
		frames = append(frames, frameCase{i, hex.EncodeToString(framed(i.CBOR))})
	}
	d := &document{note: "see spec/session.md and spec/link.md; frame is what goes over the stream"}
	d.add("frame", frames...)
	golden(t, "session.json", d)
}

// framed puts the length, 4 bytes big-endian, before a body.
func framed(body string) []byte {
	data, err := hex.DecodeString(body)
	if err != nil {
		panic(err)
	}
	n := len(data)
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, data...)
}
