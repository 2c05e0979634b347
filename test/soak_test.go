//go:build soak

package test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"daulat/core/job"
	"daulat/link/session"
	"daulat/model/synthetic"
	"daulat/node"
	"daulat/test/child"
	"daulat/ui/control"
)

// What `up` may grow by, from twenty rounds after its start to its end.
const (
	moreDescriptors = 64
	moreMemory      = 256 << 20 // bytes of resident memory
)

// restartAfter is how long a node runs before it is stopped or killed.
const restartAfter = 75 * time.Second

// TestSoak uses one network for SOAK minutes as a rough life would: questions
// through the gateway, two providers in processes of their own that are killed
// and started again, liars in between, and a node that is stopped or killed.
// What happens is drawn from SEED; when it happens depends on the machine.
//
// All questions that nothing disturbed must be answered. In the end no coin is
// lost or made, no session is left behind, every provider signed for what was
// vouched for and for at most one answer more in each session, and no node grew.
func TestSoak(t *testing.T) {
	minutes, seed := number64(t, "SOAK", 10), number64(t, "SEED", 1)
	dir := t.TempDir()
	s := &soak{
		bystander: &bystander{t: t, home: filepath.Join(dir, "home"), prices: map[string]uint64{}},
		random:    rand.New(rand.NewPCG(seed, 1)),
		start:     time.Now(),
	}
	s.say("%d minutes with seed %d", minutes, seed)
	s.up("--challenge-window", "2")
	s.genesis = s.supply()
	for i, price := range []int{800, 700} {
		s.sellers = append(s.sellers, s.open(filepath.Join(dir, fmt.Sprint("seller", i)), price))
	}
	for end := s.start.Add(time.Duration(minutes) * time.Minute); time.Now().Before(end) && !t.Failed(); {
		s.round()
	}
	s.end()
	if !t.Failed() {
		s.write(minutes, seed)
	}
}

func number64(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		t.Fatalf("%s is %q, not a whole number above 0", name, text)
	}
	return n
}

type soak struct {
	*bystander
	random  *rand.Rand
	start   time.Time
	genesis uint64
	sellers []*seller

	since  time.Time // the node's start
	rounds int       // since then
	first  usage     // of the node, after twenty rounds

	counts struct{ rounds, kills, stops, crashes, liars, verified, disturbed int }
	most   usage // growth
}

func (s *soak) say(format string, args ...any) {
	fmt.Printf("%7.1fs  %s\n", time.Since(s.start).Seconds(), fmt.Sprintf(format, args...))
}

// up starts the node, which keeps the ports of its ledger.
func (s *soak) up(args ...string) {
	s.t.Helper()
	s.network = up(s.t, s.home, args...)
	s.since, s.rounds, s.first = time.Now(), 0, usage{}
}

// round is a burst of questions and what goes wrong meanwhile.
func (s *soak) round() {
	s.counts.rounds++
	if s.rounds++; s.rounds == 20 {
		s.first = s.usage()
	}
	if time.Since(s.since) > restartAfter {
		s.restart()
		return
	}
	switch roll := s.random.IntN(100); {
	case roll < 55:
		s.burst(nil)
	case roll < 85:
		s.burst(func() {
			x := s.sellers[s.random.IntN(len(s.sellers))]
			x.Kill()
			s.counts.kills++
			s.sellers[slices.Index(s.sellers, x)] = s.open(x.home, x.price)
		})
	case roll < 90:
		s.liar()
	default:
		s.verify()
	}
	if s.counts.rounds%50 == 0 {
		s.say("%d answers, %d liars caught, %d providers killed, the node ended %d times; it uses %s",
			len(s.prices), s.counts.liars, s.counts.kills, s.counts.stops+s.counts.crashes, s.usage())
	}
}

