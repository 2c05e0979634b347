package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"daulat/core/canon"
	"daulat/core/invite"
	"daulat/ledger/client"
	"daulat/link"
)

// ledgerProtocol is how a guest reaches the ledger through a peer (spec/link.md).
const ledgerProtocol = "/daulat/ledger/1"

// lies are what a peer may change in the answers of an honest one.
var lies = map[string]func([]byte) []byte{
	"nothing": func(answer []byte) []byte { return answer },
	"height": func(answer []byte) []byte {
		return heights.ReplaceAllFunc(answer, func(field []byte) []byte {
			parts := heights.FindSubmatch(field)
			n, _ := strconv.Atoi(string(parts[2])) // it matched digits
			return []byte(fmt.Sprintf(`"%s":"%d"`, parts[1], n+1000))
		})
	},
	"header": func(answer []byte) []byte {
		return roots.ReplaceAllFunc(answer, func(field []byte) []byte {
			changed := bytes.Clone(field)
			at := len(`"app_hash":"`)
			if changed[at]++; changed[at] == '9'+1 || changed[at] == 'F'+1 {
				changed[at] = '0'
			}
			return changed
		})
	},
}

// found is as what a home finds a lie that it is told.
var found = map[string]error{"height": client.ErrHeight, "header": client.ErrRoot}

var (
	heights = regexp.MustCompile(`"(latest_block_height|last_block_height)":"([0-9]{1,15})"`)
	roots   = regexp.MustCompile(`"app_hash":"[0-9A-F]{64}"`)
)

// liarKey is the identity of the peer that lies.
func liarKey() (canon.PrivateKey, error) { return canon.KeyFromSeed(bytes.Repeat([]byte{77}, 32)) }

