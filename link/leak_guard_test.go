package link

import (
	"context"
	"testing"
)

// TestStreamsThatEndFreeTheirPlace: those that were refused, and those whose
// handler has returned. One that stays is one of the few that a peer may have.
func TestStreamsThatEndFreeTheirPlace(t *testing.T) {
	for name, try := range map[string]func(client, server *Node) error{
		"unknown protocol": func(client, server *Node) error {
			if s, err := client.Dial(t.Context(), server.Addrs(), "/daulat/none/1"); err == nil {
				s.Reset()
				t.Error("an unknown protocol was agreed on")
			}
			return nil
		},
		"handler that returns": func(client, server *Node) error {
			s, err := client.Dial(t.Context(), server.Addrs(), "/daulat/brief/1")
			if err == nil {
				err = s.Close()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := node(t, Config{}), node(t, Config{})
			server.Handle(echo, serveEcho)
			server.Handle("/daulat/brief/1", func(context.Context, *Stream) {})
			for range 20 {
				if err := try(client, server); err != nil {
					t.Fatal(err)
				}
			}
			for who, n := range map[string]*Node{"client": client, "server": server} {
				eventually(t, "the "+who+"'s streams end", func() bool { return streams(n) == 0 })
			}
			dial(t, client, server)
		})
	}
}

func streams(n *Node) (count int) {
	for _, c := range n.swarm.Conns() {
		count += len(c.GetStreams())
	}
	return count
}
