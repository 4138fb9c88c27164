package nodeimage

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/modfile"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/debian"
)

var go1268 = toolchain{Version: "go1.26.8", Arch: "amd64"}

// The files of a node must be those of the kind that makes it.
func TestKindIsTheOneOfTheModule(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", content, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if r.Mod.Path == kindModule {
			if r.Mod.Version != kindVersion {
				t.Errorf("go.mod has kind %s, node images are of %s", r.Mod.Version, kindVersion)
			}
			return
		}
	}
	t.Errorf("go.mod does not require %s", kindModule)
}

func TestSourceKey(t *testing.T) {
	t.Parallel()
	base := source{Module: "m", Version: "v1.0.0", Programs: []program{{Name: "p"}}, Set: map[string]string{"a": "1", "b": "2"}}
	for _, c := range []struct {
		name   string
		change func(*source, *toolchain)
		same   bool
	}{
		{"nothing changed", func(*source, *toolchain) {}, true},
		{"another version", func(s *source, _ *toolchain) { s.Version = "v1.0.1" }, false},
		{"another tag", func(s *source, _ *toolchain) { s.Tags = []string{"seccomp"} }, false},
		{"another variable", func(s *source, _ *toolchain) { s.Set = map[string]string{"a": "1", "b": "3"} }, false},
		{"with cgo", func(s *source, _ *toolchain) { s.Cgo = true }, false},
		{"another text of ours", func(s *source, _ *toolchain) { s.Main = []byte("package main") }, false},
		{"another Go", func(_ *source, g *toolchain) { g.Version = "go1.27.0" }, false},
		{"another architecture", func(_ *source, g *toolchain) { g.Arch = "arm64" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, g := base, go1268
			c.change(&s, &g)
			if got := s.key(g) == base.key(go1268); got != c.same {
				t.Errorf("same key: %v, want %v", got, c.same)
			}
		})
	}
}

func TestEverySourceHasAFolderOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	programs := map[string]string{}
	for _, s := range sources() {
		dir := s.dir("/cache", go1268)
		if other, twice := seen[dir]; twice {
			t.Errorf("%s and %s are both in %s", s.Module, other, dir)
		}
		seen[dir] = s.Module
		for _, p := range s.Programs {
			if other, twice := programs[p.Name]; twice {
				t.Errorf("%s comes from %s and %s", p.Name, s.Module, other)
			}
			programs[p.Name] = s.Module
		}
	}
	for name := range inNode {
		if programs[name] == "" {
			t.Errorf("nothing makes %s", name)
		}
	}
}

