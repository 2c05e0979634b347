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
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"daulat/core/canon"
	"daulat/data/blob"
	"daulat/link"
	"daulat/ui/control"
)

// Runtime is what the command line runs on.
type Runtime struct{}

// readyFile is where a running daulat says how to reach it.
const readyFile = "up.json"

// ErrNotRunning says that no daulat runs in a home.
var ErrNotRunning = errors.New("no daulat runs in this home")

// Guest reports whether the home has joined a network of others.
func (Runtime) Guest(home string) bool {
	guest, err := Home{home}.isGuest()
	return guest && err == nil
}

// Visit runs what Up would in a home that joined a network, or joins with
// o.Network, for as long as use runs.
func (r Runtime) Visit(ctx context.Context, o control.UpOptions, say control.Progress, use func(context.Context, control.Attached) error) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	used := make(chan error, 1)
	begun := false
	err := r.Up(ctx, o, say, func(ready control.Ready) {
		begun = true
		operations := control.Client{Base: strings.TrimSuffix(ready.API, "/v1"), Token: ready.Token}
		go func() {
			defer leave()
			used <- use(ctx, control.Attached{Ready: ready, Operations: operations})
		}()
	})
	leave()
	if begun {
		err = errors.Join(<-used, err)
	}
	return err
}

// Attach finds the daulat that runs in the home. What a killed one left behind
// is not believed: somebody else may have its port, and would get the token.
func (Runtime) Attach(home string) (control.Attached, error) {
	var a control.Attached
	data, err := os.ReadFile(Home{home}.path(readyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a, ErrNotRunning
	}
	if err == nil {
		err = json.Unmarshal(data, &a.Ready)
	}
	if err != nil {
		return a, fmt.Errorf("read %s: %w", readyFile, err)
	}
	if release, err := (Home{home}).Lock(); err == nil {
		release()
		return a, ErrNotRunning
	}
	base := strings.TrimSuffix(a.API, "/v1")
	if !alive(base) {
		return a, ErrNotRunning
	}
	a.Operations = control.Client{Base: base, Token: a.Token}
	return a, nil
}

func alive(base string) bool {
	c := http.Client{Timeout: 3 * time.Second}
	resp, err := c.Get(base + "/healthz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
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

// openLog writes what the parts have to say to a file of the home.
func openLog(h Home) (*slog.Logger, func() error, error) {
	f, err := os.OpenFile(h.path("daulat.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open log: %w", err)
	}
	log.SetOutput(f) // what libraries say through the standard logger goes the same way
	return slog.New(slog.NewTextHandler(f, nil)), func() error {
		log.SetOutput(io.Discard)
		return f.Close()
	}, nil
}

// openLink listens at the address, or for an empty one where this home's peer
// listened last, so that the addresses that others and the ledger know stay good,
// or elsewhere if that port is taken.
func (h Home) openLink(key canon.PrivateKey, address string) (*link.Node, error) {
	if address != "" {
		at, err := link.ListenAddr(address)
		if err != nil {
			return nil, control.WrongInput{Err: err}
		}
		return link.Open(link.Config{Key: key, Listen: []string{at}})
	}
	path := h.path("peer.json")
	var last struct {
		Listen []string `json:"listen"`
	}
	if err := loadJSON(path, &last); err != nil {
		return nil, err
	}
	node, err := link.Open(link.Config{Key: key, Listen: last.Listen})
	if err == nil && last.Listen != nil {
		return node, nil
	}
	if err != nil {
		if node, err = link.Open(link.Config{Key: key}); err != nil {
			return nil, err
		}
	}
	last.Listen = nil
	for _, a := range node.Addrs() {
		transport, _, _ := strings.Cut(a, "/p2p/")
		last.Listen = append(last.Listen, transport)
	}
	if err := saveJSON(path, last); err != nil {
		return nil, errors.Join(err, node.Close())
	}
	return node, nil
}

// listen takes the address, or a free port of the same host if it is taken.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	host, _, split := net.SplitHostPort(address)
	if split != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if l, again := net.Listen("tcp", net.JoinHostPort(host, "0")); again == nil {
		return l, nil
	}
	return nil, fmt.Errorf("listen: %w", err)
}
