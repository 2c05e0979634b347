// Package invite holds welcome grants: an inviter locks one under a key, and the
// ledger sends it to the one account that the key's holder names.
//
// Whether something is allowed and who gets what is decided in core/invite; this
// package loads, asks, saves and pays. What it knows besides: which account has
// redeemed an invite, as each does so at most once, and how many invites an
// inviter has open.
//
// Guarantees: the module account holds exactly the grants of open invites
// ([Store.Conserved]); a key names one invite for good; a message or a due clock
// applies in full or not at all, so that one payee that can't be paid stops no
// other; the work of one block is bounded, and what is over waits for the next
// in order. Any account may carry a redemption: it can change nothing of it.
//
// Start at server.go for messages and block.go for what happens by itself.
package invite
