// Package receipt is what is said of work done: the request that a consumer
// signs, the receipt that a provider signs, and the voucher that pays for it.
//
// Receipts and vouchers are cumulative over a session: the last valid pair
// stands for all before it, so repeating or losing one harms nobody, and a
// session of a million requests settles with one of each. Neither holds what
// was asked or answered, only salted commitments under a Merkle root.
//
// Start at [Request], then [Entry.Check]. spec/receipt.md states the formats.
package receipt

import (
	"errors"
	"fmt"

	"daulat/core/artifact"
	"daulat/core/canon"
)

// Domains of what is signed and hashed here.
const (
	DomainRequest = "daulat/request"
	DomainAsk     = "daulat/ask"
	DomainAnswer  = "daulat/answer"
	DomainCommit  = "daulat/commit"
	DomainLeaf    = "daulat/leaf"
	DomainReceipt = "daulat/receipt"
	DomainVoucher = "daulat/voucher"
)

// Limits of a request and its answer.
const (
	MaxPrompt    = 1 << 18 // tokens
	MaxAnswer    = 1 << 16 // tokens
	MaxStops     = 8
	MaxStopBytes = 256
	MaxTopP      = 1_000_000 // parts per million: no cut
	// MaxTemperature is 16.0 in 16.16 fixed point.
	MaxTemperature = 16 << 16
	// MaxAlternatives is how many tokens are shown beside the one that was drawn.
	MaxAlternatives = 20
	// MaxShown bounds Params.Logprobs·MaxTokens, so that a bundle with the longest
	// prompt and answer can still be decoded.
	MaxShown = 3 << 16
)

// Params steer how an answer is drawn.
type Params struct {
	MaxTokens   uint64   `cbor:"max_tokens"`
	Temperature uint64   `cbor:"temperature"` // 16.16 fixed point; 0 takes the likeliest token
	TopP        uint64   `cbor:"top_p"`       // parts per million
	Stop        []string `cbor:"stop,omitempty"`
	// Logprobs asks for the log-probability of each token, and of one likeliest
	// token less than this number; 0 asks for none.
	Logprobs uint64 `cbor:"logprobs,omitempty"`
}

// Request is all that determines an answer besides the model. Its hash enters
// every random draw, so nothing that a provider or gateway picks can: the lease
// under which it is served is not part of it, and a retry elsewhere draws the
// same tokens.
type Request struct {
	Version uint64          `cbor:"v"`
	Key     canon.PublicKey `cbor:"key"`     // the consumer's session key
	Counter uint64          `cbor:"counter"` // of that key, never used twice; 0 asks for the same draws every time
	Model   canon.CID       `cbor:"model"`
	Tokens  []uint32        `cbor:"tokens"` // the prompt
	Params  Params          `cbor:"params"`
	Seed    canon.Hash      `cbor:"seed"`
	// Chat is the prompt of a declared model, in place of Tokens: the canonical JSON
	// of what messages, tools, tool_choice and response_format OpenAI's API takes.
	Chat string `cbor:"chat,omitempty"`
}

// Hash is what the consumer signs and what enters every draw.
func (r Request) Hash() canon.Hash { return canon.Digest(DomainRequest, r) }

