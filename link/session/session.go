// Package session is what consumer and provider say to each other while a
// session is open, as frames on one link stream per request. The signed things
// in the frames are core/receipt's; this package only gives them an order:
//
//	consumer  Opening{Ask}      the signed request
//	provider  Reply{Tokens} …   the answer as it grows; Reply{Text} … of a declared model
//	provider  Reply{Done}       the receipt over all that was served so far
//	consumer  Word{Payment}     the voucher for the same
//	provider  Reply{Paid}       sent once the voucher is on disk
//
// A consumer that wants no more of an answer says Word{Stop} once, at any time: the
// answer is then what came until the provider heard it, and is paid for as above. If
// nothing had come, the provider refuses and nothing is owed.
//
// A stream that opens with Finish carries a final voucher and ends the session:
// the provider brings it to the ledger and answers Paid. Reply{Refused} may
// stand in place of any reply and ends the stream.
package session

import (
	"fmt"

	"daulat/core/canon"
	"daulat/core/receipt"
)

// Protocol is the link protocol's name and version.
const Protocol = "/daulat/session/2"

// FrameLimit is the longest frame, in bytes: the longest prompt fits.
const FrameLimit = 2 << 20

// Opening is the first frame of a stream; one field is set.
type Opening struct {
	Ask    *Ask     `cbor:"ask,omitempty"`
	Finish *Payment `cbor:"finish,omitempty"`
}

// Ask is a signed request.
type Ask struct {
	Ask       receipt.Ask     `cbor:"ask"`
	Signature canon.Signature `cbor:"sig"`
	Request   receipt.Request `cbor:"request"`
	// Last is the newest voucher, sent again with each request: the provider
	// may have missed it, or an answer may have been lost on the way.
	Last *Payment `cbor:"last,omitempty"`
}

// Payment is a signed voucher.
type Payment struct {
	Voucher   receipt.Voucher `cbor:"voucher"`
	Signature canon.Signature `cbor:"sig"`
}

// Word is a consumer's frame after an ask; one field is set.
type Word struct {
	Stop    bool     `cbor:"stop,omitempty"`
	Payment *Payment `cbor:"payment,omitempty"`
}

// Reply is a provider's frame; one field is set, and with Tokens maybe Logprobs.
type Reply struct {
	// Text is a stretch of a declared model's answer, Reasoning of what it thinks before;
	// both may come at once. Calls follows the last one, if the model calls tools: the
	// canonical JSON of their list.
	Text      string `cbor:"text,omitempty"`
	Reasoning string `cbor:"reasoning,omitempty"`
	Calls     string `cbor:"calls,omitempty"`

	Tokens  []uint32 `cbor:"tokens,omitempty"`
	Done    *Done    `cbor:"done,omitempty"`
	Paid    bool     `cbor:"paid,omitempty"`
	Refused *Refusal `cbor:"refused,omitempty"`
	// Logprobs comes with Tokens, one for each, if the request asked for it.
	Logprobs []receipt.Logprobs `cbor:"logprobs,omitempty"`
}

// Done ends an answer.
type Done struct {
	Finish    receipt.Finish  `cbor:"finish"`
	Receipt   receipt.Receipt `cbor:"receipt"`
	Signature canon.Signature `cbor:"sig"`
	// Usage is what the provider bills for, of a declared model.
	Usage *receipt.Usage `cbor:"usage,omitempty"`
}

// Code says what kind of refusal it is.
type Code string

// The kinds of refusal.
const (
	Busy     Code = "busy"     // try again later or elsewhere
	Invalid  Code = "invalid"  // the request can't be served as it is
	Spent    Code = "spent"    // the session can't carry it; another one can
	Unknown  Code = "unknown"  // the session is not known here
	Internal Code = "internal" // the provider failed
	Stopped  Code = "stopped"  // the consumer stopped the answer before it began
)

// Refusal is the error a provider answers with.
type Refusal struct {
	Code   Code   `cbor:"code"`
	Reason string `cbor:"reason"`
}

// Error makes a refusal an error.
func (r *Refusal) Error() string { return fmt.Sprintf("provider refused (%s): %s", r.Code, r.Reason) }

// Conn is the stream that both sides speak over; link.Stream is one.
type Conn interface {
	Send(v any) error
	Receive(v any) error
}
