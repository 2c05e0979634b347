package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"daulat/ledger/client"
)

// nobody is what it may be if no peer answers.
const nobody = "your friend's daulat may be off, or this machine offline"

// noPeerError is what a person is told if nobody of the network is there: what was
// dialed, and how that failed, is for the log.
type noPeerError struct {
	chain string
	err   error
}

func (e noPeerError) Error() string {
	return fmt.Sprintf("no peer of %s answers; %s", e.chain, nobody)
}

func (e noPeerError) Unwrap() error { return e.err }

func noPeer(chain string, err error) error {
	slog.Warn("no peer of the network answers", "chain", chain, "error", err) // the home's log, once it is open
	return noPeerError{chain, err}
}

// unreached says of an error that nobody of the network is there, and leaves out
// over what the call was carried. Where somebody is there, what each did is said: a lie
// must not be lost behind those who could not be reached.
func (n *network) unreached(err error) error {
	if client.Silent(err) {
		return noPeer(n.chain(), err)
	}
	if errors.As(err, new(client.Unhelpful)) {
		return err
	}
	if carried := (*url.Error)(nil); errors.As(err, &carried) {
		return carried.Err
	}
	return err
}

// told is the end of a home's process as a person is told it: in one sentence for all
// that failed as nobody of the network is there.
func (t *tenant) told(err error) error {
	if t.network == nil {
		return err
	}
	var silent, others []error
	for _, e := range parts(err) {
		if client.Silent(e) {
			silent = append(silent, e)
		} else {
			others = append(others, e)
		}
	}
	if len(silent) == 0 {
		return err
	}
	return errors.Join(append(others, noPeer(t.network.chain(), errors.Join(silent...)))...)
}

// parts are the errors that were joined, all the way down.
func parts(err error) (all []error) {
	if err == nil {
		return nil
	}
	joined, several := err.(interface{ Unwrap() []error })
	if _, ofPeers := err.(client.Unhelpful); ofPeers || !several {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		all = append(all, parts(e)...)
	}
	return all
}
