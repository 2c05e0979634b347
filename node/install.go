package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"daulat/node/service"
	"daulat/ui/control"
)

// Install writes a unit of the user's systemd that provides as o says, with the same
// in arguments. The home must have joined a network or name a ledger, and must need
// nobody at a terminal; what provide would refuse is refused, and an earlier unit stays.
func (Runtime) Install(o control.ProvideOptions, arguments []string) (s control.Service, err error) {
	if runtime.GOOS != "linux" {
		return s, errors.New("--install writes a unit of systemd, which Linux alone has")
	}
	if err := checkProvide(o); err != nil {
		return s, err
	}
	home, err := filepath.Abs(o.Home)
	if err != nil {
		return s, err
	}
	h := Home{dir: home}
	kept, err := readLine(h.path("passphrase"))
	if err != nil {
		return s, err
	}
	if kept == "" {
		return s, control.WrongInput{Err: errors.New("the passphrase of this home's keys is not in it, and a service has nobody to ask")}
	}
	program, err := os.Executable()
	if err != nil {
		return s, fmt.Errorf("find this program: %w", err)
	}
	writable := []string{home}
	if cache, err := os.UserCacheDir(); err == nil { // where the default model lies
		writable = append(writable, filepath.Join(cache, "daulat"))
	}
	if s.Unit, err = service.File(); err != nil {
		return s, err
	}
	err = service.Install(s.Unit, service.Program{Path: program, Arguments: append([]string{"provide", "--home=" + home}, arguments...), Writable: writable})
	s.Start = "systemctl --user enable --now " + service.Name
	s.Log = "journalctl --user --follow --unit " + service.Name
	if o.UpstreamKey != "" && o.Upstream != control.UpstreamNone {
		s.Lacks = keyLess
	}
	return s, err
}

// keyLess says how a service gets the key that this process has: a unit is no place
// for a secret.
const keyLess = "the service does not have your DAULAT_UPSTREAM_KEY, as a unit holds no secret: write DAULAT_UPSTREAM_KEY=KEY into a file that you alone can read, " +
	"and name that with systemctl --user edit " + service.Name + ", in the lines [Service] and EnvironmentFile=/PATH/OF/THE/FILE"

// Uninstall removes the unit that Install wrote.
func (Runtime) Uninstall() (s control.Service, err error) {
	if s.Unit, err = service.File(); err != nil {
		return s, err
	}
	s.Stop = "systemctl --user stop " + service.Name
	err = service.Uninstall(s.Unit)
	if errors.Is(err, service.ErrNone) {
		err = control.WrongInput{Err: err}
	}
	return s, err
}
