package control

import "time"

// What becomes of a key.
const (
	KeyInForce = "in force" // it is what the ledger takes
	KeyNext    = "next"     // it takes over later
	KeyFormer  = "former"   // only for what opened while it was in force
	KeyLocal   = "local"    // the ledger binds it to nothing but what it opened
)

// Key is a public key of this home and what it stands for.
type Key struct {
	Name    string `json:"name"` // several identity keys have one name
	Kind    string `json:"kind"` // account, identity or session
	Key     string `json:"key"`  // address of an account; else Ed25519, hexadecimal
	Account string `json:"account"`
	State   string `json:"state"`
	// From is when a next key takes over, by the ledger's time.
	From *time.Time `json:"from,omitempty"`
}
