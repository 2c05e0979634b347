package loose

import "testing"

func TestStart(t *testing.T) { // a test is no consensus code
	done := make(chan bool)
	go close(done)
	<-done
}
