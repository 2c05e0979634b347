package node

import (
	"runtime/debug"
	"testing"
)

func TestVersion(t *testing.T) {
	v := versionOf(&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}})
	if v.Module != "v1.2.3" || v.Revision != "abc" || !v.Modified || v.HomeFormat != homeFormat || v.Go == "" {
		t.Errorf("%+v", v)
	}
	if v := versionOf(nil); v.Revision != "" || v.HomeFormat != homeFormat || v.System == "" {
		t.Errorf("of a build that noted nothing: %+v", v)
	}
}
