package node

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/ledger/client"
	"daulat/ui/control"
)

// TestGoneNetworkIsOneSentence: however often it was in vain, without what was dialed;
// what else failed stays.
func TestGoneNetworkIsOneSentence(t *testing.T) {
	rpc, err := client.Over(func(context.Context) (net.Conn, error) { return nil, errors.New("dial tcp4: refused") })
	if err != nil {
		t.Fatal(err)
	}
	_, gone := client.NewPeers([]client.Peer{{Name: "/ip4/5.0.0.2", RPC: rpc}}).Status(t.Context())
	trust := client.Trust{ChainID: "daulat-net", GenesisHash: canon.Hash{1}.String(), Height: 1, Hash: canon.Hash{2}.String()}
	guest := tenant{network: &network{known: guestOf{Verified: trust.String()}}}
	full := control.WrongInput{Err: errors.New("the disk is full")}
	said := guest.told(errors.Join(gone, full, errors.Join(gone, nil)))
	lines := strings.Split(said.Error(), "\n")
	if len(lines) != 2 || lines[0] != full.Error() || !strings.HasPrefix(lines[1], "no peer of daulat-net answers;") || strings.Contains(lines[1], "dial") {
		t.Errorf("it says %q", lines)
	}
	if !errors.As(said, new(control.WrongInput)) || !client.Silent(said) {
		t.Errorf("its causes are lost: %v", said)
	}
	if err := guest.told(full); err != error(full) || guest.told(nil) != nil || (&tenant{}).told(gone).Error() != gone.Error() {
		t.Errorf("what is nobody's absence is told as %v", err)
	}
}
