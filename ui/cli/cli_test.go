package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestErrorsAsJSON(t *testing.T) {
	for _, args := range [][]string{{"job", "show", "one", "--json"}, {"--json", "job", "show", "one"}, {"--frobnicate", "--json"}, {"frobnicate", "--json"}} {
		var out, errOut bytes.Buffer
		status := Run(t.Context(), args, &out, &errOut, liar{})
		var failed struct {
			Error  string `json:"error"`
			Status int    `json:"status"`
		}
		d := json.NewDecoder(&errOut)
		d.DisallowUnknownFields()
		if err := d.Decode(&failed); err != nil || status != 2 || failed.Status != 2 || failed.Error == "" || d.More() || out.Len() > 0 {
			t.Errorf("%v: status %d, %+v, %v", args, status, failed, err)
		}
	}
	var out, errOut bytes.Buffer
	if Run(t.Context(), []string{"job", "show", "--", "--json"}, &out, &errOut, liar{}); !strings.HasPrefix(errOut.String(), "daulat: ") {
		t.Errorf("an argument made the error %q", errOut.String())
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	table{{"NAME", "N"}}.add("é", 12).add("longer\nname", "").write(&out)
	if want := "NAME         N\né            12\nlonger name\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}
