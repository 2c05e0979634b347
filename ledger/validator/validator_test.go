package validator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daulat/ledger/app"
	"daulat/ledger/client"
	"daulat/ledger/validator"
)

const chain = "daulat-test"

// key makes an account that is the same at each call.
func key(t testing.TB, seed byte) *client.AccountKey {
	t.Helper()
	k, err := client.NewAccountKey(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The accounts of every test ledger.
const (
	operatorSeed byte = iota + 1
	aliceSeed
	bobSeed
	strangerSeed
)

const fortune = 1_000_000_000 // udlt

func genesis(t testing.TB) validator.Genesis {
	return validator.Genesis{
		ChainID:          chain,
		ValidatorAccount: key(t, operatorSeed).Account(),
		Accounts: []validator.Funding{
			{Address: key(t, aliceSeed).Account(), Amount: fortune},
			{Address: key(t, bobSeed).Account(), Amount: fortune},
		},
		CloseWindow:     1,
		ChallengeWindow: 1,
	}
}

func start(t testing.TB, home string) *validator.Validator {
	t.Helper()
	v, err := validator.Start(t.Context(), validator.Config{Home: home, ChainID: chain, TimeoutCommit: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, v) })
	return v
}

func stop(t testing.TB, v *validator.Validator) {
	t.Helper()
	if err := v.Stop(); err != nil {
		t.Error(err)
	}
}

func as(t testing.TB, v *validator.Validator, seed byte) *client.Client {
	return client.New(v.RPC(), chain, key(t, seed))
}

func balance(t testing.TB, c *client.Client, address string) uint64 {
	t.Helper()
	b, err := c.Balance(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestInitRefusesAnExistingLedger(t *testing.T) {
	home := t.TempDir()
	if err := validator.Init(home, genesis(t)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(home, "config", "genesis.json")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := validator.Init(home, genesis(t)); !errors.Is(err, validator.ErrExists) {
		t.Fatalf("second init: %v", err)
	}
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(before, after) {
		t.Fatalf("a refused init changed the genesis: %v", err)
	}
}

func TestInitRefusesBadGenesis(t *testing.T) {
	alice := validator.Funding{Address: key(t, aliceSeed).Account(), Amount: 1}
	for want, change := range map[string]func(*validator.Genesis){
		"chain_id":          func(g *validator.Genesis) { g.ChainID = "" },
		"validator account": func(g *validator.Genesis) { g.ValidatorAccount = "" },
		"account \"cosmos1": func(g *validator.Genesis) {
			g.Accounts[0].Address = "cosmos1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnxlkc8n"
		},
		"funded twice":    func(g *validator.Genesis) { g.Accounts = append(g.Accounts, alice) },
		"no voting power": func(g *validator.Genesis) { g.Stake = 1 },
		"63 bits":         func(g *validator.Genesis) { g.Accounts[0].Amount = 1 << 63 },
		"window":          func(g *validator.Genesis) { g.CloseWindow = 1 << 40 },
	} {
		home, g := t.TempDir(), genesis(t)
		change(&g)
		if err := validator.Init(home, g); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
		if _, err := os.Stat(filepath.Join(home, "config", "genesis.json")); err == nil {
			t.Errorf("%s: left a genesis behind", want)
		}
	}
}

func TestStartRefusesOtherChainAndLostKeyState(t *testing.T) {
	home := t.TempDir()
	if _, err := validator.Start(t.Context(), validator.Config{Home: home}); err == nil {
		t.Fatal("a home without genesis started")
	}
	if err := validator.Init(home, genesis(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := validator.Start(t.Context(), validator.Config{Home: home, ChainID: "other"}); err == nil || !strings.Contains(err.Error(), "other") {
		t.Fatalf("another chain: %v", err)
	}
	state := filepath.Join(home, "data", "priv_validator_state.json")
	if err := os.Remove(state); err != nil {
		t.Fatal(err)
	}
	if _, err := validator.Start(t.Context(), validator.Config{Home: home}); !errors.Is(err, validator.ErrLost) {
		t.Fatalf("a validator that forgot what it signed: %v", err)
	}
}

func TestStopAndResume(t *testing.T) {
	home := t.TempDir()
	if err := validator.Init(home, genesis(t)); err != nil {
		t.Fatal(err)
	}
	v := start(t, home)
	c := as(t, v, aliceSeed)
	to := key(t, strangerSeed).Account()
	if err := c.Send(t.Context(), to, 7); err != nil {
		t.Fatal(err)
	}
	height, _, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address, hash := v.RPCAddress(), v.GenesisHash()
	stop(t, v)

	v = start(t, home)
	c = as(t, v, aliceSeed)
	if got := balance(t, c, to); got != 7 {
		t.Fatalf("balance after a restart: %d", got)
	}
	if after, _, err := c.Status(t.Context()); err != nil || after <= height {
		t.Fatalf("height %d before, %d after a restart: %v", height, after, err)
	}
	if v.RPCAddress() != address || v.GenesisHash() != hash {
		t.Fatalf("address %s and hash %s became %s and %s", address, hash, v.RPCAddress(), v.GenesisHash())
	}
	if err := c.Send(t.Context(), to, 7); err != nil {
		t.Fatalf("first transaction after a restart: %v", err)
	}
	rpc, err := client.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	if trust, err := client.New(rpc, chain, nil).Trust(t.Context()); err != nil || trust.GenesisHash != hash {
		t.Fatalf("trust %v: %v", trust, err)
	}
}

// CometBFT's own list of what waits is as short as the application's.
func TestWaitingIsBounded(t *testing.T) {
	if got := validator.CometConfig(validator.Config{}).Mempool; got.MaxTxBytes != app.MaxTxBytes || got.Size != app.MaxWaiting || got.MaxTxsBytes != app.MaxWaitingBytes {
		t.Fatalf("%d transactions of %d bytes, %d in all, wait", got.Size, got.MaxTxBytes, got.MaxTxsBytes)
	}
}

// killHome tells a copy of the test binary to run a node until it is killed.
const killHome = "DAULAT_TEST_NODE_HOME"

// children are what else a copy of the test binary may be told to run in a home.
var children = map[string]func(home string) int{}

func TestMain(m *testing.M) {
	if home := os.Getenv(killHome); home != "" {
		runUntilKilled(home)
	}
	for name, run := range children {
		if home := os.Getenv(name); home != "" {
			os.Exit(run(home))
		}
	}
	os.Exit(m.Run())
}

func runUntilKilled(home string) {
	v, err := validator.Start(context.Background(), validator.Config{Home: home, TimeoutCommit: 50 * time.Millisecond})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(v.RPCAddress())
	select {}
}

func TestResumesAfterKill(t *testing.T) {
	home := t.TempDir()
	if err := validator.Init(home, genesis(t)); err != nil {
		t.Fatal(err)
	}
	to, total := key(t, strangerSeed).Account(), uint64(0)
	for range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), killHome+"="+home)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var address string
		if _, err := fmt.Fscanln(out, &address); err != nil {
			t.Fatalf("node did not start: %v", err)
		}
		rpc, err := client.Dial(address)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.New(rpc, chain, key(t, aliceSeed)).Send(t.Context(), to, 5); err != nil {
			t.Fatal(err)
		}
		total += 5
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); err == nil {
			t.Fatal("a killed node ended well")
		}
	}
	if got := balance(t, as(t, start(t, home), aliceSeed), to); got != total {
		t.Fatalf("balance after kills: %d, acknowledged were %d", got, total)
	}
}