// burst asks a few questions at once. A disturbance comes at a drawn time while
// they are answered, and then some may fail.
func (s *soak) burst(disturb func()) {
	var all sync.WaitGroup
	for range 1 + s.random.IntN(4) {
		tokens, stream := 1+s.random.IntN(120), s.random.IntN(2) == 0
		all.Go(func() {
			err := s.question(tokens, stream)
			s.mu.Lock()
			defer s.mu.Unlock()
			if err != nil && disturb != nil {
				s.counts.disturbed++
			} else if err != nil {
				s.t.Errorf("a question that nothing disturbed: %v\n%s", err, s.log())
			}
		})
	}
	if disturb != nil {
		time.Sleep(time.Duration(s.random.IntN(150)) * time.Millisecond)
		disturb()
	}
	all.Wait()
}

// log is the end of the node's.
func (s *soak) log() string {
	text, err := os.ReadFile(filepath.Join(s.home, "daulat.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

// restart ends the node in the middle of a burst, well or as a power cut would.
func (s *soak) restart() {
	s.grown()
	s.burst(func() {
		if s.random.IntN(2) == 0 {
			s.counts.stops++
			stop(s.t, s.network.Process)
			return
		}
		s.counts.crashes++
		s.network.Kill()
	})
	s.up()
}

// question asks through the gateway and notes the answer.
func (s *soak) question(tokens int, stream bool) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	body := fmt.Sprintf(`{"model":%q,"max_tokens":%d,"stream":%t,"messages":[{"role":"user","content":"What time is it?"}]}`, s.network.Model, tokens, stream)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.network.API+"/chat/completions", strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+s.network.Token)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	last, err := final(io.LimitReader(resp.Body, 4<<20), stream && resp.StatusCode == http.StatusOK)
	if err != nil {
		return err
	}
	if last.Error.Message != "" || last.Daulat.Receipt == "" {
		return fmt.Errorf("status %d: %s", resp.StatusCode, last.Error.Message)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.prices[last.Daulat.Receipt]; twice {
		return fmt.Errorf("two answers have receipt %s", last.Daulat.Receipt)
	}
	s.prices[last.Daulat.Receipt] = last.Daulat.Price
	return nil
}

// final reads an answer and returns what names its receipt or error.
func final(body io.Reader, stream bool) (last completion, err error) {
	if !stream {
		return last, json.NewDecoder(body).Decode(&last)
	}
	for lines := bufio.NewScanner(body); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			return last, nil
		}
		c, err := parse[completion](data)
		if err != nil || c.Error.Message != "" {
			return c, err
		}
		if c.Daulat.Receipt != "" {
			last = c
		}
	}
	return last, io.ErrUnexpectedEOF
}

// liar has the node start a provider that lies and asks for the lowest price.
func (s *soak) liar() {
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	defer cancel()
	at, err := node.Runtime{}.Attach(s.home)
	if err != nil {
		s.t.Errorf("a liar: %v", err)
		return
	}
	r, err := at.Operations.Liar(ctx, func(string) {})
	if err != nil || r.Verdict != "disagree" {
		s.t.Errorf("a liar: %s %v\n%s", r.Line, err, s.log())
	}
	s.counts.liars++
}

// verify settles the session of a drawn answer and has a stranger check it.
func (s *soak) verify() {
	s.mu.Lock()
	held := slices.Sorted(maps.Keys(s.prices))
	s.mu.Unlock()
	if len(held) == 0 {
		return
	}
	receipt := held[s.random.IntN(len(held))]
	if !s.export(receipt) {
		return
	}
	dir := filepath.Dir(s.home)
	r := must[control.Report](s.t, filepath.Join(dir, "stranger"), "verify", filepath.Join(dir, receipt), "--trust", s.network.Trust)
	if r.Verdict != "agree" || r.Receipt != receipt {
		s.t.Errorf("receipt %s: %s", receipt, r.Line)
	}
	s.counts.verified++
}

// A seller is a process that runs `daulat provide`.
type seller struct {
	*child.Process
	home    string
	price   int
	account string
}