// lie serves the ledger of an honest peer at an address, changed, until ctx ends.
func lie(ctx context.Context, how, at, honest string) error {
	change, ok := lies[how]
	if !ok {
		return fmt.Errorf("there is no lie %q", how)
	}
	key, err := liarKey()
	if err != nil {
		return err
	}
	listen, err := link.ListenAddr(at)
	if err != nil {
		return err
	}
	peer, err := link.Open(link.Config{Key: key, Listen: []string{listen}})
	if err != nil {
		return err
	}
	defer peer.Close()
	other, err := canon.KeyFromSeed(bytes.Repeat([]byte{78}, 32))
	if err != nil {
		return err
	}
	caller, err := link.Open(link.Config{Key: other, Named: []string{honest}})
	if err != nil {
		return err
	}
	defer caller.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return caller.DialConn(ctx, []string{honest}, ledgerProtocol)
	}}}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := pass(client, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(change(answer)) // the guest may be gone
	})}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := json.NewEncoder(os.Stdout).Encode(peer.Addrs()); err != nil {
		return err
	}
	if err := server.Serve(peer.Listen(ledgerProtocol, 64)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func pass(client *http.Client, r *http.Request) ([]byte, error) {
	asked, err := http.NewRequestWithContext(r.Context(), r.Method, "http://localhost"+r.URL.RequestURI(), r.Body)
	if err != nil {
		return nil, err
	}
	asked.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	got, err := client.Do(asked)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	return io.ReadAll(got.Body)
}

// checkEclipse cuts an asker off from all peers but one, which lies, and lets others
// join by lines that name it before the honest ones.
func checkEclipse(ctx context.Context, t *trial) (string, error) {
	t.say("an asker that can reach a stranger's peer beside the validators'")
	c, g, err := t.dealing(ctx)
	if err != nil {
		return "", err
	}
	liar, err := c.at("liar", 30)
	if err != nil {
		return "", err
	}
	line, honest, err := c.strangersLine(ctx, false)
	if err != nil {
		return "", err
	}
	victim, err := c.at("victim", 31)
	if err != nil {
		return "", err
	}
	v := &guests{provider: g.provider, asker: victim, home: filepath.Join(c.temp, "victim"), grant: g.grant}
	if err := v.ask(ctx, c, "--network", line); err != nil {
		return "", err
	}
	if err := part(map[*host]string{victim: address(31)}, side(c.validators...)); err != nil {
		return "", err
	}
	for _, how := range []string{"nothing", "height", "header", "nothing"} {
		t.say("all but one peer are cut off, and that one changes " + how)
		p, err := t.startSelf(ctx, liar, &[]string{}, "-lie", how, "-at", address(30)+":4760", "-honest", honest)
		if err != nil {
			return "", err
		}
		if how == "nothing" {
			err = v.ask(ctx, c)
		} else {
			err = v.deceived(ctx, c, found[how])
		}
		p.Kill()
		if err != nil {
			return "", fmt.Errorf("a peer that changes %s: %w", how, err)
		}
	}
	if err := mend(map[*host]string{victim: address(31)}, side(c.validators...)); err != nil {
		return "", err
	}
	if err := v.ask(ctx, c); err != nil {
		return "", err
	}
	return "eclipse=ok", c.outlived(ctx, t, liar, g.provider, g.grant, honest)
}

// outlived lets a newcomer join by a line that names liars first, and asks.
func (c *community) outlived(ctx context.Context, t *trial, liar, provider *host, grant uint64, honest string) error {
	for i, how := range []string{"height", "header"} {
		t.say("a newcomer's first peer changes " + how + ", and the others are honest")
		line, _, err := c.strangersLine(ctx, true)
		if err != nil {
			return err
		}
		p, err := t.startSelf(ctx, liar, &[]string{}, "-lie", how, "-at", address(30)+":4760", "-honest", honest)
		if err != nil {
			return err
		}
		newcomer, err := c.at(fmt.Sprintf("newcomer%d", i), 32+i)
		if err != nil {
			p.Kill()
			return err
		}
		v := &guests{provider: provider, asker: newcomer, home: filepath.Join(c.temp, fmt.Sprintf("newcomer%d", i)), grant: grant}
		err = v.ask(ctx, c, "--network", line)
		p.Kill()
		if err != nil {
			return fmt.Errorf("with a peer that changes %s first: %w", how, err)
		}
	}
	return nil
}

// strangersLine is an invite that names all validators and the liar, first or last,
// and where the first of them is.
func (c *community) strangersLine(ctx context.Context, first bool) (line, honest string, err error) {
	lines, err := c.invites(ctx, 1, 0, 1, 2, 3)
	if err != nil {
		return "", "", err
	}
	l, err := invite.ParseLine(lines[0])
	if err != nil {
		return "", "", err
	}
	key, err := liarKey()
	if err != nil {
		return "", "", err
	}
	honest = l.Peers[0]
	liar := fmt.Sprintf("/ip4/%s/tcp/4760/p2p/%s", address(30), link.PeerID(key.Public()))
	if first {
		l.Peers = append([]string{liar}, l.Peers...)
	} else {
		l.Peers = append(l.Peers, liar)
	}
	return l.Encode(), honest, nil
}

// deceived wants an ask to end soon, without an answer and with one sentence that
// says first who lied, and how; the others could not be reached.
func (g *guests) deceived(ctx context.Context, c *community, lie error) error {
	key, err := liarKey()
	if err != nil {
		return err
	}
	o, err := c.run(ctx, g.asker, startLimit, "ask", "--home", g.home, "--max-tokens", "8", "hello")
	if err == nil && (o.status == 0 || o.stdout != "" || strings.Count("\n"+o.stderr, "\ndaulat: ") != 1) {
		err = fmt.Errorf("an asker that was lied to ended with status %d: %s%s", o.status, o.stdout, o.stderr)
	}
	told := fmt.Sprintf("/p2p/%s lied (", link.PeerID(key.Public()))
	at, gone := strings.Index(o.stderr, told), strings.Index(o.stderr, "could not be reached")
	if err == nil && (at < 0 || gone < at || !strings.Contains(o.stderr[at:gone], lie.Error())) {
		err = fmt.Errorf("an asker that was lied to does not say first %q, %q: %s", told, lie, o.stderr)
	}
	if err == nil {
		c.say("it said: " + o.stderr[strings.LastIndex("\n"+o.stderr, "\ndaulat: "):])
	}
	return err
}
