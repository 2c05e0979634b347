package node

import (
	"runtime"
	"runtime/debug"

	"daulat/ui/control"
)

// Version is which program this is, as its build knew it.
func (Runtime) Version() control.Version {
	build, _ := debug.ReadBuildInfo()
	v := versionOf(build)
	v.Program, _ = programHash() // says which of the published ones it is; a file that is gone by now is none
	return v
}

// versionOf reads what a build noted, which may be nothing.
func versionOf(build *debug.BuildInfo) control.Version {
	v := control.Version{HomeFormat: homeFormat, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if build == nil {
		return v
	}
	v.Module = build.Main.Version
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
