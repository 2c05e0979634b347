// Package node is where everything meets: it builds the parts of a daulat from
// one configuration, starts them in order, ends them in the opposite order, and
// translates between what they speak. It decides nothing.
//
// Start at [Runtime.Up].
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"daulat/data/blob"
	"daulat/link"
	"daulat/ui/control"
)

// Runtime is what the command line runs on.
type Runtime struct{}

// runningFile is where a running daulat says how to command it.
const runningFile = "up.json"

// running is what the file holds. The secret is drawn at each start and is worth
// nothing once the process is gone; what lasts longer, such as the API token, is
// asked for with it and lies nowhere in clear.
type running struct {
	Base   string `json:"base"` // such as http://127.0.0.1:4747
	Secret string `json:"control"`
}

func (r running) client() control.Client { return control.Client(r) }

// Guest reports whether the home has joined a network of others.
func (Runtime) Guest(home string) bool {
	guest, err := Home{dir: home}.isGuest()
	return guest && err == nil
}

// Visit runs what Up would in a home that joined a network, or joins with
// o.Network, for as long as use runs; or uses what another command of the home runs, if
// that began before and will be there.
func (r Runtime) Visit(ctx context.Context, o control.UpOptions, say control.Progress, use func(context.Context, control.Attached) error) error {
	var at control.Attached
	pass := func(h Home) (func(), error) {
		return h.pass(ctx, say, func() (serves bool) {
			if o.Network == "" { // or else the invite is to be used
				found, err := r.Attach(o.Home)
				at, serves = found, err == nil
			}
			return serves
		})
	}
	whole := ctx
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	used := make(chan error, 1)
	begun := false
	err := runUp(ctx, pass, o, say, func(u *up) {
		begun = true
		go func() {
			defer leave()
			failed := use(ctx, control.Attached{Ready: u.ready, Operations: u.running.client()})
			u.outlast(ctx)
			used <- failed
		}()
	})
	leave()
	if begun {
		err = errors.Join(<-used, err)
	}
	if errors.Is(err, errServes) {
		return use(whole, at)
	}
	return err
}

const (
	// courtesy is how long a command that found this process has to ask it something.
	courtesy = 2 * time.Second
	// outlastMost is how long this process goes on for other commands.
	outlastMost = 15 * time.Minute
)

