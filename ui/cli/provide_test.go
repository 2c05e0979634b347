package cli

import (
	"slices"
	"testing"
)

// Where Ollama listens is its own variable's to say, in all the forms that it has.
func TestProbes(t *testing.T) {
	for host, want := range map[string]string{
		"": "http://127.0.0.1:11434", "0.0.0.0": "http://127.0.0.1:11434", ":4000": "http://127.0.0.1:4000", "127.0.0.1:11435": "http://127.0.0.1:11435",
		"box": "http://box:11434", "http://box:1/": "http://box:1", "https://box": "https://box:11434",
	} {
		if got := ollama(host); got != want {
			t.Errorf("Ollama at %q is %s, want %s", host, got, want)
		}
	}
	t.Setenv("OLLAMA_HOST", "127.0.0.1:9")
	if got := probes(); !slices.Equal(got, []string{"http://127.0.0.1:9", "http://127.0.0.1:8080", "http://127.0.0.1:8000"}) {
		t.Errorf("%v", got)
	}
	for set, want := range map[string][]string{"": {}, "http://a:1": {"http://a:1"}, "http://a:1, http://b:2": {"http://a:1", "http://b:2"}} {
		t.Setenv("DAULAT_UPSTREAM_PROBE", set)
		if got := probes(); !slices.Equal(got, want) {
			t.Errorf("%q is %v", set, got)
		}
	}
}
