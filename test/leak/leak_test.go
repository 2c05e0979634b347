package leak

import "testing"

// failed takes a check's complaint in place of a test.
type failed struct {
	testing.TB
	errors int
}

func (f *failed) Helper()      {}
func (f *failed) Error(...any) { f.errors++ }

// TestWatch: one that began is found even where another ended meanwhile.
func TestWatch(t *testing.T) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	run := func() {
		<-stop
		stopped <- struct{}{}
	}
	go run()
	f := &failed{TB: t}
	check := Watch(f)
	stop <- struct{}{}
	<-stopped
	check()
	if f.errors != 0 {
		t.Error("what ended was reported")
	}
	go run()
	check()
	if f.errors != 1 {
		t.Errorf("what runs was reported %d times", f.errors)
	}
	stop <- struct{}{}
	<-stopped
	check()
	if f.errors != 1 {
		t.Error("what ended later was reported")
	}
}
