// Relay measures what a relay adds to a link: to the time of a question and its
// answer, and to how many bytes pass. Peer, relay and asker are processes of their
// own on loopback; direct and relayed rounds take turns. The relay's own limit on
// bytes a second is lifted, as it is a choice and no cost.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"daulat/bench/report"
	"daulat/core/canon"
	"daulat/link"
	"daulat/test/child"
)

const (
	echoProtocol = "/daulat/bench-echo/1" // frames come back
	sinkProtocol = "/daulat/bench-sink/1" // bytes are counted, and one frame says that all came

	questions = 2000     // of a round
	volume    = 64 << 20 // bytes of a round
	piece     = 64 << 10
	patience  = 2 * time.Minute
)

type note struct {
	Text string `cbor:"text"`
}

func main() {
	role := flag.String("role", "", "what this process is: relay or peer; by default it asks")
	relays := flag.String("relays", "", "addresses of the peer's relay, for its process")
	rounds := flag.Int("rounds", 5, "rounds of each kind")
	flag.Parse()
	if *role != "" {
		if err := serve(*role, *relays); err != nil {
			fmt.Fprintln(os.Stderr, "relay:", err)
			os.Exit(1)
		}
		return
	}
	report.Context()
	report.Exit(run(*rounds))
}

// serve is a relay or a peer until it is interrupted.
func serve(role, relays string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	key, err := canon.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	c := link.Config{Key: key}
	if role == "relay" {
		c.Relay = link.DefaultRelay
		c.Relay.Bytes, c.Relay.Rate = 1<<40, 1<<40
	} else {
		c.Relays = strings.Split(relays, ",")
	}
	n, err := link.Open(c)
	if err != nil {
		return err
	}
	defer n.Close()
	n.Handle(echoProtocol, echo)
	n.Handle(sinkProtocol, sink)
	if err := n.Placed(ctx); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(n.Addrs()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func echo(_ context.Context, s *link.Stream) {
	for {
		var n note
		if s.Receive(&n) != nil || s.Send(n) != nil {
			return
		}
	}
}

func sink(_ context.Context, s *link.Stream) {
	buffer := make([]byte, piece)
	for {
		left := volume
		for left > 0 {
			n, err := s.Read(buffer[:min(left, piece)])
			if err != nil {
				return
			}
			left -= n
		}
		if s.Send(note{"all"}) != nil {
			return
		}
	}
}

func run(rounds int) error {
	if rounds < 1 {
		return errors.New("at least one round is needed")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rounds)*patience)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var at, to []string
	relay, err := child.Start(exec.CommandContext(ctx, self, "-role", "relay"), patience, &at)
	if err != nil {
		return err
	}
	peer, err := child.Start(exec.CommandContext(ctx, self, "-role", "peer", "-relays", strings.Join(at, ",")), patience, &to)
	if err != nil {
		return errors.Join(err, relay.Stop())
	}
	err = measure(ctx, to, rounds)
	return errors.Join(err, peer.Stop(), relay.Stop())
}

// way is one of the two ways to the peer.
type way struct {
	name      string
	addrs     []string
	trips     []time.Duration // medians of the rounds
	transfers []time.Duration
}

func measure(ctx context.Context, to []string, rounds int) error {
	circuit := func(a string) bool { return strings.Contains(a, "/p2p-circuit/") }
	ways := []*way{
		{name: "direct", addrs: slices.DeleteFunc(slices.Clone(to), circuit)},
		{name: "relayed", addrs: slices.DeleteFunc(slices.Clone(to), func(a string) bool { return !circuit(a) })},
	}
	for range rounds {
		for _, w := range ways {
			if err := w.round(ctx); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	direct, relayed := ways[0], ways[1]
	for _, w := range ways {
		fmt.Printf("%-8s %8.3f ms a question, %7.1f MB/s\n", w.name, milliseconds(report.Median(w.trips)), speed(w))
	}
	report.Result("relay", "latency_added_ms", milliseconds(report.Median(relayed.trips)-report.Median(direct.trips)),
		"throughput_ratio", speed(relayed)/speed(direct), "direct_ms", milliseconds(report.Median(direct.trips)),
		"relayed_ms", milliseconds(report.Median(relayed.trips)), "direct_mb_s", speed(direct), "relayed_mb_s", speed(relayed), "rounds", rounds)
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func speed(w *way) float64 { return volume / 1e6 / report.Median(w.transfers).Seconds() }

// round measures with a node of its own, so that no connection of the other way is
// there to be used.
func (w *way) round(ctx context.Context) error {
	key, err := canon.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	n, err := link.Open(link.Config{Key: key})
	if err != nil {
		return err
	}
	defer n.Close()
	trip, err := trips(ctx, n, w.addrs)
	if err != nil {
		return err
	}
	transfer, err := transfers(ctx, n, w.addrs)
	w.trips, w.transfers = append(w.trips, trip), append(w.transfers, transfer)
	return err
}

func trips(ctx context.Context, n *link.Node, addrs []string) (time.Duration, error) {
	s, err := n.Dial(ctx, addrs, echoProtocol)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	all := make([]time.Duration, questions)
	for i := range all {
		begun := time.Now()
		back := note{}
		if err := errors.Join(s.Send(note{"a token or two"}), s.Receive(&back)); err != nil {
			return 0, err
		}
		all[i] = time.Since(begun)
	}
	return report.Median(all), nil
}

func transfers(ctx context.Context, n *link.Node, addrs []string) (time.Duration, error) {
	s, err := n.Dial(ctx, addrs, sinkProtocol)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	data := make([]byte, piece)
	if _, err := io.ReadFull(rand.Reader, data); err != nil {
		return 0, err
	}
	begun := time.Now()
	for range volume / piece {
		if _, err := s.Write(data); err != nil {
			return 0, err
		}
	}
	var all note
	if err := s.Receive(&all); err != nil {
		return 0, err
	}
	return time.Since(begun), nil
}