// outlast waits for the end of what other commands of the home ask here. What this
// process asked itself, and gave up, is over in a moment.
func (u *up) outlast(ctx context.Context) {
	moment, over := context.WithTimeout(ctx, courtesy)
	u.gateway.Idle(moment, func() {})
	over()
	if ctx.Err() != nil { // the user ended it
		return
	}
	ctx, end := context.WithTimeout(ctx, outlastMost)
	defer end()
	busy := sync.OnceFunc(func() { u.say("another command asks through this one, which ends with it") })
	for {
		u.gateway.Idle(ctx, busy)
		wait := courtesy - time.Since(time.Unix(0, u.met.Load()))
		if wait <= 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// attachTimeout is how long a running daulat may take to say what it is.
const attachTimeout = 3 * time.Second

// Attach finds the daulat that runs in the home. What a killed one left behind
// is not believed: somebody else may have its port.
func (Runtime) Attach(home string) (control.Attached, error) {
	var r running
	data, err := os.ReadFile(Home{dir: home}.path(runningFile))
	if errors.Is(err, fs.ErrNotExist) {
		return control.Attached{}, Home{dir: home}.unattached()
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return control.Attached{}, fmt.Errorf("read %s: %w", runningFile, err)
	}
	if release, err := (Home{dir: home}).Lock(); err == nil {
		release()
		return control.Attached{}, control.ErrNotRunning
	}
	ctx, cancel := context.WithTimeout(context.Background(), attachTimeout)
	defer cancel()
	ready, err := r.client().Ready(ctx)
	if err != nil { // nobody, or another process that the secret says nothing to
		return control.Attached{}, control.ErrNotRunning
	}
	return control.Attached{Ready: ready, Operations: r.client()}, nil
}

// errLedgerAlone says what runs in a home that takes few commands.
var errLedgerAlone = errors.New("a ledger node runs in this home and nothing else: ask and sell from another --home")

// unattached is why no daulat takes the home's commands.
func (h Home) unattached() error {
	if !exists(h.path(servingFile)) {
		return control.ErrNotRunning
	}
	if release, err := h.Lock(); err == nil { // a killed node left the file behind
		release()
		return control.ErrNotRunning
	}
	return errLedgerAlone
}

// PullModel puts the default model, or the one at an address, on the home's shelf.
func (Runtime) PullModel(ctx context.Context, o control.PullOptions, p control.Progress) (control.Model, error) {
	s, err := shelfOf(o.Home)
	if err != nil {
		return control.Model{}, err
	}
	if o.URL != "" {
		name := o.Name
		if name == "" {
			name = nameOf(o.URL)
		}
		e, err := s.Pull(ctx, o.URL, o.SHA256, name, o.Licence, p)
		return control.Model{Name: e.Name, ID: e.ID.String()}, err
	}
	file, err := fetchDefault(ctx, p)
	if err != nil {
		return control.Model{}, err
	}
	e, err := s.Import(ctx, file, DefaultModel, DefaultModelLicence)
	return control.Model{Name: e.Name, ID: e.ID.String()}, err
}

// ImportModel puts a GGUF file on the home's shelf.
func (Runtime) ImportModel(ctx context.Context, home, path, name, licence string, p control.Progress) (control.Model, error) {
	s, err := shelfOf(home)
	if err != nil {
		return control.Model{}, err
	}
	p("reading " + path)
	e, err := s.Import(ctx, path, name, licence)
	return control.Model{Name: e.Name, ID: e.ID.String()}, err
}

// Models lists the home's shelf.
func (Runtime) Models(home string) ([]control.Model, error) {
	s, err := shelfOf(home)
	if err != nil {
		return nil, err
	}
	models := []control.Model{}
	for _, e := range s.List() {
		models = append(models, control.Model{Name: e.Name, ID: e.ID.String()})
	}
	return models, nil
}

func shelfOf(home string) (*Shelf, error) {
	h, err := OpenHome(home)
	if err != nil {
		return nil, err
	}
	store, err := blob.Open(h.path("blobs"))
	if err != nil {
		return nil, err
	}
	return OpenShelf(h, store, nil)
}

// linkNone as --link ends that an earlier one holds.
const linkNone = "none"

// linkAddr is the multiaddr of an IP:PORT that the user named, if one was.
func linkAddr(text string) (string, error) {
	if text == "" || text == linkNone {
		return text, nil
	}
	at, err := link.ListenAddr(text)
	if err != nil {
		return "", control.WrongInput{Err: err}
	}
	return at, nil
}

// linkFile keeps where the home's peer listens since a --link said so: others, the
// ledger and invites know that address.
const linkFile = "link.json"

type keptLink struct {
	Listen string `json:"listen"` // multiaddr
}

// linkAt is where the home's peer is to listen: as the user says now, or else said
// last. It is empty for the peer's own choice.
func (h Home) linkAt(named string, say control.Progress) (string, error) {
	if named == linkNone {
		err := os.Remove(h.path(linkFile))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return "", err
	}
	var kept keptLink
	if err := loadJSON(h.path(linkFile), &kept); err != nil || named != "" || kept.Listen == "" {
		return named, err
	}
	say(fmt.Sprintf("peers reach this home at %s, as an earlier --link said; another --link changes that, and --link none ends it", link.AddrPort(kept.Listen)))
	return kept.Listen, nil
}

// keepLink has later starts listen where the peer does, if the user named that.
func (h Home) keepLink(named string, peer *link.Node) error {
	at := peer.Listening()
	if named == "" || len(at) != 1 {
		return nil
	}
	return saveJSON(h.path(linkFile), keptLink{Listen: at[0]})
}

// everywhere is where a guest's peers listen whose network is more than this
// machine: only then can a hole be punched to them, or a router be told to let
// others in.
const everywhere = "/ip4/0.0.0.0/tcp/0"

// guestLink is how the peers of a guest's home reach others and are reached.
func guestLink(peers []string) link.Config {
	c := link.Config{Named: peers}
	if !link.Local(peers) {
		c.Listen = []string{everywhere}
	}
	return c
}

// openLink listens at the multiaddr, which is open to others, who may be reached
// through it too. For an empty one it listens where this peer of the home listened
// last, so that the addresses that others and the ledger know stay good, or where c
// says if that port is taken.
func (h Home) openLink(file string, at string, c link.Config) (*link.Node, error) {
	if at != "" {
		c.Listen = []string{at}
		c.Relays = nil
		if !link.Local(c.Listen) {
			c.Relay = link.DefaultRelay
		}
		return link.Open(c)
	}
	path := h.path(file)
	var last struct {
		Listen []string `json:"listen"`
	}
	if err := loadJSON(path, &last); err != nil {
		return nil, err
	}
	again := c
	if again.Listen = last.Listen; last.Listen == nil || link.Local(last.Listen) != link.Local(c.Listen) {
		again.Listen = c.Listen // the home was on another kind of network
	}
	node, err := link.Open(again)
	if err == nil && slices.Equal(node.Listening(), last.Listen) {
		return node, nil
	}
	if err != nil {
		if node, err = link.Open(c); err != nil {
			return nil, err
		}
	}
	last.Listen = node.Listening()
	if err := saveJSON(path, last); err != nil {
		return nil, errors.Join(err, node.Close())
	}
	return node, nil
}

// vacant reports an error if another program listens where the home's peer is to: at
// the multiaddr that the user named, or else where an earlier --link said.
func (h Home) vacant(named string) error {
	kept := keptLink{named}
	if named == "" {
		if err := loadJSON(h.path(linkFile), &kept); err != nil {
			return err
		}
	}
	if kept.Listen == "" || kept.Listen == linkNone {
		return nil
	}
	at := link.AddrPort(kept.Listen)
	err := vacantPort(at)
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return fmt.Errorf("%s is no address of this machine; if it is your router's, which passes a port on, name this machine's own here, and the router's with invite --peer", at)
	}
	return err
}

// vacantPort reports an error if IP:PORT can't be listened on.
func vacantPort(at string) error {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return unheard(at, err)
	}
	return l.Close()
}