func TestDefaultName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"k8s.io/kubernetes": "kubernetes", "go.etcd.io/etcd/server/v3": "server",
		"github.com/containerd/containerd/v2": "containerd", "example.com/vim": "vim", "pause": "pause",
	} {
		if got := defaultName(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   source
		want []string
	}{
		{"stripped", source{}, []string{"-ldflags=-s -w"}},
		{
			"variables come in order",
			source{Set: map[string]string{"b.y": "2", "a.x": "1"}, Tags: []string{"one", "two"}},
			[]string{"-ldflags=-s -w -X a.x=1 -X b.y=2", "-tags=one,two"},
		},
		{"more for the linker", source{LDFlags: "-extldflags -static"}, []string{"-ldflags=-s -w -extldflags -static"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, c.in.flags()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRenderModule(t *testing.T) {
	t.Parallel()
	const theirs = `module k8s.io/kubernetes

go 1.26.0

require (
	github.com/spf13/cobra v1.10.0
	k8s.io/api v0.0.0
	k8s.io/kubelet v0.0.0 // indirect
	k8s.io/utils v0.0.0-20260707023825-cf1189d6abe3
)

replace k8s.io/api => ./staging/src/k8s.io/api
`
	for _, c := range []struct {
		name, want string
		in         source
	}{
		{
			name: "a module alone", in: source{Module: "m.org/x/v2", Version: "v2.1.0"},
			want: "module nodeimage/x\n\ngo 1.26\n\nrequire m.org/x/v2 v2.1.0\n",
		},
		{
			name: "staging modules at their published version, others as they are",
			in:   source{Module: "k8s.io/kubernetes", Version: "v1.36.3", Staging: true},
			want: `module nodeimage/kubernetes

go 1.26

require (
	k8s.io/kubernetes v1.36.3
	k8s.io/api v0.36.3
	k8s.io/kubelet v0.36.3
)

replace k8s.io/api => k8s.io/api v0.36.3

replace k8s.io/kubelet => k8s.io/kubelet v0.36.3
`,
		},
		{name: "a program of ours requires nothing", in: source{Module: "pause", Main: []byte("package main")}, want: "module nodeimage/pause\n\ngo 1.26\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := renderModule(c.in, []byte(theirs))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKubernetesVersion(t *testing.T) {
	t.Parallel()
	got := kubernetesVersion("v1.36.3")
	for name, want := range map[string]string{"gitVersion": "v1.36.3", "gitMajor": "1", "gitMinor": "36"} {
		for _, pkg := range []string{"k8s.io/component-base/version.", "k8s.io/client-go/pkg/version."} {
			if got[pkg+name] != want {
				t.Errorf("%s%s = %q, want %q", pkg, name, got[pkg+name], want)
			}
		}
	}
}

// The key of a plan decides whether an image is built again.
func TestPlanKey(t *testing.T) {
	t.Parallel()
	b := &Builder{Engine: &engine.Engine{Arch: "amd64"}, Cache: t.TempDir()}
	keyWith := func(change func(*plan)) (string, string) {
		p := &plan{Builder: b, tools: go1268, sources: sources(), root: nodeRoot("amd64")}
		change(p)
		if err := p.setKey(); err != nil {
			t.Fatal(err)
		}
		return p.key, p.store()
	}
	key, store := keyWith(func(*plan) {})
	for _, c := range []struct {
		name   string
		change func(*plan)
		same   bool
	}{
		{"another mirror brings the same packages", func(p *plan) {
			other := *p.Builder
			other.Mirror = "http://mirror.example/debian"
			p.Builder, p.roots = &other, debian.Cache{Mirror: other.Mirror}
		}, true},
		{"another package in the root", func(p *plan) { p.root.Packages = append(p.root.Packages, "vim") }, false},
		{"another source", func(p *plan) { p.sources[0].Version = "v1.36.4" }, false},
		{"another Go", func(p *plan) { p.tools.Version = "go1.27.0" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			gotKey, gotStore := keyWith(c.change)
			if same := gotKey == key; same != c.same {
				t.Errorf("same key: %v, want %v", same, c.same)
			}
			if same := gotStore == store; same != c.same {
				t.Errorf("same layer of images: %v, want %v", same, c.same)
			}
		})
	}
}

func TestParseImages(t *testing.T) {
	t.Parallel()
	got, err := parseImages([]byte(`[{"Id":"sha256:1","RepoTags":["kubectl-ai/node:v1.36.3"],"Created":"2026-11-24T03:00:00Z","Size":7,
		"Config":{"Labels":{"dev.kubectl-ai.nodeimage":"abc","dev.kubectl-ai.nodeimage.kubernetes":"v1.36.3"}}}]`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Image{{
		Refs: []string{"kubectl-ai/node:v1.36.3"}, ID: "sha256:1", Key: "abc", Kubernetes: "v1.36.3",
		Created: time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC), SizeBytes: 7,
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestGoNeeds(t *testing.T) {
	t.Parallel()
	for version, enough := range map[string]bool{"go1.26.8": true, "go1.27rc1": true, "go1.25.3": false, "devel go1.28-abcdef": true} {
		if got := len(goNeeds(toolchain{Version: version})) == 0; got != enough {
			t.Errorf("%s is enough: %v, want %v", version, got, enough)
		}
	}
}

// Nobody may read a version off two places that disagree.
func TestVersionsAreWhole(t *testing.T) {
	t.Parallel()
	shape := regexp.MustCompile(`^v\d+\.\d+\.\d+$`)
	for _, s := range published {
		if !shape.MatchString(s.Version) {
			t.Errorf("%s: version %q", s.Module, s.Version)
		}
	}
	if !strings.HasSuffix(DefaultTag, ":"+Kubernetes) {
		t.Errorf("default tag %s", DefaultTag)
	}
}
