package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"daulat/test/child"
	"daulat/ui/control"
)

// network is a running `daulat up`.
type network struct {
	control.Ready
	home string
}

// withNetwork runs `daulat up` in a fresh home of that name while do runs, and
// wants it to end well.
func (t *tools) withNetwork(ctx context.Context, name string, args []string, do func(*network) error) error {
	u := &network{home: filepath.Join(t.temp, name)}
	cmd := t.command(ctx, t.daulat, append([]string{"up", "--json", "--listen", "127.0.0.1:0", "--home", u.home}, args...)...)
	p, err := child.Start(cmd, limit, &u.Ready) // which may download a model
	if err != nil {
		return fmt.Errorf("%w (`make build` makes the program)", err)
	}
	return said(p, errors.Join(do(u), p.Stop()))
}

// said adds what a process said to an error.
func said(p *child.Process, err error) error {
	if err != nil {
		err = fmt.Errorf("%w\n%s said: %s", err, p, p.Said())
	}
	return err
}

// clients runs the official clients, and wants the same answers from each.
func (t *tools) clients(ctx context.Context, u *network) error {
	commands := [][]string{{"python3", "openai_client.py"}, {"node", "openai_client.cjs"}, {t.openaigo}}
	seed, err := u.longSeed(ctx)
	if err != nil {
		return err
	}
	run := func(command []string, result any, more ...string) error {
		cmd := t.command(ctx, command[0], append(command[1:], more...)...)
		cmd.Env = append(cmd.Env, "DAULAT_API="+u.API, "DAULAT_TOKEN="+u.Token, fmt.Sprint("DAULAT_SEED=", seed))
		if result == nil {
			return quiet(cmd)
		}
		return answerOf(cmd, result)
	}
	type answers struct{ Chat, Completion string }
	var first answers
	for i, command := range commands {
		var got answers
		if err := run(command, &got); err != nil {
			return err
		}
		if got.Chat == "" || got.Completion == "" || i > 0 && got != first {
			return fmt.Errorf("%s was answered %q, and the client before it %q", command[0], got, first)
		}
		first = got
	}
	release, err := u.crowd(ctx)
	if err != nil {
		return err
	}
	defer release()
	for _, command := range commands {
		if err := run(command, nil, "busy"); err != nil {
			return err
		}
	}
	return nil
}

// places is how many requests one token may have at a time.
const places = 8

// crowd takes every place of the token, each by a request whose body does not
// come. The gateway gives such a request up after half a minute.
func (u *network) crowd(ctx context.Context) (release func(), err error) {
	var conns []net.Conn
	release = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	for attempt := 0; len(conns) < places; attempt++ {
		conn, err := u.occupy(ctx)
		if err == nil {
			conns = append(conns, conn)
			continue
		}
		if attempt == 100 {
			release()
			return nil, err
		}
		time.Sleep(100 * time.Millisecond) // an answer that a client left still ends
	}
	return release, nil
}

// occupy sends a request without its body. The gateway asks for the body once
// the request has a place.
func (u *network) occupy(ctx context.Context) (net.Conn, error) {
	api, err := url.Parse(u.API)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", api.Host)
	if err != nil {
		return nil, err
	}
	const asks = "HTTP/1.1 100"
	status := make([]byte, len(asks))
	_, err = fmt.Fprintf(conn, "POST %s/chat/completions HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
		api.Path, api.Host, u.Token)
	err = errors.Join(err, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	if err == nil {
		_, err = io.ReadFull(conn, status)
	}
	if err != nil || string(status) != asks {
		conn.Close()
		return nil, fmt.Errorf("a request that should have got a place got %q: %v", status, err)
	}
	return conn, nil
}

func (t *tools) page(ctx context.Context, u *network) error {
	show := func(variable, address string) error {
		cmd := t.command(ctx, "node", "page.cjs")
		cmd.Env = append(cmd.Env, variable+"="+address, "CHROMIUM="+t.chromium, "PICTURES="+t.cache)
		return quiet(cmd)
	}
	if err := show("DAULAT_PAGE", u.Page); err != nil {
		return err
	}
	return t.sell(ctx, u, "", func(p control.Providing) error {
		if err := quiet(t.command(ctx, t.daulat, "ask", "--home", u.home, "--max-tokens", "8", "--provider", p.Account, "hello")); err != nil {
			return err
		}
		return show("DAULAT_SELLER", p.Page)
	})
}

// questions are what even a small model knows, with words one of which a right
// answer has.
var questions = []struct {
	ask  string
	want []string
}{
	{"What is the capital of Indonesia?", []string{"Jakarta"}},
	{"What is the capital of France?", []string{"Paris"}},
	{"How many days are in a week?", []string{"7", "seven"}},
}

// questions asks each and wants its answer.
func (u *network) questions(ctx context.Context) error {
	if u.Model == "noise" {
		return errors.New("the real model could not be had, and noise knows no answers")
	}
	for _, q := range questions {
		answer, err := u.ask(ctx, q.ask)
		if err != nil {
			return fmt.Errorf("%s %w", q.ask, err)
		}
		right := false
		for _, word := range q.want {
			right = right || strings.Contains(answer, word)
		}
		if !right {
			return fmt.Errorf("%s %q has none of %q", q.ask, answer, q.want)
		}
	}
	return nil
}

// ask puts one question at temperature 0.
func (u *network) ask(ctx context.Context, question string) (string, error) {
	text, _, err := u.chat(ctx, map[string]any{"temperature": 0, "max_tokens": 32, "messages": []message{{"user", question}}})
	return text, err
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// chat puts one request, and returns the answer and why it ended.
func (u *network) chat(ctx context.Context, request map[string]any) (text, finish string, err error) {
	request["model"] = u.Model
	body, err := json.Marshal(request)
	if err != nil {
		return "", "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.API+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", "", err
	}
	r.Header.Set("Authorization", "Bearer "+u.Token)
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", "", err
	}
	defer reply.Body.Close()
	var got struct {
		Choices []struct {
			Message message
			Finish  string `json:"finish_reason"`
		}
		Error struct{ Message string }
	}
	if err := json.NewDecoder(io.LimitReader(reply.Body, 1<<20)).Decode(&got); err != nil {
		return "", "", err
	}
	if len(got.Choices) != 1 {
		return "", "", fmt.Errorf("status %d: %s", reply.StatusCode, got.Error.Message)
	}
	return got.Choices[0].Message.Content, got.Choices[0].Finish, nil
}

// longSeed is a seed with which the clients' question is answered up to its limit.
// What a seed draws depends on the home's key, so it is another one in each home.
func (u *network) longSeed(ctx context.Context) (int, error) {
	for seed := range 20 {
		_, finish, err := u.chat(ctx, map[string]any{"seed": seed, "temperature": 1, "max_tokens": 40,
			"messages": []message{{"system", "Be brief."}, {"user", "Is this noise?"}}})
		if err != nil || finish == "length" {
			return seed, err
		}
	}
	return 0, errors.New("20 answers ended before their limit")
}

// weights is the model's file in a home that has one model: its largest artifact.
func weights(home string) (path string, err error) {
	var most int64
	err = filepath.WalkDir(filepath.Join(home, "blobs"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > most {
			path, most = name, info.Size()
		}
		return err
	})
	if err == nil && path == "" {
		err = fmt.Errorf("%s holds no artifact", home)
	}
	return path, err
}
