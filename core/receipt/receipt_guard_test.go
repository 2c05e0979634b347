package receipt_test

import (
	"errors"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/receipt"
)

const chain = "test-chain"

func guardKey(t testing.TB, name string) canon.PrivateKey {
	t.Helper()
	k, err := canon.GenerateKey(strings.NewReader(strings.Repeat(name, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// pair is an honest entry for session 7, changed and then signed.
func pair(t testing.TB, change func(*receipt.Entry)) receipt.Entry {
	t.Helper()
	root := canon.Hash{9}
	e := receipt.Entry{
		Receipt: receipt.Receipt{Chain: chain, Session: 7, Seq: 2, Input: 3, Output: 4, Amount: 10, Root: root},
		Voucher: receipt.Voucher{Chain: chain, Session: 7, Seq: 2, Amount: 10, Root: root},
	}
	change(&e)
	e.ReceiptSignature = guardKey(t, "p").Sign(receipt.DomainReceipt, e.Receipt)
	e.VoucherSignature = guardKey(t, "c").Sign(receipt.DomainVoucher, e.Voucher)
	return e
}

func check(t testing.TB, e receipt.Entry) error {
	return e.Check(chain, 7, guardKey(t, "p").Public(), guardKey(t, "c").Public())
}

func TestEntryOfAnotherPlace(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*receipt.Entry)
		want   error
	}{
		"honest":                  {func(*receipt.Entry) {}, nil},
		"another chain":           {func(e *receipt.Entry) { e.Receipt.Chain, e.Voucher.Chain = "x", "x" }, receipt.ErrChain},
		"another chain's receipt": {func(e *receipt.Entry) { e.Receipt.Chain = "x" }, receipt.ErrChain},
		"another chain's voucher": {func(e *receipt.Entry) { e.Voucher.Chain = "x" }, receipt.ErrChain},
		"another session":         {func(e *receipt.Entry) { e.Receipt.Session, e.Voucher.Session = 8, 8 }, receipt.ErrSession},
		"another's voucher":       {func(e *receipt.Entry) { e.Voucher.Session = 8 }, receipt.ErrSession},
		"another count":           {func(e *receipt.Entry) { e.Voucher.Seq++ }, receipt.ErrMismatch},
		"another history":         {func(e *receipt.Entry) { e.Voucher.Root[0]++ }, receipt.ErrMismatch},
	} {
		if err := check(t, pair(t, c.change)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestEntrySignatures(t *testing.T) {
	stranger := guardKey(t, "x")
	for name, forge := range map[string]func(*receipt.Entry){
		"receipt by a stranger": func(e *receipt.Entry) { e.ReceiptSignature = stranger.Sign(receipt.DomainReceipt, e.Receipt) },
		"voucher by a stranger": func(e *receipt.Entry) { e.VoucherSignature = stranger.Sign(receipt.DomainVoucher, e.Voucher) },
		"voucher by the provider": func(e *receipt.Entry) {
			e.VoucherSignature = guardKey(t, "p").Sign(receipt.DomainVoucher, e.Voucher)
		},
		"signatures exchanged": func(e *receipt.Entry) {
			e.ReceiptSignature, e.VoucherSignature = e.VoucherSignature, e.ReceiptSignature
		},
		"more after signing":  func(e *receipt.Entry) { e.Receipt.Amount++ },
		"final after signing": func(e *receipt.Entry) { e.Voucher.Final = true },
	} {
		e := pair(t, func(*receipt.Entry) {})
		if forge(&e); !errors.Is(check(t, e), canon.ErrSignature) {
			t.Errorf("%s: %v", name, check(t, e))
		}
	}
}

func TestNewer(t *testing.T) {
	of := func(seq, amount uint64, final bool) receipt.Entry {
		return pair(t, func(e *receipt.Entry) {
			e.Receipt.Seq, e.Voucher.Seq, e.Receipt.Amount, e.Voucher.Amount, e.Voucher.Final = seq, seq, amount, amount, final
		})
	}
	// More requests for less money never supersede: the consumer alone could make them.
	ordered := []receipt.Entry{of(4, 0, true), of(1, 5, false), of(2, 5, false), of(2, 5, true), of(1, 6, false), of(1, 6, true), of(3, 9, false)}
	for i, a := range ordered {
		for j, b := range ordered {
			if a.Newer(b) != (i > j) {
				t.Errorf("entry %d newer than %d: %t", i, j, a.Newer(b))
			}
		}
	}
}

func TestDue(t *testing.T) {
	less := pair(t, func(e *receipt.Entry) { e.Voucher.Amount = 4 })
	more := pair(t, func(e *receipt.Entry) { e.Voucher.Amount = 40 })
	if less.Due() != 4 || more.Due() != 10 {
		t.Errorf("due are %d and %d, not 4 and 10", less.Due(), more.Due())
	}
}

func TestRequestLimits(t *testing.T) {
	good := func() receipt.Request {
		return receipt.Request{Version: canon.Version, Key: guardKey(t, "c").Public(), Counter: 1,
			Model: canon.NewCID(canon.DagCBOR, canon.Hash{1}), Tokens: make([]uint32, receipt.MaxPrompt),
			Params: receipt.Params{MaxTokens: receipt.MaxAnswer, TopP: receipt.MaxTopP, Temperature: receipt.MaxTemperature}}
	}
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	shown := good()
	for _, p := range [][2]uint64{{receipt.MaxAnswer, 3}, {receipt.MaxShown / 21, 21}, {1, 21}} {
		shown.Params.MaxTokens, shown.Params.Logprobs = p[0], p[1]
		if err := shown.Validate(); err != nil {
			t.Errorf("%d tokens with %d log-probabilities: %v", p[0], p[1], err)
		}
	}
	for name, change := range map[string]func(*receipt.Request){
		"another version":    func(r *receipt.Request) { r.Version++ },
		"no key":             func(r *receipt.Request) { r.Key = canon.PublicKey{} },
		"no model":           func(r *receipt.Request) { r.Model = canon.CID{} },
		"no prompt":          func(r *receipt.Request) { r.Tokens = nil },
		"a huge prompt":      func(r *receipt.Request) { r.Tokens = append(r.Tokens, 0) },
		"no answer":          func(r *receipt.Request) { r.Params.MaxTokens = 0 },
		"a huge answer":      func(r *receipt.Request) { r.Params.MaxTokens++ },
		"a high temperature": func(r *receipt.Request) { r.Params.Temperature++ },
		"top p of zero":      func(r *receipt.Request) { r.Params.TopP = 0 },
		"top p above one":    func(r *receipt.Request) { r.Params.TopP++ },
		"many stop strings": func(r *receipt.Request) {
			r.Params.Stop = strings.Split(strings.Repeat("a,", receipt.MaxStops)+"a", ",")
		},
		"an empty stop":        func(r *receipt.Request) { r.Params.Stop = []string{""} },
		"many alternatives":    func(r *receipt.Request) { r.Params.MaxTokens, r.Params.Logprobs = 1, receipt.MaxAlternatives+2 },
		"endless alternatives": func(r *receipt.Request) { r.Params.MaxTokens, r.Params.Logprobs = 1, 1<<63 },
		"much to show":         func(r *receipt.Request) { r.Params.MaxTokens, r.Params.Logprobs = receipt.MaxShown/16+1, 16 },
		"a long stop":          func(r *receipt.Request) { r.Params.Stop = []string{strings.Repeat("a", receipt.MaxStopBytes+1)} },
	} {
		r := good()
		if change(&r); r.Validate() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
