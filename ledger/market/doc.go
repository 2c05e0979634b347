// Package market is where orders meet offers and sessions are paid: it locks
// escrow, clears open orders against standing offers once per block, and moves
// every order and session on when its clock runs out.
//
// Whether something is allowed and who gets what is decided in core/job,
// core/match and core/escrow; this package loads, asks them, saves and pays.
//
// Guarantees: the module account holds exactly what open orders and unreleased
// sessions are owed ([Store.Conserved]); a message or a due clock applies in
// full or not at all, so that one bad entry or payee stops no other; the work
// of one block is bounded, and what is over waits for the next in order.
//
// Start at server.go for messages and block.go for what happens by itself.
package market
