package control

import "time"

// Price is what a model costs, in udlt per 1,000 tokens.
type Price struct {
	Input  uint64 `json:"input"`
	Output uint64 `json:"output"`
}

// Job is an order and the session that it became.
type Job struct {
	ID       uint64 `json:"id"`
	State    string `json:"state"`
	Reason   string `json:"reason,omitempty"` // why it left the open state, or why there is no match
	Model    string `json:"model,omitempty"`  // name, if the home knows it
	ModelID  string `json:"model_id"`         // manifest or declaration
	Label    string `json:"label,omitempty"`  // what is to be shown beside the model
	Consumer string `json:"consumer"`         // account
	Provider string `json:"provider,omitempty"`
	Requests uint64 `json:"requests"`
	Amount   uint64 `json:"amount_udlt"`
	// Unsettled says that the ledger has not seen requests and amount yet: they are
	// what this home's journal holds.
	Unsettled bool     `json:"unsettled,omitempty"`
	Escrow    uint64   `json:"escrow_udlt"`
	Receipts  []string `json:"receipts,omitempty"` // those this home asked for
	Session   *Session `json:"session,omitempty"`  // in `job show`
	// Complaints are the receipts that the consumer complained about on the ledger.
	Complaints []string `json:"complaints,omitempty"`
}

// Session is what the ledger holds of a job once it is matched.
type Session struct {
	SessionKey      string    `json:"session_key"`  // signs the consumer's vouchers
	ProviderKey     string    `json:"provider_key"` // signs the provider's receipts
	Executor        string    `json:"executor"`
	Assurance       string    `json:"assurance"`
	Privacy         string    `json:"privacy"`
	Price           Price     `json:"price_udlt_per_1000"`
	Ceiling         Price     `json:"ceiling_udlt_per_1000"`
	Step            uint64    `json:"step_udlt"` // the most that either side can lose
	Opened          time.Time `json:"opened"`
	Clock           time.Time `json:"clock"` // when its state ends
	CloseWindow     uint64    `json:"close_window_seconds"`
	ChallengeWindow uint64    `json:"challenge_window_seconds"`
	Locked          uint64    `json:"locked_udlt"`
	Withheld        uint64    `json:"withheld_udlt"`
	Paid            uint64    `json:"paid_udlt"`
	Refunded        uint64    `json:"refunded_udlt"`
	Root            string    `json:"root,omitempty"` // over the answers of its newest receipt
}

// Provider is one offer on the market.
type Provider struct {
	// Place is where it stands in this home's order for its model, from 1; 0 if it
	// gets no orders. Reason says why it stands behind the one before it.
	Place    int    `json:"place"`
	Reason   string `json:"reason"`
	Provider string `json:"provider"`        // account
	Model    string `json:"model,omitempty"` // name, if the home knows it
	ModelID  string `json:"model_id"`        // manifest or declaration
	Label    string `json:"label,omitempty"` // what is to be shown beside the model
	// Digest is that of a declared model, by its server's word.
	Digest    string `json:"digest,omitempty"`
	Executor  string `json:"executor"`
	Price     Price  `json:"price_udlt_per_1000"`
	Assurance string `json:"assurance"`
	Slots     uint64 `json:"slots"`
	// Unserved is how many of the account's sessions ended with nothing that both
	// sides signed for: a hint at draws that were not served, and no proof.
	Unserved uint64 `json:"unserved"`
	// Complaints is how many the ledger holds about the account.
	Complaints uint64 `json:"complaints"`
	Sessions   uint64 `json:"sessions"` // settled ones, of anybody
	// What this home measured; 0 where it did not yet.
	Served  uint64 `json:"served_here"`
	Failed  uint64 `json:"failed_here"`
	Latency uint64 `json:"latency_ms"`
	// Of this model alone, over so many answers of late.
	Answers uint64 `json:"answers_measured"`
	First   uint64 `json:"first_token_ms"`
	Speed   uint64 `json:"tokens_per_1000_s"`
	Cost    uint64 `json:"expected_cost_1000_udlt,omitempty"` // of one usual request, in 10⁻³ udlt: price, audits, waiting and failures
}

// DigestText is what follows a declared model's name: the start of the digest, as long
// as Ollama shows it, or nothing.
func DigestText(digest string) string {
	if digest == "" {
		return ""
	}
	return " (digest " + digest[:min(len(digest), 12)] + ")"
}
