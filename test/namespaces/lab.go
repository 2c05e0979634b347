package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A lab is a network of its own inside this machine: hosts, switches that join
// them, and home routers, each a network namespace. Nothing in it reaches the
// machine's own network, and close ends it whole.
type lab struct {
	prefix  string
	spaces  []string
	links   int
	routers map[string]*host // by home
}

// A host is a machine of the lab.
type host struct {
	lab   *lab
	space string
	cards []string      // its interfaces, in the order in which they were plugged in
	ahead time.Duration // of the true time, by its clock
}

// A network is a switch and the addresses on it.
type network struct {
	at *host // the namespace that the switch is in
}

func openLab() *lab { return &lab{prefix: fmt.Sprintf("daulat-%d-", os.Getpid())} }

// run is a command that has nothing to say but why it failed.
func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// all runs commands, one a line, of words without spaces, until one fails.
func all(lines ...string) error {
	for _, line := range lines {
		words := strings.Fields(line)
		if err := run(words[0], words[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// host adds a machine that is on no network yet.
func (l *lab) host(name string) (*host, error) {
	h := &host{lab: l, space: l.prefix + name}
	if err := run("ip", "netns", "add", h.space); err != nil {
		return nil, err
	}
	l.spaces = append(l.spaces, h.space)
	return h, run("ip", "-n", h.space, "link", "set", "lo", "up")
}

// network adds a switch.
func (l *lab) network(name string) (*network, error) {
	h, err := l.host(name)
	if err != nil {
		return nil, err
	}
	return &network{h}, all("ip -n "+h.space+" link add switch type bridge", "ip -n "+h.space+" link set switch up")
}

// plug puts h on a network with an address, such as 10.0.0.2/24, and returns the
// name of its card there.
func (h *host) plug(n *network, address string) (string, error) {
	h.lab.links++
	card, socket := fmt.Sprintf("eth%d", len(h.cards)), fmt.Sprintf("port%d", h.lab.links)
	err := all(
		fmt.Sprintf("ip -n %s link add %s type veth peer name %s netns %s", h.space, card, socket, n.at.space),
		fmt.Sprintf("ip -n %s link set %s master switch up", n.at.space, socket),
		fmt.Sprintf("ip -n %s address add %s dev %s", h.space, address, card),
		fmt.Sprintf("ip -n %s link set %s up", h.space, card))
	h.cards = append(h.cards, card)
	return card, err
}

// readdress gives h another address on the network of a card, and its route back.
func (h *host) readdress(card, address, gateway string) error {
	return errors.Join(h.leave(card), run("ip", "-n", h.space, "address", "add", address, "dev", card), h.route(gateway))
}

// leave takes the addresses of a card away.
func (h *host) leave(card string) error {
	return run("ip", "-n", h.space, "address", "flush", "dev", card)
}

// route sends what is not on a network of h to a gateway; none for an empty one.
func (h *host) route(gateway string) error {
	if gateway == "" {
		return nil
	}
	return run("ip", "-n", h.space, "route", "replace", "default", "via", gateway)
}

// mapping is how a router picks the outside port of a connection.
type mapping string

// The mappings of home routers, as nftables has them.
const (
	preserving mapping = "masquerade"        // the inside port where it is free: holes can be punched
	symmetric  mapping = "masquerade random" // another for each connection: they can't
)

// home adds a router, with an address on the outer network, and the network behind
// it, whose hosts are 192.168.1.2 and up and reach the outer one through it. From
// outside only answers come in.
func (l *lab) home(name string, outer *network, address string, m mapping) (*network, error) {
	router, err := l.host(name + "-router")
	if err != nil {
		return nil, err
	}
	inner, err := l.network(name)
	if err != nil {
		return nil, err
	}
	if l.routers == nil {
		l.routers = map[string]*host{}
	}
	l.routers[name] = router
	outside, err := router.plug(outer, address)
	if err != nil {
		return nil, err
	}
	if _, err := router.plug(inner, "192.168.1.1/24"); err != nil {
		return nil, err
	}
	rules := fmt.Sprintf(`table ip home {
	chain out { type nat hook postrouting priority srcnat; oifname %[1]q %[2]s; }
	chain pass { type filter hook forward priority filter; policy accept; iifname %[1]q ct state established,related accept; iifname %[1]q drop; }
	chain own { type filter hook input priority filter; policy accept; iifname %[1]q ct state established,related accept; iifname %[1]q drop; }
}`, outside, m)
	if err := router.filter(rules); err != nil {
		return nil, err
	}
	return inner, run("ip", "netns", "exec", router.space, "sysctl", "-qw", "net.ipv4.ip_forward=1")
}

// pass has the router of a home pass what comes to a port on to a machine behind it.
func (l *lab) pass(home string, port int, to string) error {
	router := l.routers[home]
	rules := fmt.Sprintf(`table ip inward {
	chain in { type nat hook prerouting priority dstnat; iifname %[1]q tcp dport %[2]d dnat to %[3]s; }
}
insert rule ip home pass iifname %[1]q tcp dport %[2]d accept
`, router.cards[0], port, to)
	return router.filter(rules)
}

// filter gives nftables more rules.
func (h *host) filter(rules string) error {
	nft := exec.Command("ip", "netns", "exec", h.space, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules)
	if said, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, said)
	}
	return nil
}

// behind adds a host to the network of a home router.
func (l *lab) behind(name string, inner *network, address string) (*host, error) {
	h, err := l.host(name)
	if err != nil {
		return nil, err
	}
	if _, err := h.plug(inner, address+"/24"); err != nil {
		return nil, err
	}
	return h, h.route("192.168.1.1")
}

// command is a command on the host. Its end is the caller's to see to; ip replaces
// itself by it, so a signal to the process reaches the command.
func (h *host) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.space, name}, args...)...)
}

// unplug takes a card off its network, as pulling the cable does.
func (h *host) unplug(card string) error {
	return run("ip", "-n", h.space, "link", "set", card, "down")
}

// replug puts it back.
func (h *host) replug(card string) error { return run("ip", "-n", h.space, "link", "set", card, "up") }

// part lets two sides of hosts no longer reach each other, by address; mend lets
// them. Hosts of one side go on as before.
func part(a, b map[*host]string) error { return between(a, b, "replace") }

func mend(a, b map[*host]string) error { return between(a, b, "del") }

// between changes the routes that lead nowhere between two sides.
func between(a, b map[*host]string, change string) error {
	for _, sides := range [][2]map[*host]string{{a, b}, {b, a}} {
		for h := range sides[0] {
			for _, address := range sides[1] {
				if err := run("ip", "-n", h.space, "route", change, "blackhole", address); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// close ends the lab. Processes in it are the callers' to end before.
func (l *lab) close() error {
	var failed []error
	for _, space := range l.spaces {
		failed = append(failed, run("ip", "netns", "delete", space))
	}
	l.spaces = nil
	return errors.Join(failed...)
}
