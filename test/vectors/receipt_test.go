package vectors_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/core/receipt"
)

func decimal(n uint64) json.Number { return json.Number(strconv.FormatUint(n, 10)) }

// past is a session of a few requests, as both sides remember it.
type past struct {
	served      []any
	transcripts []receipt.Transcript
	leaves      []canon.Hash
	entries     []receipt.Entry
	finish      []any
}

type servedCase struct {
	Request    item          `json:"request"`
	Ask        item          `json:"ask"`
	Answer     item          `json:"answer"`
	Commits    [2]canon.Hash `json:"commitments"` // to request and answer
	Leaf       item          `json:"leaf"`
	Transcript item          `json:"transcript"`
	Peaks      []canon.Hash  `json:"peaks"` // of the range after it
	Receipt    item          `json:"receipt"`
	Voucher    item          `json:"voucher"`
}

// asked are prompts, parameters and answers; numbers 4 and 6 of the asks never
// got an answer, so the leaves' numbers have gaps.
var asked = []struct {
	seq    uint64
	prompt []uint32
	params receipt.Params
	answer receipt.Answer
}{
	{1, []uint32{1, 4093, 198}, receipt.Params{MaxTokens: 16, TopP: receipt.MaxTopP}, receipt.Answer{Tokens: []uint32{504, 3575, 30}, Finish: receipt.FinishStop}},
	{2, []uint32{0}, receipt.Params{MaxTokens: 2, Temperature: 52_429, TopP: 900_000, Stop: []string{"\n", "Selesai."}}, receipt.Answer{Tokens: []uint32{23, 24}, Finish: receipt.FinishLength}},
	{3, []uint32{70_000, 255, 256, 65_535, 65_536}, receipt.Params{MaxTokens: 1, TopP: 1}, receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishStop}},
	{5, []uint32{9}, receipt.Params{MaxTokens: 65_536, Temperature: receipt.MaxTemperature, TopP: receipt.MaxTopP}, receipt.Answer{Tokens: []uint32{1}, Finish: receipt.FinishStop}},
	{7, []uint32{10}, receipt.Params{MaxTokens: 3, TopP: receipt.MaxTopP}, receipt.Answer{Tokens: []uint32{1, 2, 3}, Finish: receipt.FinishLength}},
}

func history(t *testing.T) past {
	t.Helper()
	_, session := opened(t)
	var p past
	var tally job.Tally
	for i, a := range asked {
		r := receipt.Request{Version: 1, Key: sessionKey.Public(), Counter: 40 + a.seq, Model: model(), Tokens: a.prompt,
			Params: a.params, Seed: canon.Sum([]byte(fmt.Sprint("seed ", a.seq)))}
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		ask := receipt.Ask{Chain: chain, Session: session.ID, Seq: a.seq, Request: r.Hash(), Salt: canon.Sum([]byte(fmt.Sprint("salt ", a.seq)))}
		script := receipt.Transcript{Ask: ask, Signature: sessionKey.Sign(receipt.DomainAsk, ask), Request: r, Answer: a.answer, Index: uint64(i)}
		leaf := script.Leaf()
		var err error
		if tally, err = tally.Add(leaf, session.Price); err != nil {
			t.Fatal(err)
		}
		rec, v := tally.Receipt(chain, session.ID), tally.Voucher(chain, session.ID, false)
		p.transcripts, p.leaves = append(p.transcripts, script), append(p.leaves, leaf.Hash())
		p.entries = append(p.entries, pair(rec, v))
		p.served = append(p.served, servedCase{
			Request: sealed("request", receipt.DomainRequest, r), Ask: signed("ask", receipt.DomainAsk, ask, sessionKey),
			Answer: sealed("answer", receipt.DomainAnswer, a.answer), Commits: [2]canon.Hash{leaf.Request, leaf.Answer},
			Leaf: sealed("leaf", receipt.DomainLeaf, leaf), Transcript: plain("transcript", script), Peaks: tally.Range.Peaks,
			Receipt: signed("receipt", receipt.DomainReceipt, rec, providerKey), Voucher: signed("voucher", receipt.DomainVoucher, v, sessionKey)})
	}
	last, final := tally.Receipt(chain, session.ID), tally.Voucher(chain, session.ID, true)
	p.entries = append(p.entries, pair(last, final))
	p.finish = []any{signed("voucher", receipt.DomainVoucher, final, sessionKey), plain("entry", pair(last, final))}
	return p
}

type shownCase struct {
	Request item `json:"request"`
	Answer  item `json:"answer"`
}

