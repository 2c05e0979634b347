package report

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// ending is how long a process may take to end after an interrupt.
const ending = 40 * time.Second

// Process is a command of the program under test that stays until it is ended.
type Process struct {
	cmd  *exec.Cmd
	last string        // line on stderr
	read chan struct{} // closed when stderr is read to its end
}

// Start runs the program with args, which must have it print JSON, and returns
// once it printed the document that out takes. heard gets each line of its stderr
// on a goroutine of its own; it may be nil.
func Start(ctx context.Context, heard func(line string), out any, program string, args ...string) (*Process, error) {
	c := exec.CommandContext(ctx, program, args...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = ending
	stdout, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := c.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: c, read: make(chan struct{})}
	go p.listen(stderr, heard)
	if err := json.NewDecoder(stdout).Decode(out); err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not get ready: %w", program, err), p.End())
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }() // ends with the process
	return p, nil
}

func (p *Process) listen(stderr io.Reader, heard func(string)) {
	defer close(p.read)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		p.last = lines.Text()
		if heard != nil {
			heard(p.last)
		}
	}
}

// Ended is closed when the process says nothing more.
func (p *Process) Ended() <-chan struct{} { return p.read }

// End interrupts the process as Ctrl-C does and waits. Its error has the last
// words.
func (p *Process) End() error {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended by itself
	kill := time.AfterFunc(ending, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	<-p.read
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, p.last)
	}
	return nil
}
