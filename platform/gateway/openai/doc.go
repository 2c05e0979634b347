// Package openai translates between the JSON of OpenAI's HTTP API and the few
// values that the gateway works with. It is pure: bytes in, values out, no
// clock, network or randomness.
//
// Guarantees: a body is bounded (size, depth, number of values) before anything
// is built from it, has exactly one reading (valid UTF-8, no key twice, names
// compared exactly), and a parameter that would change the answer but is not
// served is refused by name, never dropped. Fields that this package does not
// know are ignored, as OpenAI does. Numbers never pass through floating point.
// What only a model that runs elsewhere may be asked, such as tools and images, is
// kept whole beside the reason why one that runs here refuses it.
//
// Log-probabilities are shown for each token whose text begins before a stop
// string cuts it, and for the whole of such a token. In a stream they come with
// the piece in which that text begins; text_offset counts the characters of the
// answer before it, without the prompt. A token that is not UTF-8 by itself has
// its exact bytes in chat's "bytes", and reads bytes:\xe2\x82 in completions.
//
// Start at DecodeChat and DecodeCompletion, then Reply; Error is every refusal.
package openai