// unheard says why nobody can listen at an address.
func unheard(at string, err error) error {
	host, port, split := net.SplitHostPort(at)
	if split != nil || !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen on %s: %w", at, err)
	}
	return fmt.Errorf("port %s of %s is taken: another program listens there", port, host)
}

// checkListen refuses what is no address to listen at; whether it is free shows later.
func checkListen(at string) error {
	_, port, err := net.SplitHostPort(at)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return control.WrongInput{Err: fmt.Errorf("--listen %q is not of the form IP:PORT", at)}
	}
	return nil
}

// listen takes the address. A taken port is replaced by a free one only where
// nobody asked for it by number.
func listen(o control.UpOptions, say control.Progress) (net.Listener, error) {
	if err := checkListen(o.Listen); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", o.Listen)
	if err == nil {
		return l, nil
	}
	host, port, split := net.SplitHostPort(o.Listen)
	if split != nil || !o.AnyPort || !errors.Is(err, syscall.EADDRINUSE) {
		return nil, unheard(o.Listen, err)
	}
	if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
		return nil, fmt.Errorf("listen on a free port: %w", err)
	}
	say(fmt.Sprintf("port %s is taken: the page and the API are at %s", port, l.Addr()))
	return l, nil
}

// reach is where this machine reaches the listener, and by which host names, all
// of them addresses, others do. A wildcard is no address that a program can call.
func reach(at net.Addr) (here string, others []string) {
	tcp, ok := at.(*net.TCPAddr)
	switch {
	case !ok || tcp.IP.IsLoopback():
		return at.String(), nil
	case !tcp.IP.IsUnspecified():
		return at.String(), []string{tcp.IP.String()}
	}
	own, _ := net.InterfaceAddrs() // without them, others have no name for this machine
	for _, a := range own {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			others = append(others, ip.IP.String())
		}
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port)), others
}
