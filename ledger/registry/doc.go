// Package registry is the ledger's record of who serves what: providers with
// the identity keys that sign their receipts, their offers, and the manifests
// of artifacts.
//
// Guarantees: an identity key belongs to at most one account for good, and only
// after the key itself signed for that account and chain; a changed key takes
// over after a delay, and a revoked one never comes back; a provider without a
// key in force is not matched; an artifact's ID is the
// hash of the very bytes on record, and its parents are on record before it;
// nothing here grows without a bound per account or a price in gas.
//
// Start at [Store.Offers], which is what the market reads, and at server.go.
package registry