// open starts a provider in a home, new or not, and waits until it serves.
func (s *soak) open(home string, price int) *seller {
	s.t.Helper()
	if _, err := os.Stat(home); err != nil {
		s.stock(home)
	}
	x := &seller{home: home, price: price}
	x.Process = launch(s.t, home, "provide", "--ledger", s.network.Ledger, "--model", s.network.Model,
		"--input-price", "150", "--output-price", fmt.Sprint(price))
	go s.fund(x)
	var serving control.Providing
	if err := x.Ready(patience, &serving); err != nil {
		s.t.Fatal(err)
	}
	x.account = serving.Account
	return x
}

// stock gives a new home the noise model.
func (s *soak) stock(home string) {
	s.t.Helper()
	data, err := synthetic.Llama(1, synthetic.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	file := home + ".gguf"
	if err := os.WriteFile(file, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
	must[map[string]any](s.t, home, "model", "import", file, "--name", s.network.Model, "--licence", "Apache-2.0")
}

var begs = regexp.MustCompile(`daulat wallet send (daulat1[a-z0-9]{38,}) 1`)

// fund gives a provider the coin that it asks for, if it does.
func (s *soak) fund(x *seller) {
	for {
		select {
		case <-x.Ended():
			return
		case <-time.After(50 * time.Millisecond):
		}
		if m := begs.FindStringSubmatch(x.Said()); m != nil {
			_ = run(s.t.Context(), s.t, s.home, "wallet", "send", m[1], "1") // without it the provider never gets ready
			return
		}
	}
}

// A usage is what a process holds.
type usage struct{ descriptors, memory int }

func (u usage) String() string {
	return fmt.Sprintf("%d descriptors and %d MiB", u.descriptors, u.memory>>20)
}

func (s *soak) usage() (u usage) {
	s.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", s.network.PID())
	files, err := os.ReadDir(proc + "fd")
	if err != nil {
		s.t.Fatal(err)
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(rest, &u.memory); err != nil {
		s.t.Fatalf("read the memory of a process: %v", err)
	}
	return usage{len(files), u.memory << 10}
}

// grown compares what the node holds now with what it held after twenty rounds.
func (s *soak) grown() {
	if s.first == (usage{}) {
		return // it ran too shortly to tell
	}
	now := s.usage()
	growth := usage{now.descriptors - s.first.descriptors, now.memory - s.first.memory}
	s.most = usage{max(s.most.descriptors, growth.descriptors), max(s.most.memory, growth.memory)}
	if growth.descriptors > moreDescriptors || growth.memory > moreMemory {
		s.t.Errorf("the node grew from %s to %s", s.first, now)
	}
}

// supply is all that anybody owns, escrow included.
func (s *soak) supply() (sum uint64) {
	s.t.Helper()
	resp, err := http.Get(s.network.REST + "/cosmos/bank/v1beta1/denom_owners/udlt?pagination.limit=10000")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var owners struct {
		Owners []struct {
			Balance struct {
				Amount uint64 `json:"amount,string"`
			} `json:"balance"`
		} `json:"denom_owners"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&owners); err != nil {
		s.t.Fatal(err)
	}
	for _, o := range owners.Owners {
		sum += o.Balance.Amount
	}
	return sum
}

// end stops everything and compares what is left with what was promised.
func (s *soak) end() {
	s.say("stopping; checking what is left")
	s.grown()
	stop(s.t, s.network.Process) // settles what is open
	s.up()
	sessions := s.released()
	if sum := s.supply(); sum != s.genesis {
		s.t.Errorf("all accounts hold %d udlt, and %d at genesis", sum, s.genesis)
	}
	s.balances(sessions)
	serves := map[string]*session.Journal{}
	own := must[control.Status](s.t, s.home, "status").Provider.Address
	for _, x := range s.sellers {
		if err := x.Stop(); err != nil {
			s.t.Error(err)
		}
	}
	stop(s.t, s.network.Process)
	for _, x := range s.sellers {
		serves[x.account] = s.journalOf(x.home)
	}
	serves[own] = s.journalOf(s.home)
	s.compare(sessions, serves)
}

func (s *soak) journalOf(home string) *session.Journal {
	return (&bystander{t: s.t, home: home}).journal("provider.db")
}

// balances compares what sellers have with what the ledger's sessions paid them.
func (s *soak) balances(sessions []job.Session) {
	c := s.network.ledger(s.t)
	for _, x := range s.sellers {
		paid := uint64(1) // its first coin
		for _, one := range sessions {
			if one.Provider == x.account {
				paid += one.Escrow.Paid
			}
		}
		if has, err := c.Balance(s.t.Context(), x.account); err != nil || has != paid {
			s.t.Errorf("provider %s has %d udlt, and was paid %d: %v", x.account, has, paid, err)
		}
	}
}

// compare wants the two sides of each session to agree on all that was vouched
// for, and the provider to have signed for at most one answer more.
func (s *soak) compare(sessions []job.Session, serves map[string]*session.Journal) {
	asks := s.journal("consumer.db")
	known := map[string]uint64{}
	for _, one := range sessions {
		if one.Escrow.Paid+one.Escrow.Refunded != one.Escrow.Deposited {
			s.t.Errorf("session %d: %d of %d udlt left escrow", one.ID, one.Escrow.Paid+one.Escrow.Refunded, one.Escrow.Deposited)
		}
		vouched, err := asks.Transcripts(one.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		var tally job.Tally
		for _, v := range vouched {
			before := tally.Amount
			if tally, err = tally.Add(v.Leaf(), one.Price); err != nil {
				s.t.Fatal(err)
			}
			known[fmt.Sprintf("%d-%d", one.ID, v.Ask.Seq)] = tally.Amount - before
		}
		if one.Escrow.Paid != tally.Amount {
			s.t.Errorf("session %d paid %d udlt for answers worth %d (%s)", one.ID, one.Escrow.Paid, tally.Amount, one.Reason)
		}
		j := serves[one.Provider]
		if j == nil {
			if len(vouched) > 0 {
				s.t.Errorf("session %d: a liar was paid", one.ID)
			}
			continue
		}
		signed, err := j.Transcripts(one.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(signed) < len(vouched) || len(signed) > len(vouched)+1 {
			s.t.Errorf("session %d: %d answers were signed for and %d vouched for", one.ID, len(signed), len(vouched))
		}
	}
	for name, price := range s.prices {
		if kept, ok := known[name]; !ok || kept != price {
			s.t.Errorf("answer %s was given for %d udlt, and the journal has %d", name, price, kept)
		}
	}
	s.say("%d sessions agree with the journals of both sides", len(sessions))
}

const soakHead = `# Soak runs

` + "`make soak`" + ` adds a line for each run that passed: see TestSoak in soak_test.go for what it does and wants. Growth is the
most that a node's resident memory and open descriptors grew between its twentieth round and its end; allowed are 256 MiB and 64.

| Date | Machine | Go | Minutes | Seed | Answers | Failed in a disturbance | Providers killed | Liars caught | Verified by a stranger | Node stopped / killed | Growth |
|---|---|---|---|---|---|---|---|---|---|---|---|
`

// write adds a line to the log.
func (s *soak) write(minutes, seed uint64) {
	const file = "soak/LOG.md"
	log, err := os.ReadFile(file)
	if err != nil {
		log = []byte(soakHead)
	}
	c := s.counts
	line := fmt.Sprintf("| %s | %s, %d cores | %s | %d | %d | %d | %d | %d | %d | %d | %d / %d | %d MiB, %d descriptors |\n",
		s.start.UTC().Format(time.DateOnly), processor(), runtime.NumCPU(), runtime.Version(), minutes, seed, len(s.prices), c.disturbed,
		c.kills, c.liars, c.verified, c.stops, c.crashes, s.most.memory>>20, s.most.descriptors)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, append(log, line...), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.say("added to test/%s: %s", file, line)
}

func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(info); m != nil {
		return string(m[1])
	}
	return runtime.GOARCH
}
