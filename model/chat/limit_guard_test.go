package chat

import (
	"errors"
	"fmt"
	"testing"
)

// TestLimitsAreWhereTheySay: templates that stay below a limit are rendered, and
// those that go a little beyond it are not. A limit that is gone shows here,
// where it costs little, and not only where nothing would end.
func TestLimitsAreWhereTheySay(t *testing.T) {
	const (
		loop  = "{%% for i in range(%d) %%}{%% endfor %%}"
		loops = "{%% for i in range(1000) %%}{%% for j in range(%d) %%}{%% endfor %%}{%% endfor %%}"
		calls = "{%% macro f(n) %%}{%% if n %%}{{ f(n-1) }}{%% endif %%}{%% endmacro %%}{{ f(%d) }}"
	)
	for _, c := range []struct {
		src  string
		n    int
		want error
	}{
		{loop, 200_000, nil}, {loop, 600_000, errSteps},
		{loops, 200, nil}, {loops, 600, errSteps},
		{calls, 60, nil}, {calls, 80, errDepth},
	} {
		src := fmt.Sprintf(c.src, c.n)
		if _, err := render(src, talk("user", "hi")); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", src, err, c.want)
		}
	}
}
