package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

const (
	forwardedHome = "founder-home"
	forwardedAt   = "5.0.0.9"
	forwardedPort = 4700
)

// checkForward founds a network behind a home router that passes one port on: what the
// invite advises for that lets a seller and an asker behind routers of their own in.
func checkForward(ctx context.Context, t *trial) (figures string, err error) {
	v, err := t.village(symmetric)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	if v.founder, err = v.behind(forwardedHome, forwardedAt+"/24", preserving); err != nil {
		return "", err
	}
	if err := t.lab.pass(forwardedHome, forwardedPort, "192.168.1.2"); err != nil {
		return "", err
	}
	t.say("a founder behind a router that passes a port on")
	if err := v.start(ctx, v.founder, &upReady{}, "up", "--link", fmt.Sprintf("192.168.1.2:%d", forwardedPort), "--listen", "127.0.0.1:0", "--noise"); err != nil {
		return "", err
	}
	o, err := t.run(ctx, v.founder.host, startLimit, v.founder.at([]string{"invite"})...)
	if err != nil {
		return "", err
	}
	_, advice, ok := strings.Cut(o.stdout, "--peer ")
	if !ok {
		return "", fmt.Errorf("an invite to a private address says: %s", tail([]byte(o.stdout)))
	}
	v.relays = []string{strings.Replace(strings.Fields(advice)[0], "PUBLIC-IP", forwardedAt, 1)}
	if err := v.sell(ctx); err != nil {
		return "", err
	}
	line, err := v.invite(ctx)
	if err != nil {
		return "", err
	}
	t.say("an asker behind another router asks by an invite")
	var a answered
	if err := v.asker.run(ctx, &a, "ask", "--network", line, "--max-tokens", "16", "hello"); err != nil {
		return "", err
	}
	if a.Text == "" {
		return "", errors.New("the answer is empty")
	}
	return "forward=ok", v.soldBy(ctx)
}
