// Package child runs commands that stay until they are ended. They say as JSON that
// they are ready, and some answer questions from then on, a JSON document each.
//
// Start at [Start]; [Lead] is for a command that ends with its input.
package child

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// ending is how long a process may take to end once it was asked to.
const ending = 60 * time.Second

// Process is a command that runs.
type Process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser // nil unless it is led
	out   *os.File
	read  *json.Decoder // of out
	said  speech
	ended chan struct{}
}

// Start runs a command, and returns once it printed the document that ready takes.
// One that takes longer than limit is killed.
func Start(cmd *exec.Cmd, limit time.Duration, ready any) (*Process, error) {
	p, err := Launch(cmd)
	if err != nil {
		return nil, err
	}
	return p, p.Ready(limit, ready)
}

// Launch is Start for a command that nobody waits for, or whose Stdout is set. What
// it writes to stderr is kept, and goes to the command's Stderr too if that is set.
// The end of the command's context, if it has one, interrupts it.
func Launch(cmd *exec.Cmd) (*Process, error) { return LaunchBy(cmd, cmd.Start) }

// LaunchBy is Launch for a command that start starts, and may do something to before
// anybody waits for its process.
func LaunchBy(cmd *exec.Cmd, start func() error) (*Process, error) {
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	var in *os.File
	if cmd.Stdout == nil {
		var err error
		if p.out, in, err = os.Pipe(); err != nil {
			return nil, err
		}
		defer in.Close()
		cmd.Stdout, p.read = in, json.NewDecoder(p.out)
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.said
	} else {
		cmd.Stderr = io.MultiWriter(&p.said, cmd.Stderr)
	}
	if cmd.Cancel != nil {
		cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(os.Interrupt) }, ending
	}
	if err := start(); err != nil {
		p.out.Close()
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // its status is in ProcessState
		close(p.ended)
	}()
	return p, nil
}

// Lead is Launch for a command that answers questions and ends with its input.
func Lead(cmd *exec.Cmd) (*Process, error) {
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p, err := Launch(cmd)
	if err != nil {
		return nil, err
	}
	p.in = in
	return p, nil
}

// Ready reads the document that the process prints when it is ready. If none comes
// within limit the process is killed.
func (p *Process) Ready(limit time.Duration, ready any) error {
	late := time.AfterFunc(limit, p.Kill)
	defer late.Stop()
	if err := p.read.Decode(ready); err != nil {
		p.Kill()
		return fmt.Errorf("%s did not get ready: %w: %s", p, err, p.tail())
	}
	return nil
}

// Ask puts a question to a process that is led, and reads its answer.
func (p *Process) Ask(question, answer any) error {
	err := json.NewEncoder(p.in).Encode(question)
	if err == nil {
		err = p.read.Decode(answer)
	}
	if err != nil {
		return fmt.Errorf("%s gave no answer: %w: %s", p, err, p.tail())
	}
	return nil
}

// Interrupt asks the process to end, as Ctrl-C does.
func (p *Process) Interrupt() { _ = p.cmd.Process.Signal(os.Interrupt) } // it may be over

// Kill ends the process as a power cut would.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may be over
	<-p.ended
	p.out.Close()
}

// Stop interrupts the process, or ends its input if it is led, and wants it to end
// well.
func (p *Process) Stop() error {
	if p.in == nil {
		p.Interrupt()
	} else {
		p.in.Close()
	}
	defer p.Kill()
	select {
	case <-p.ended:
	case <-time.After(ending):
		return fmt.Errorf("%s did not end: %s", p, p.tail())
	}
	if code := p.Status(); code != 0 {
		return fmt.Errorf("%s ended with status %d: %s", p, code, p.tail())
	}
	return nil
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Status of a process that has ended, -1 if it was killed.
func (p *Process) Status() int { return p.cmd.ProcessState.ExitCode() }

// PID is the process's ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Said is what it wrote to stderr so far.
func (p *Process) Said() string { return p.said.String() }

// String is the command.
func (p *Process) String() string { return strings.Join(p.cmd.Args, " ") }

// tail is the last of what it said.
func (p *Process) tail() string {
	const most = 4000
	said := strings.TrimSpace(p.Said())
	return said[max(0, len(said)-most):]
}

// speech is text that is read while it is written.
type speech struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *speech) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *speech) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