// Validate reports what is wrong with a request.
func (r Request) Validate() error {
	switch {
	case r.Version != canon.Version:
		return fmt.Errorf("request: version %d is unknown", r.Version)
	case r.Key.IsZero():
		return errors.New("request: key is missing")
	case r.Model.IsZero():
		return errors.New("request: model is missing")
	case artifact.IsDeclared(r.Model) != (r.Chat != ""):
		return errors.New("request: a declared model is asked in text, and no other is")
	case r.Chat == "" && (len(r.Tokens) == 0 || len(r.Tokens) > MaxPrompt):
		return fmt.Errorf("request: prompt must have 1 to %d tokens", MaxPrompt)
	case r.Params.MaxTokens == 0 || r.Params.MaxTokens > MaxAnswer:
		return fmt.Errorf("request: max tokens must be 1 to %d", MaxAnswer)
	case r.Params.Temperature > MaxTemperature:
		return fmt.Errorf("request: temperature exceeds %d", MaxTemperature>>16)
	case r.Params.TopP == 0 || r.Params.TopP > MaxTopP:
		return fmt.Errorf("request: top p must be 1 to %d parts per million", MaxTopP)
	case len(r.Params.Stop) > MaxStops:
		return fmt.Errorf("request: at most %d stop strings", MaxStops)
	case r.Params.Logprobs > MaxAlternatives+1:
		return fmt.Errorf("request: at most %d alternatives to a token are shown", MaxAlternatives)
	case r.Params.Logprobs*r.Params.MaxTokens > MaxShown:
		return fmt.Errorf("request: %d tokens with %d log-probabilities each are more than %d", r.Params.MaxTokens, r.Params.Logprobs, MaxShown)
	}
	for _, s := range r.Params.Stop {
		if s == "" || len(s) > MaxStopBytes {
			return fmt.Errorf("request: a stop string must have 1 to %d bytes", MaxStopBytes)
		}
	}
	if r.Chat != "" {
		return r.validateChat()
	}
	return nil
}

// Ask binds a request to the lease under which it is served. The consumer
// signs it with its session key.
type Ask struct {
	Chain   string     `cbor:"chain"`
	Session uint64     `cbor:"session"`
	Seq     uint64     `cbor:"seq"` // from 1, assigned at admission; with Session it names the receipt
	Request canon.Hash `cbor:"request"`
	Salt    canon.Hash `cbor:"salt"` // hides request and answer in the receipt
}

// Finish is why an answer ended.
type Finish string

// The reasons why an answer ends.
const (
	FinishStop   Finish = "stop"   // the model or a stop string ended it
	FinishLength Finish = "length" // max tokens or the context limit
	// FinishTools is of a declared model that calls tools of the asker's.
	FinishTools Finish = "tool_calls"
	// FinishCancelled is of an answer that the asker stopped: it is what came until
	// then, and is paid for like a whole one.
	FinishCancelled Finish = "cancelled"
)

// Answer is what the provider computed.
type Answer struct {
	Tokens   []uint32   `cbor:"tokens"`
	Finish   Finish     `cbor:"finish"`
	Logprobs []Logprobs `cbor:"logprobs,omitempty"` // one for each token, if they were asked for
	// Message is what a declared model answered, in place of Tokens: see Message.
	Message string `cbor:"message,omitempty"`
	Usage   *Usage `cbor:"usage,omitempty"` // of a declared model, by its provider's word
}

// Hash names an answer.
func (a Answer) Hash() canon.Hash { return canon.Digest(DomainAnswer, a) }

// Commit hides h behind a salt.
func Commit(salt, h canon.Hash) canon.Hash {
	return canon.Digest(DomainCommit, struct {
		_    struct{} `cbor:",toarray"`
		Salt canon.Hash
		Hash canon.Hash
	}{Salt: salt, Hash: h})
}

// Leaf is one served request in a session's range.
type Leaf struct {
	Session uint64     `cbor:"session"`
	Seq     uint64     `cbor:"seq"`
	Request canon.Hash `cbor:"request"` // commitment
	Answer  canon.Hash `cbor:"answer"`  // commitment
	Input   uint64     `cbor:"input"`   // prompt tokens
	Output  uint64     `cbor:"output"`  // answer tokens
}

// Hash is the leaf's place in the range.
func (l Leaf) Hash() canon.Hash { return canon.Digest(DomainLeaf, l) }

// NewLeaf states what was served for an ask.
func NewLeaf(ask Ask, request Request, answer Answer) Leaf {
	bill := request.Bill(answer)
	return Leaf{
		Session: ask.Session,
		Seq:     ask.Seq,
		Request: Commit(ask.Salt, ask.Request),
		Answer:  Commit(ask.Salt, answer.Hash()),
		Input:   bill.Input,
		Output:  bill.Output,
	}
}