// likely is an answer with log-probabilities of its tokens and two alternatives.
func likely() receipt.Answer {
	return receipt.Answer{Tokens: []uint32{504, 3575}, Finish: receipt.FinishLength, Logprobs: []receipt.Logprobs{
		{NLL: 23, Top: []receipt.Logprob{{Token: 504, NLL: 23}, {Token: 0, NLL: 65_536}}},
		{NLL: 4_294_967_295, Top: []receipt.Logprob{{Token: 70_000, NLL: 0}, {Token: 3575, NLL: 4_294_967_295}}}}}
}

// shown are requests for log-probabilities, with and without alternatives.
func shown() (cases []any) {
	alone := likely()
	alone.Logprobs = []receipt.Logprobs{{NLL: 23}, {NLL: 4_294_967_295}}
	for i, a := range []receipt.Answer{alone, likely()} {
		n := uint64(1 + 2*i)
		r := receipt.Request{Version: 1, Key: sessionKey.Public(), Counter: 60 + n, Model: model(), Tokens: []uint32{1, 4093},
			Params: receipt.Params{MaxTokens: 2, TopP: receipt.MaxTopP, Logprobs: n}, Seed: canon.Sum([]byte(fmt.Sprint("seed ", n)))}
		cases = append(cases, shownCase{sealed("request", receipt.DomainRequest, r), sealed("answer", receipt.DomainAnswer, a)})
	}
	return cases
}

// toldCase is a request in text with an answer that fits it, or why it does not.
type toldCase struct {
	Why     string `json:"why,omitempty"`
	Request item   `json:"request"`
	Answer  item   `json:"answer"`
	Leaf    *item  `json:"leaf,omitempty"`
}

// told are requests to a declared model and its answers.
func told(t *testing.T) (good, bad []any) {
	_, model, err := declared().Encode()
	if err != nil {
		t.Fatal(err)
	}
	const hello = `{"messages":[{"content":"Halo \"dunia\"\n","role":"user"}]}`
	const look = `{"messages":[{"content":[{"text":"é?","type":"text"},{"image_url":{"url":"data:image/png;base64,AA=="},"type":"image_url"}],"role":"user"}],"tool_choice":"auto","tools":[{"function":{"name":"f","parameters":{"maximum":1.50}},"type":"function"}]}`
	said := receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishStop, Message: receipt.NewMessage("Halo.", nil), Usage: &receipt.Usage{Input: 11, Output: 3}}
	called := receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishTools, Usage: &receipt.Usage{Input: uint64(len(look)) + 256, Output: 16},
		Message: receipt.NewMessage("", []any{map[string]any{"id": "call_1", "type": "function", "function": map[string]any{"name": "f", "arguments": "{}"}}})}
	for i, c := range []struct {
		why, chat string
		answer    receipt.Answer
		change    func(*receipt.Request, *receipt.Answer)
	}{
		{"", hello, said, func(*receipt.Request, *receipt.Answer) {}},
		{"", look, called, func(*receipt.Request, *receipt.Answer) {}},
		{"keys out of order", hello, said, func(r *receipt.Request, _ *receipt.Answer) { r.Chat = `{"messages":[{"role":"user","content":"x"}]}` }},
		{"a space", hello, said, func(r *receipt.Request, _ *receipt.Answer) { r.Chat = strings.Replace(r.Chat, ":", ": ", 1) }},
		{"an escape that is not needed", hello, said, func(r *receipt.Request, _ *receipt.Answer) { r.Chat = strings.Replace(r.Chat, "Halo", `\u0048alo`, 1) }},
		{"another field", hello, said, func(r *receipt.Request, _ *receipt.Answer) {
			r.Chat = strings.Replace(r.Chat, `}]}`, `}],"model":"x"}`, 1)
		}},
		{"an image elsewhere", look, said, func(r *receipt.Request, _ *receipt.Answer) {
			r.Chat = strings.Replace(r.Chat, "data:image/png;base64,AA==", "http://10.0.0.1/", 1)
		}},
		{"text to a manifest's model", hello, said, func(r *receipt.Request, _ *receipt.Answer) { r.Model = canon.NewCID(canon.DagCBOR, canon.Hash{1}) }},
		{"more input than the request has bytes", hello, said, func(r *receipt.Request, a *receipt.Answer) {
			a.Usage = &receipt.Usage{Input: uint64(len(r.Chat)) + 257, Output: 1}
		}},
		{"more output than the message has bytes", hello, said, func(_ *receipt.Request, a *receipt.Answer) {
			a.Usage = &receipt.Usage{Output: uint64(len(a.Message)) + 1}
		}},
		{"more output than max tokens", hello, said, func(r *receipt.Request, _ *receipt.Answer) { r.Params.MaxTokens = 2 }},
		{"a message with another field", hello, said, func(_ *receipt.Request, a *receipt.Answer) { a.Message = `{"content":"x","role":"assistant"}` }},
		{"no usage", hello, said, func(_ *receipt.Request, a *receipt.Answer) { a.Usage = nil }},
	} {
		r := receipt.Request{Version: 1, Key: sessionKey.Public(), Counter: 80 + uint64(i), Model: model, Tokens: []uint32{}, Chat: c.chat,
			Params: receipt.Params{MaxTokens: 16, TopP: receipt.MaxTopP}, Seed: canon.Sum([]byte(fmt.Sprint("seed ", 80+i)))}
		c.change(&r, &c.answer)
		one := toldCase{Why: c.why, Request: sealed("request", receipt.DomainRequest, r), Answer: sealed("answer", receipt.DomainAnswer, c.answer)}
		err := errors.Join(r.Validate(), r.Fits(c.answer))
		if (err == nil) != (c.why == "") {
			t.Errorf("%q: %v", c.why, err)
		}
		if c.why != "" {
			bad = append(bad, one)
			continue
		}
		ask := receipt.Ask{Chain: chain, Session: 7, Seq: uint64(i + 1), Request: r.Hash(), Salt: canon.Sum([]byte(fmt.Sprint("salt ", 80+i)))}
		leaf := sealed("leaf", receipt.DomainLeaf, receipt.NewLeaf(ask, r, c.answer))
		one.Leaf = &leaf
		good = append(good, one)
	}
	return good, bad
}

