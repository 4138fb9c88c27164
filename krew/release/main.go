// release makes the archives of a version for every platform, their sums, a
// bill of materials and the krew manifests that install them. Two runs over
// one tree give the same bytes, whatever the folder: builds are trimmed, and
// archives are sorted and carry no times.
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/krew/manifest"
)

func main() {
	version := flag.String("version", "", "semantic version with a leading v")
	out := flag.String("out", "dist", "folder for all that is made")
	base := flag.String("base-url", "https://github.com/kubectl-ai/kubectl-ai/releases/download", "where the archives will be downloaded from")
	only := flag.String("platforms", "", "OS/ARCH,...: make the archives of these alone, and manifests of them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := release(ctx, *version, *out, *base, *only); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func release(ctx context.Context, version, out, base, only string) error {
	if err := carries(); err != nil {
		return err
	}
	targets, err := chosen(only)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	license, err := os.ReadFile("LICENSE")
	if err != nil {
		return err
	}
	var archives []manifest.Archive
	var list strings.Builder
	var bill []byte
	write := func(name string, content []byte) (string, error) {
		sum := fmt.Sprintf("%x", sha256.Sum256(content))
		fmt.Fprintf(&list, "%s  %s\n", sum, name)
		return sum, os.WriteFile(filepath.Join(out, name), content, 0o644)
	}
	for _, t := range targets {
		binary, err := build(ctx, t, version, out)
		if err != nil {
			return fmt.Errorf("build for %s: %w", t, err)
		}
		if bill == nil {
			if bill, err = billOfMaterials(version, binary); err != nil {
				return fmt.Errorf("list what %s is made of: %w", t, err)
			}
		}
		files := []manifest.File{{Name: "LICENSE", Mode: 0o644, Content: license}, {Name: program(t), Mode: 0o755, Content: binary}}
		archive, err := pack(t, files)
		if err != nil {
			return err
		}
		sum, err := write(archiveName(t), archive)
		if err != nil {
			return err
		}
		archives = append(archives, manifest.Archive{Target: t, File: archiveName(t), SHA256: sum, Bin: program(t)})
	}
	if _, err := write("kubectl-ai.cdx.json", bill); err != nil {
		return err
	}
	for _, name := range []string{manifest.OwnIndex, manifest.PublicIndex} {
		filled, err := manifest.Render(name, version, base, archives)
		if err != nil {
			return err
		}
		if _, err := write(name+".yaml", filled); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(out, "checksums.txt"), []byte(list.String()), 0o644); err != nil {
		return err
	}
	fmt.Print(list.String())
	return nil
}

// chosen returns the targets that are asked for, or all.
func chosen(only string) ([]manifest.Target, error) {
	if only == "" {
		return manifest.Targets, nil
	}
	var out []manifest.Target
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(manifest.Targets, func(t manifest.Target) bool { return t.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("no release is made for %q, but for %v", name, manifest.Targets)
		}
		out = append(out, manifest.Targets[i])
	}
	return out, nil
}

// build compiles the program. What version control says of the folder is left
// out: the version is the release's.
func build(ctx context.Context, t manifest.Target, version, out string) ([]byte, error) {
	path := filepath.Join(out, "."+t.OS+"-"+t.Arch)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version, "-o", path, "./cmd/kubectl-ai")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.OS, "GOARCH="+t.Arch)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(path) }()
	return os.ReadFile(path)
}
