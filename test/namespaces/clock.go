package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// begin starts a command on the host, whose program sees the host's clock.
//
// A wrong clock is put in under a program that knows nothing of it: Go reads the time
// of day by code that the kernel maps into each process, and that code is replaced
// before the program's first instruction. Its monotonic time stays true, as on a
// machine whose clock is badly set.
func (h *host) begin(cmd *exec.Cmd, program string) error {
	if h.ahead == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread() // the thread that starts a process traces it
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := setClock(cmd.Process.Pid, program, h.ahead); err != nil {
		_ = cmd.Process.Kill() // it may be over
		_ = cmd.Wait()         // with the status of the kill
		return fmt.Errorf("set the clock of %s: %w", cmd, err)
	}
	return nil
}

// setClock waits until a traced process has become the program, changes its clock, and
// lets it go.
func setClock(pid int, program string, ahead time.Duration) error {
	want, err := os.Stat(program)
	if err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, syscall.WALL, nil); err != nil {
			return err
		}
		if !status.Stopped() {
			return fmt.Errorf("it ended: %v", status)
		}
		is, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil {
			return err
		}
		signal := status.StopSignal()
		if signal == syscall.SIGTRAP { // another program begins
			if os.SameFile(is, want) {
				break
			}
			signal = 0
		}
		if err := syscall.PtraceCont(pid, int(signal)); err != nil {
			return err
		}
	}
	at, err := clockOf(pid)
	if err != nil {
		return err
	}
	code, err := clockCode(ahead)
	if err != nil {
		return err
	}
	if n, err := syscall.PtracePokeText(pid, at, code); err != nil || n != len(code) {
		return fmt.Errorf("write %d bytes of code: %d, %w", len(code), n, err)
	}
	return syscall.PtraceDetach(pid)
}

// clockCode is clock_gettime(clock, time) for amd64 that asks the kernel, and puts the
// time of day ahead.
func clockCode(ahead time.Duration) ([]byte, error) {
	seconds := int64(ahead / time.Second)
	if runtime.GOARCH != "amd64" || seconds != int64(int32(seconds)) {
		return nil, fmt.Errorf("no code is known for %s on %s", ahead, runtime.GOARCH)
	}
	code := []byte{
		0xb8, 228, 0, 0, 0, // mov eax, SYS_clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi: CLOCK_REALTIME is 0
		0x75, 0x07, // jne past the add
		0x48, 0x81, 0x06, // add qword [rsi],
	}
	return append(binary.LittleEndian.AppendUint32(code, uint32(seconds)), 0xc3), nil // ret
}

// clockOf is the address of the code by which a process reads the time.
func clockOf(pid int) (uintptr, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, err
	}
	var from, to int64
	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		if strings.HasSuffix(lines.Text(), "[vdso]") {
			if _, err := fmt.Sscanf(lines.Text(), "%x-%x", &from, &to); err != nil {
				return 0, err
			}
		}
	}
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return 0, err
	}
	defer memory.Close()
	image := make([]byte, to-from)
	if _, err := memory.ReadAt(image, from); err != nil {
		return 0, err
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, err
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, err
	}
	code, _ := clockCode(0)
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" && s.Size >= uint64(len(code)) && s.Value < math.MaxInt32 {
			return uintptr(from) + uintptr(s.Value), nil
		}
	}
	return 0, errors.New("its kernel maps no clock that is known")
}
