package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daulat/core/invite"
	"daulat/ui/control"
)

// TestAHomeOfNobodyIsNotLeft: an invite that lets nobody in leaves no folder behind
// that was made for it, and none that was there is touched.
func TestAHomeOfNobodyIsNotLeft(t *testing.T) {
	dir, quiet := filepath.Join(t.TempDir(), "home"), func(string) {}
	refused := control.WrongInput{Err: errNotLetIn{invite.ErrSpent}}
	work := func(result error) func(Home) error {
		return func(h Home) error { return errors.Join(os.WriteFile(h.path("passphrase"), nil, 0o600), result) }
	}
	if err := inHome(t.Context(), dir, quiet, work(refused)); !errors.Is(err, invite.ErrSpent) || exists(dir) {
		t.Fatalf("a spent invite: %v, and the home is there: %t", err, exists(dir))
	}
	other := errors.New("no way to the network")
	if err := inHome(t.Context(), dir, quiet, work(other)); !errors.Is(err, other) || !exists(dir) {
		t.Fatalf("another failure: %v, and the home is there: %t", err, exists(dir))
	}
	if err := inHome(t.Context(), dir, quiet, work(refused)); !errors.Is(err, invite.ErrSpent) || !exists(filepath.Join(dir, "passphrase")) {
		t.Fatalf("a spent invite in a home that was there: %v", err)
	}
}

// TestAHomeRunsOnce: two processes in one home would pay twice, and as a validator
// sign twice.
func TestAHomeRunsOnce(t *testing.T) {
	home, err := OpenHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	release, err := home.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := home.Lock(); err == nil || !strings.Contains(err.Error(), "another daulat runs in "+home.dir) {
		if err == nil {
			again()
		}
		t.Errorf("a second process in the home: %v", err)
	}
	release()
	again, err := home.Lock()
	if err != nil {
		t.Fatalf("once the first has ended: %v", err)
	}
	again()
}

// A format that no program wrote is no newer program's.
func TestDamagedFormatIsNamed(t *testing.T) {
	for format, want := range map[string]string{"": "is damaged", "\x00": "is damaged", "0": "is damaged", "6": "use a newer program"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "format"), []byte(format), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenHome(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("format %q: %v", format, err)
		}
	}
}

// Homes of earlier programs are refused where their ledger, if they have one, follows
// other rules; a guest's of the last format is taken over.
func TestHomesOfEarlierPrograms(t *testing.T) {
	for _, c := range []struct {
		format string
		ledger bool
		fits   bool
	}{{"1", false, false}, {"3", true, false}, {"4", true, false}, {"4", false, true}, {homeFormat, true, true}, {"99", false, false}} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "format"), []byte(c.format+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if c.ledger {
			if err := os.Mkdir(filepath.Join(dir, "chain"), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		_, err := OpenHome(dir)
		now, _ := os.ReadFile(filepath.Join(dir, "format"))
		want := c.format
		if c.fits {
			want = homeFormat
		}
		if (err == nil) != c.fits || strings.TrimSpace(string(now)) != want {
			t.Errorf("format %s, with a ledger %t: %v, and it has format %s now", c.format, c.ledger, err, now)
		}
	}
}

// TestWaitsForWhoPasses: a command waits for one that settles what it asked, or uses
// what that still serves, and is told at once of who stays; so does what is to stay.
func TestWaitsForWhoPasses(t *testing.T) {
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	say := func(step string) { said <- step }
	type locked struct {
		release func()
		err     error
	}
	waits := func(ctx context.Context, serves func() bool) <-chan locked {
		got := make(chan locked, 1)
		go func() {
			release, err := home.pass(ctx, say, serves)
			got <- locked{release, err}
		}()
		return got
	}
	first := <-waits(t.Context(), never)
	if first.err != nil {
		t.Fatal(first.err)
	}
	second := waits(t.Context(), never)
	select {
	case word := <-said:
		if !strings.Contains(word, "waiting until") {
			t.Errorf("said %q", word)
		}
	case got := <-second:
		t.Fatalf("it did not wait: %v", got.err)
	}
	if got := <-waits(t.Context(), func() bool { <-said; return true }); !errors.Is(got.err, errServes) {
		t.Errorf("beside one that serves: %v", got.err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	if got := <-waits(ctx, func() bool { <-said; interrupt(); return false }); got.err != context.Canceled {
		t.Errorf("interrupted: %v", got.err)
	}
	first.release()
	got := <-second
	if got.err != nil {
		t.Fatal(got.err)
	}

	stays := make(chan locked)
	go func() {
		release, err := home.occupy(t.Context(), say)
		stays <- locked{release, err}
	}()
	select {
	case <-said:
	case early := <-stays:
		t.Fatalf("who is to stay did not wait: %v", early.err)
	}
	got.release()
	if got = <-stays; got.err != nil { // what the last one left says nothing of this one
		t.Fatal(got.err)
	}
	defer got.release()
	shut := Home{dir: t.TempDir()} // what can't be opened is nobody's
	if err := errors.Join(writeFile(shut.path(passingFile), nil), os.Mkdir(shut.path("lock"), 0o700)); err != nil {
		t.Fatal(err)
	}
	given, up := context.WithCancel(t.Context())
	if _, err := shut.pass(given, say, func() bool { up(); return false }); err == nil || !strings.HasPrefix(err.Error(), "lock home") {
		t.Errorf("a lock that can't be opened: %v", err)
	}
	ctx, interrupt = context.WithCancel(t.Context())
	defer interrupt()
	if got := <-waits(ctx, func() bool { interrupt(); return false }); got.err == nil || !strings.Contains(got.err.Error(), "another daulat runs") {
		t.Errorf("beside one that stays: %v", got.err)
	}
}
