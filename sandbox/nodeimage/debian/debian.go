// Package debian makes the root of an image from Debian's packages, with
// debootstrap: a mirror is all it reaches. A root is packed once and kept;
// what is asked for is its name in the cache.
package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/child"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/flock"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/layer"
)

// Root is a Debian root to be.
type Root struct {
	Name     string
	Suite    string // bookworm
	Arch     string // amd64, arm64
	Packages []string
	Remove   []string          // patterns of paths that go, beside caches and documents
	Links    map[string]string // symbolic links to add: path -> target
}

// Cache keeps roots in a folder.
type Cache struct {
	Dir string
	// Mirror is where packages come from; "" is debootstrap's choice.
	Mirror string
}

// recipe changes when the same Root is made in another way.
const recipe = 1

// unneeded goes from every root: what only a person or the package manager
// reads, and what would give this machine's identity away.
var unneeded = []string{
	"debootstrap", "etc/machine-id", "etc/resolv.conf", "etc/hostname",
	"var/cache/apt/archives/*.deb", "var/cache/apt/*.bin", "var/lib/apt/lists/*", "var/log/*", "var/cache/debconf/*-old", "var/lib/dpkg/*-old",
	"usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/locale/*", "usr/share/lintian",
}

// Key names a root by all that makes it.
func (r Root) Key() string {
	r.Packages = slices.Sorted(slices.Values(r.Packages))
	content, err := json.Marshal(struct {
		Recipe   int
		Unneeded []string
		Root     Root
	}{recipe, unneeded, r})
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Path is where the packed root lies, or will.
func (c Cache) Path(r Root) string {
	return filepath.Join(c.Dir, "root-"+r.Name+"-"+r.Key()[:16]+".tar")
}

// Has says whether a root is there.
func (c Cache) Has(r Root) bool {
	_, err := os.Stat(c.Path(r))
	return err == nil
}

// Needs returns what is missing on this machine to make a root.
func Needs() []child.Need {
	var needs []child.Need
	if !child.Found("debootstrap") {
		needs = append(needs, child.Need{Name: "debootstrap", For: "the Debian root", Install: "sudo apt-get install debootstrap"})
	}
	if os.Geteuid() != 0 {
		needs = append(needs, child.Need{Name: "root", For: "debootstrap, which sets owners and changes root", Install: "sudo --preserve-env=HOME kubectl ai sandbox image build"})
	}
	return needs
}

// Make returns the packed root, made first when it is not there. It returns
// *child.Error when debootstrap fails.
func (c Cache) Make(ctx context.Context, r Root) (string, error) {
	path := c.Path(r)
	if c.Has(r) {
		return path, nil
	}
	unlock, err := flock.Lock(ctx, c.Dir, nil)
	if err != nil {
		return "", err
	}
	defer unlock()
	if c.Has(r) { // another build made it meanwhile
		return path, nil
	}
	leftovers, _ := filepath.Glob(filepath.Join(c.Dir, "making-*")) // the pattern is right
	for _, dir := range leftovers {
		_ = os.RemoveAll(dir) // of a build that was killed; it costs space only
	}
	work, err := os.MkdirTemp(c.Dir, "making-")
	if err != nil {
		return "", fmt.Errorf("make the cache of Debian roots: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	root := filepath.Join(work, "root")
	err = child.Command{
		Name: "debootstrap",
		Args: c.arguments(r, root),
		// No fsync for each file: a root that was cut short is thrown away.
		Env: []string{"DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "DPKG_FORCE=unsafe-io"},
		// debootstrap mounts /proc and /sys in the root. In a mount table of
		// its own they cannot outlive it, nor be reached by RemoveAll.
		PrivateMounts: true,
	}.Run(ctx)
	if err != nil {
		return "", fmt.Errorf("make the Debian root %s: %w", r.Name, err)
	}
	if err := finish(root, r); err != nil {
		return "", fmt.Errorf("make the Debian root %s: %w", r.Name, err)
	}
	if err := layer.PackFolder(path, root, keep); err != nil {
		return "", fmt.Errorf("pack the Debian root %s: %w", r.Name, err)
	}
	return path, nil
}

func (c Cache) arguments(r Root, root string) []string {
	args := []string{"--variant=minbase", "--arch=" + r.Arch, "--include=" + strings.Join(r.Packages, ","), r.Suite, root}
	if c.Mirror != "" {
		args = append(args, c.Mirror)
	}
	return args
}

// finish removes and links. It follows no link out of the root: patterns and
// links name real paths, of a root in which /usr is merged.
func finish(root string, r Root) error {
	for _, pattern := range slices.Concat(unneeded, r.Remove) {
		matches, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return fmt.Errorf("pattern %s: %w", pattern, err)
		}
		for _, m := range matches {
			if err := os.RemoveAll(m); err != nil {
				return err
			}
		}
	}
	for path, target := range r.Links {
		at := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.Remove(at); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.Symlink(target, at); err != nil {
			return err
		}
	}
	return nil
}

// keep leaves out what a container has of its own.
func keep(path string, _ fs.DirEntry) bool {
	dir, _, nested := strings.Cut(path, "/")
	if !nested {
		return true
	}
	switch dir {
	case "dev", "proc", "sys", "run", "tmp":
		return false
	}
	return true
}
