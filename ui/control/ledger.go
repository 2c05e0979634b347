package control

import "time"

// NodeOptions say how to run a ledger node alone.
type NodeOptions struct {
	Home       string
	Invite     string // to the network whose ledger it follows; a home that follows one remembers it
	P2P        string // IP:PORT at which other nodes reach this one; by default a port of loopback
	Link       string // IP:PORT at which other peers reach this one; by default a port of loopback
	Sole       bool   // no other home signs with the validator's key, though one did lately
	Passphrase Passphrase
}

// Node is what a ledger node that serves tells its user.
type Node struct {
	Home    string   `json:"home"`
	Chain   string   `json:"chain"`
	Genesis string   `json:"genesis"` // SHA-256 of the ledger's first state
	Ledger  string   `json:"ledger"`  // RPC address, for `daulat provide --ledger`
	REST    string   `json:"rest"`    // the ledger's queries as HTTP with JSON
	GRPC    string   `json:"grpc"`    // the same as gRPC
	P2P     string   `json:"p2p"`     // ID@HOST:PORT, where other nodes reach it
	Link    []string `json:"link"`    // addresses of its peer, as invites name them
}

// TestnetOptions say how to run a ledger of several validators on one machine.
// All but Home and Invites count when it is made.
type TestnetOptions struct {
	Home            string
	Validators      int
	Machines        []string      // IP or IP:PORT of each validator's machine; then nothing runs here
	BlockTime       time.Duration // pause between two blocks
	SnapshotEvery   uint64        // blocks between two snapshots of the state
	ChallengeWindow uint64        // seconds of withholding pay
	VotingPeriod    time.Duration // of proposals
	Invites         int           // to make at each start
}

// Testnet is what a started testnet tells its user.
type Testnet struct {
	Home       string             `json:"home"`
	Chain      string             `json:"chain"`
	Trust      string             `json:"trust,omitempty"` // empty before the machines run
	Validators []TestnetValidator `json:"validators,omitempty"`
	Machines   []TestnetValidator `json:"machines,omitempty"` // of a ledger that was founded for several; none runs here
	Invites    []string           `json:"invites"`            // lines for `daulat provide` and `daulat ask --network`
}

// TestnetValidator is one process of a testnet.
type TestnetValidator struct {
	Node
	PID     int    `json:"pid,omitempty"`
	Restart string `json:"restart"` // command that starts it again, should it be killed
}
