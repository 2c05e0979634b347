// Package gateway serves OpenAI's HTTP API on this machine and passes every
// prompt to a Backend, which finds a provider, pays it and checks it. What comes
// back is an ordinary reply with one thing more: a receipt, in the header
// Daulat-Receipt and in the object "daulat", by which the answer can be verified.
//
// Guarantees: nothing is served to a web page of another origin or under a host
// name that is not this machine's; everything but /healthz and handlers added
// for the page needs a bearer token, which may be revoked at any time; a token never spends more per UTC day than
// its limit, across crashes too, because the most that an answer can cost is
// recorded before the answer begins (a crash may count up to 1 % of the limit
// too much, never too little); bodies, answers, waiting requests and
// connections are bounded in size, number and time; a client that leaves or stops
// reading cancels its request.
//
// Start at Backend, Config and New. The subpackage openai is the translation.
package gateway