// Transcript is one served request as both sides keep it through the challenge
// window: all that the commitments in the receipt open to.
type Transcript struct {
	Ask       Ask             `cbor:"ask"`
	Signature canon.Signature `cbor:"ask_sig"` // of the consumer's session key
	Request   Request         `cbor:"request"`
	Answer    Answer          `cbor:"answer"`
	Index     uint64          `cbor:"index"` // of its leaf in the range, from 0
}

// Leaf is the transcript's place in the range.
func (t Transcript) Leaf() Leaf { return NewLeaf(t.Ask, t.Request, t.Answer) }

// Receipt is the provider's cumulative claim over a session.
type Receipt struct {
	Chain   string     `cbor:"chain"`
	Session uint64     `cbor:"session"`
	Seq     uint64     `cbor:"seq"`    // how many requests were served in full
	Input   uint64     `cbor:"input"`  // prompt tokens so far
	Output  uint64     `cbor:"output"` // answer tokens so far
	Amount  uint64     `cbor:"amount"` // udlt owed so far
	Root    canon.Hash `cbor:"root"`   // of the range over their leaves, in the order of completion
}

// Signed is a receipt with the provider's signature.
type Signed struct {
	Receipt   Receipt         `cbor:"receipt"`
	Signature canon.Signature `cbor:"sig"`
}

// Voucher is the consumer's cumulative promise over a session. It accepts the
// history under Root and nothing else.
type Voucher struct {
	Chain   string     `cbor:"chain"`
	Session uint64     `cbor:"session"`
	Seq     uint64     `cbor:"seq"`
	Amount  uint64     `cbor:"amount"` // udlt
	Root    canon.Hash `cbor:"root"`
	Final   bool       `cbor:"final"` // nothing more will be asked: settle at once
}

// Entry is a pair that a party brings to the ledger.
type Entry struct {
	Receipt          Receipt         `cbor:"receipt"`
	ReceiptSignature canon.Signature `cbor:"receipt_sig"`
	Voucher          Voucher         `cbor:"voucher"`
	VoucherSignature canon.Signature `cbor:"voucher_sig"`
}

// Settlement is what a party does with a pair on the ledger.
type Settlement struct {
	Entry Entry
	Close bool // start to close the session
}

// Errors of Check.
var (
	ErrChain    = errors.New("entry is of another chain")
	ErrSession  = errors.New("entry is of another session")
	ErrMismatch = errors.New("receipt and voucher tell different histories")
)

// Check reports whether the pair is of this chain and session, tells one
// history, and is signed by the session's two keys.
func (e Entry) Check(chain string, session uint64, provider, consumer canon.PublicKey) error {
	r, v := e.Receipt, e.Voucher
	switch {
	case r.Chain != chain || v.Chain != chain:
		return ErrChain
	case r.Session != session || v.Session != session:
		return ErrSession
	case r.Seq != v.Seq || r.Root != v.Root:
		return ErrMismatch
	}
	if err := canon.Verify(provider, DomainReceipt, r, e.ReceiptSignature); err != nil {
		return err
	}
	return canon.Verify(consumer, DomainVoucher, v, e.VoucherSignature)
}

// Due is what the pair entitles the provider to: what both sides agree on.
func (e Entry) Due() uint64 { return min(e.Receipt.Amount, e.Voucher.Amount) }

// Newer reports that e supersedes old: it is worth more, or as much for more
// requests, or it is the last word on both. Worth comes first, as a promise is
// never taken back: else a consumer could sign less over one request more.
func (e Entry) Newer(old Entry) bool {
	if e.Due() != old.Due() {
		return e.Due() > old.Due()
	}
	if e.Voucher.Seq != old.Voucher.Seq {
		return e.Voucher.Seq > old.Voucher.Seq
	}
	return e.Voucher.Final && !old.Voucher.Final
}
