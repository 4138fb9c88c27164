//go:build unix

package runtimeimage

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// fakeEngine answers `image inspect` with an image ID and labels, and refuses
// all else.
func fakeEngine(t *testing.T, id, labels string) *engine.Engine {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "docker")
	script := `#!/bin/sh
case "$*" in
*.Id*) echo "` + id + `" ;;
*.Labels*) echo '` + labels + `' ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac
`
	if err := os.WriteFile(bin, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return &engine.Engine{Name: "docker", Bin: bin, Arch: "amd64"}
}

type silent struct{}

func (silent) Start(string)        {}
func (silent) Note(string, ...any) {}
func (silent) End(error)           {}

func TestAnImageThatIsThereIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	key := root("amd64", nil).Key()
	for _, c := range []struct{ name, labels string }{
		{"built here, of the same packages", `{"` + LabelFrom + `":"debian","` + LabelKey + `":"` + key + `"}`},
		{"pulled, with labels of its own", `{"maintainer":"x"}`},
		{"pulled, without labels", "null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := &Builder{Engine: fakeEngine(t, "sha256:1", c.labels), Cache: t.TempDir(), Reporter: silent{}}
			built, err := b.Build(t.Context(), Python)
			if built || err != nil {
				t.Errorf("built %v, %v", built, err)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	c := config(root("amd64", []string{"rsync"}))
	if diff := cmp.Diff("debian", c.Labels[LabelFrom]); diff != "" {
		t.Error(diff)
	}
	if got := c.Labels["dev.kubectl-ai.packages"]; got != "ca-certificates python3 rsync" {
		t.Errorf("packages %q", got)
	}
	// Commands [python, …] and [python3, …] both find /usr/local/bin first.
	if !slices.ContainsFunc(c.Env, func(e string) bool { return strings.HasPrefix(e, "PATH=/usr/local/bin:") }) {
		t.Errorf("environment %v", c.Env)
	}
	if links := root("amd64", nil).Links; links["usr/local/bin/python"] == "" || links["usr/local/bin/python3"] == "" {
		t.Errorf("links %v", links)
	}
}
