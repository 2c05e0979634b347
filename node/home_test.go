package node

import (
	"strings"
	"testing"
)

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
