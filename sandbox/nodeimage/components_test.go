//go:build linux

package nodeimage

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/layer"
)

func TestParseRefs(t *testing.T) {
	t.Parallel()
	got, err := parseRefs("registry.k8s.io/etcd:3.6.8-0\nregistry.k8s.io/coredns/coredns:v1.14.2\n")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"etcd": "registry.k8s.io/etcd:3.6.8-0", "coredns": "registry.k8s.io/coredns/coredns:v1.14.2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := parseRefs("registry.k8s.io/etcd"); err == nil {
		t.Error("a reference without a tag: no error")
	}
}

func TestComponents(t *testing.T) {
	t.Parallel()
	p := programs{"etcd": "/c/etcd", "coredns": "/c/coredns", "kube-proxy": "/c/kube-proxy", "local-path-provisioner": "/c/l"}
	refs := map[string]string{"etcd": "r/etcd:1", "coredns": "r/coredns/coredns:2", "kube-proxy": "r/kube-proxy:3"}
	tool := layer.Entry{Path: "usr/sbin/nft"}
	list, err := components(refs, p, []layer.Entry{tool}, busyboxEntries(layer.Entry{Mode: 0o755}))
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string][]string{}
	for _, c := range list {
		for _, e := range c.entries {
			if !e.Mode.IsDir() && e.Mode&fs.ModeSymlink == 0 {
				paths[c.ref] = append(paths[c.ref], e.Path)
			}
		}
	}
	want := map[string][]string{
		"r/etcd:1":            {"/usr/local/bin/etcd"}, // static pods look for it on the PATH
		"r/coredns/coredns:2": {"/coredns"},            // the entrypoint that its arguments follow
		"r/kube-proxy:3":      {"/usr/local/bin/kube-proxy", "usr/sbin/nft"},
		provisionerImage:      {"/usr/local/bin/local-path-provisioner"},
		helperImage:           {"bin/busybox"},
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
	refs["new-thing"] = "r/new-thing:1"
	if _, err := components(refs, p, nil, nil); err == nil {
		t.Error("an image that kubeadm wants and nobody builds: no error")
	}
}

// A tiny Debian root: this test's own binary stands for a program, and what
// it names for libraries.
func TestWithLibraries(t *testing.T) {
	t.Parallel()
	ldd, err := os.ReadFile("/usr/bin/env")
	if err != nil {
		t.Fatal(err)
	}
	needed, loader, err := libraries(ldd)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(needed, "libc.so.6") || !filepath.IsAbs(loader) {
		t.Fatalf("/usr/bin/env names %v and %q", needed, loader)
	}
	loaderAt := resolve("usr/bin/env", loader)
	root := map[string]layer.Entry{
		"usr/bin/env":                         {Path: "usr/bin/env", Content: ldd},
		loaderAt:                              {Path: loaderAt, Mode: fs.ModeSymlink, Target: "/lib/t-linux-gnu/ld.so"},
		"usr/lib/t-linux-gnu/ld.so":           {Path: "usr/lib/t-linux-gnu/ld.so", Content: static(t)},
		"usr/lib/t-linux-gnu/libc.so.6":       {Path: "usr/lib/t-linux-gnu/libc.so.6", Mode: fs.ModeSymlink, Target: "libc-2.so"},
		"usr/lib/t-linux-gnu/libc-2.so":       {Path: "usr/lib/t-linux-gnu/libc-2.so", Content: static(t)},
		"usr/lib/t-linux-gnu/libunasked.so.1": {Path: "usr/lib/t-linux-gnu/libunasked.so.1", Content: static(t)},
	}
	picked, err := withLibraries(root, []string{"usr/bin/env"})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, e := range picked {
		paths = append(paths, e.Path)
	}
	slices.Sort(paths)
	want := []string{"usr/bin/env", loaderAt, "usr/lib/t-linux-gnu/ld.so", "usr/lib/t-linux-gnu/libc-2.so", "usr/lib/t-linux-gnu/libc.so.6"}
	slices.Sort(want)
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
	delete(root, "usr/lib/t-linux-gnu/libc.so.6")
	if _, err := withLibraries(root, []string{"usr/bin/env"}); err == nil || !strings.Contains(err.Error(), "libc.so.6") {
		t.Errorf("a library that is missing: %v", err)
	}
}

// static is an ELF file that needs nothing: the loader itself.
func static(t *testing.T) []byte {
	t.Helper()
	for _, name := range []string{"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"} {
		if content, err := os.ReadFile(name); err == nil {
			return content
		}
	}
	t.Fatal("no loader on this machine")
	return nil
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, target, want string }{
		{"usr/lib/x/liba.so.1", "liba.so.1.2", "usr/lib/x/liba.so.1.2"},
		{"usr/lib64/ld.so", "/lib/x/ld.so", "usr/lib/x/ld.so"},
		{"usr/lib/x/y/l.so", "../z.so", "usr/lib/x/z.so"},
	} {
		if got := resolve(c.name, c.target); got != c.want {
			t.Errorf("%s -> %s: got %s, want %s", c.name, c.target, got, c.want)
		}
	}
}
