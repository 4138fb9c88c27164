//go:build linux

package nodeimage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/child"
)

type silent struct{}

func (silent) Start(string)        {}
func (silent) Note(string, ...any) {}
func (silent) End(error)           {}

// machine makes a Builder whose engine, and whose PATH alone, are scripts. It
// returns the commands that the engine was given.
func machine(t *testing.T, programs map[string]string) (*Builder, func() []string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	for name, script := range programs {
		content := "#!/bin/sh\n"
		if name == "docker" {
			content += `echo "$*" >>` + log + "\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	b := &Builder{Engine: &engine.Engine{Name: "docker", Bin: filepath.Join(dir, "docker"), Arch: "amd64"}, Cache: filepath.Join(dir, "cache"), Reporter: silent{}}
	return b, func() []string {
		content, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(content)), "\n")
	}
}

const goScript = `echo go1.26.8; echo amd64`

func TestBuildOfAnImageThatIsThereTagsItAtMost(t *testing.T) {
	for _, c := range []struct {
		name, there string
		tags        bool
	}{
		{"under the tag", "sha256:abc", false},
		{"under another tag", "sha256:other", true},
		{"and nothing under the tag", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, commands := machine(t, map[string]string{
				"go":     goScript,
				"docker": `case "$1" in images) echo sha256:abc ;; image) [ -n "` + c.there + `" ] && echo ` + c.there + ` || { echo "No such image" >&2; exit 1; } ;; tag) ;; *) exit 1 ;; esac`,
			})
			result, err := b.Build(t.Context(), DefaultTag)
			if err != nil || result.Built || result.Ref != DefaultTag {
				t.Fatalf("got %+v, %v", result, err)
			}
			last := commands()[len(commands())-1]
			if got := last == "tag sha256:abc "+DefaultTag; got != c.tags {
				t.Errorf("the last command is %q", last)
			}
			if _, err := os.Stat(b.Cache); err == nil {
				t.Error("it made a cache")
			}
		})
	}
}

func TestBuildSaysAllThatIsMissingBeforeItBegins(t *testing.T) {
	for _, c := range []struct {
		name     string
		programs map[string]string
		want     []string
	}{
		{"no Go", map[string]string{"docker": ""}, []string{minGo}},
		{"an old Go and no debootstrap", map[string]string{"docker": "", "go": "echo go1.22.1; echo amd64", "gcc": "", "pkg-config": ""}, []string{minGo, "debootstrap"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, _ := machine(t, c.programs)
			_, err := b.Build(t.Context(), DefaultTag)
			var missing *child.MissingError
			if !errors.As(err, &missing) {
				t.Fatalf("got %v, want *child.MissingError", err)
			}
			var names []string
			for _, n := range missing.Needs {
				if n.Name != "root" && n.Name != "libseccomp.a" { // depend on who runs the test, and where
					names = append(names, n.Name)
				}
				if n.For == "" || n.Install == "" {
					t.Errorf("%s: for %q, install %q", n.Name, n.For, n.Install)
				}
			}
			if diff := cmp.Diff(c.want, names); diff != "" {
				t.Error(diff)
			}
			if _, err := os.Stat(b.Cache); err == nil {
				t.Error("it made a cache")
			}
		})
	}
}

func TestBuildRefusesAnEngineOfAnotherArchitecture(t *testing.T) {
	b, _ := machine(t, map[string]string{"go": goScript})
	b.Engine.Arch = "arm64"
	if _, err := b.Build(t.Context(), DefaultTag); !errors.Is(err, ErrArch) {
		t.Errorf("got %v, want ErrArch", err)
	}
}

func TestPruneKeepsWhatTheImageIsMadeOf(t *testing.T) {
	b, _ := machine(t, map[string]string{"go": goScript})
	p, err := b.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keep := []string{p.store(), p.roots.Path(p.root), p.sources[0].dir(p.Cache, p.tools), filepath.Join(b.Cache, "roots", "root-python-1.tar")}
	drop := []string{filepath.Join(b.Cache, "bin", "kubernetes-old", "kubelet"), filepath.Join(b.Cache, "layers", "images-old.tar"), filepath.Join(b.Cache, "roots", "root-node-old.tar")}
	for _, path := range append(append([]string{}, keep...), drop...) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.prune()
	for _, path := range keep {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("gone: %s", path)
		}
	}
	for _, path := range drop {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("still there: %s", path)
		}
	}
}