func pair(r receipt.Receipt, v receipt.Voucher) receipt.Entry {
	return receipt.Entry{Receipt: r, ReceiptSignature: providerKey.Sign(receipt.DomainReceipt, r),
		Voucher: v, VoucherSignature: sessionKey.Sign(receipt.DomainVoucher, v)}
}

type rootCase struct {
	Count uint64     `json:"count"`
	Root  canon.Hash `json:"root"`
}

type pathCase struct {
	Count uint64       `json:"count"`
	Index uint64       `json:"index"`
	Path  []canon.Hash `json:"path"`
	Why   string       `json:"why,omitempty"`
}

func TestReceipt(t *testing.T) {
	p := history(t)
	d := &document{note: "see spec/receipt.md; one session at 200 udlt in and 1,000 udlt out per 1,000 tokens; leaves are numbered as they were completed"}
	d.add("served", p.served...)
	d.add("final", p.finish...)
	d.add("shown", shown()...)
	good, bad := told(t)
	d.add("told", good...)
	d.add("told_refused", bad...)
	golden(t, "receipt.json", d)
}

func TestRange(t *testing.T) {
	const most = 17
	d := &document{note: "see spec/receipt.md; leaf i is BLAKE3-256 of the one byte i"}
	var leaves []canon.Hash
	var roots, paths, refused []any
	var frontier receipt.Range
	for i := range uint64(most + 1) {
		roots = append(roots, rootCase{i, frontier.Root()})
		leaf := canon.Sum([]byte{byte(i)})
		leaves, frontier = append(leaves, leaf), frontier.Append(leaf)
	}
	root := func(count uint64) canon.Hash { return roots[count].(rootCase).Root }
	for _, count := range []uint64{1, 2, 3, 5, 8, 13, most} {
		for i := range count {
			path, err := receipt.Prove(leaves[:count], i)
			if err != nil || receipt.VerifyPath(root(count), count, i, leaves[i], path) != nil {
				t.Fatalf("leaf %d of %d has no path", i, count)
			}
			paths = append(paths, pathCase{Count: count, Index: i, Path: append([]canon.Hash{}, path...)})
		}
	}
	good, err := receipt.Prove(leaves[:13], 6)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []pathCase{
		{13, 7, good, "another leaf"}, {12, 6, good, "another count"}, {13, 13, good, "index outside the range"},
		{13, 6, good[:3], "too short"}, {13, 6, append(good[:4:4], good[3]), "too long"},
		{13, 6, []canon.Hash{good[1], good[0], good[2], good[3]}, "another order"}, {0, 0, []canon.Hash{}, "empty range"},
	} {
		if receipt.VerifyPath(root(c.Count), c.Count, c.Index, leaves[c.Index], c.Path) == nil {
			t.Errorf("path is taken: %s", c.Why)
		}
		refused = append(refused, c)
	}
	d.add("root", roots...)
	d.add("path", paths...)
	d.add("refused", refused...)
	golden(t, "range.json", d)
}
