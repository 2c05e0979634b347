// Package market is where orders meet offers and sessions are paid: it locks
// escrow, clears open orders against standing offers once per block, and moves
// every order and session on when its clock runs out.
//
// Whether something is allowed and who gets what is decided in core/job,
// core/match and core/escrow; this package loads, asks them, saves and pays.
//
// A consumer's complaint about an answer is kept here and not in a court: it
// needs the session for its parties, keys and clock, and moves no money. What
// is seen of a provider (pay, sessions, complaints) is counted beside it.
//
// Guarantees: the module account holds exactly what open orders and unreleased
// sessions are owed, and each provider's standing is the sum of its sessions
// and complaints ([Store.Conserved]); a complaint is never changed; a message or a due clock applies in
// full or not at all, so that one bad entry or payee stops no other; the work
// of one block is bounded, and what is over waits for the next in order.
//
// Start at server.go and settle.go for messages and block.go for what happens by itself.
package market
