package job

// Standing is what the ledger has seen of a provider: running totals over its
// sessions. Requests is what both sides signed, which two accounts of one owner
// can raise at will, so no rule may reward it. Unserved counts sessions of which
// nothing came: the provider served nothing, or the consumer accepted nothing.
// The ledger cannot tell which, so it is a hint and no proof. A session that both
// sides agreed to end before anything was asked is no session here.
type Standing struct {
	Withheld   uint64 `cbor:"withheld"` // udlt earned and not yet paid
	Released   uint64 `cbor:"released"` // udlt paid
	Sessions   uint64 `cbor:"sessions"` // settled, but those that ended unused by agreement
	Requests   uint64 `cbor:"requests"` // served in settled sessions
	Complaints uint64 `cbor:"complaints"`
	Unserved   uint64 `cbor:"unserved"` // settled sessions without one accepted answer
}

// Moved is the standing after one of the provider's sessions went from before
// to after; before is the zero session for one that is new. Totals stop at the
// end of 64 bits.
func (t Standing) Moved(before, after Session) Standing {
	// Unsigned differences: the pay withheld for a session is within its total.
	t.Withheld += after.Escrow.Withheld - before.Escrow.Withheld
	t.Released = add(t.Released, after.Escrow.Paid-before.Escrow.Paid)
	served := after.Claim != nil && after.Claim.Receipt.Seq > 0
	switch {
	case !after.settled() || before.settled():
	case served:
		t.Sessions, t.Requests = add(t.Sessions, 1), add(t.Requests, after.Claim.Receipt.Seq)
	case after.Reason != ReasonFinal:
		t.Sessions, t.Unserved = add(t.Sessions, 1), add(t.Unserved, 1)
	}
	return t
}

// Accused is the standing after one more complaint.
func (t Standing) Accused() Standing {
	t.Complaints = add(t.Complaints, 1)
	return t
}

func (s Session) settled() bool { return s.State == SessionSettled || s.State == SessionReleased }

func add(a, b uint64) uint64 { return a + min(b, ^a) }
