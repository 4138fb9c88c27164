package nodeimage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/child"
)

// toolchain is the Go that compiles, and for what.
type toolchain struct {
	Version string // go1.26.8
	Arch    string // amd64
}

// findGo asks the go command what it is.
func findGo(ctx context.Context) (toolchain, error) {
	if !child.Found("go") {
		return toolchain{}, &child.MissingError{Needs: []child.Need{needGo}}
	}
	// Outside of any module: what a module asks for is not what is here.
	out, err := child.Command{Name: "go", Args: []string{"env", "GOVERSION", "GOHOSTARCH"}, Dir: os.TempDir(), Env: []string{"GOWORK=off"}}.Output(ctx)
	if err != nil {
		return toolchain{}, fmt.Errorf("ask for the Go version: %w", err)
	}
	fields := strings.Fields(string(out))
	if len(fields) != 2 {
		return toolchain{}, fmt.Errorf("ask for the Go version: unexpected answer %q", out)
	}
	return toolchain{Version: fields[0], Arch: fields[1]}, nil
}

// key names what a source becomes with a toolchain.
func (s source) key(t toolchain) string {
	return keyOf(struct {
		Source source
		Go     toolchain
	}{s, t})
}

// name is the last word of its module.
func (s source) name() string { return defaultName(s.Module) }

// defaultName is the last element of an import path that is no major version.
func defaultName(importPath string) string {
	base := path.Base(importPath)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(importPath))
	}
	return base
}

// label is how people call it: by its program if it has one alone.
func (s source) label() string {
	if len(s.Programs) == 1 {
		return strings.TrimSpace(s.Programs[0].Name + " " + s.Version)
	}
	return s.name() + " " + s.Version
}

// dir is where the programs of a source lie in the cache.
func (s source) dir(cache string, t toolchain) string {
	return filepath.Join(cache, "bin", s.name()+"-"+s.key(t)[:16])
}

// compiled says whether the programs are in the cache.
func (s source) compiled(cache string, t toolchain) bool {
	_, err := os.Stat(s.dir(cache, t))
	return err == nil
}

// compile puts the programs of a source into the cache, all or none.
func (s source) compile(ctx context.Context, cache string, t toolchain) error {
	at := s.dir(cache, t)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(at), "making-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	mod, err := s.moduleFile(ctx)
	if err != nil {
		return err
	}
	module, out := filepath.Join(work, "module"), filepath.Join(work, "out")
	for _, dir := range []string{module, out} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(module, "go.mod"), mod, 0o644); err != nil {
		return err
	}
	args := append([]string{"build", "-mod=mod", "-trimpath", "-o", out + "/"}, s.flags()...)
	for _, p := range s.Programs {
		args = append(args, path.Join(s.Module, p.Package))
	}
	if s.Main != nil {
		if err := os.WriteFile(filepath.Join(module, "main.go"), s.Main, 0o644); err != nil {
			return err
		}
		args[len(args)-1] = "."
	}
	err = child.Command{Name: "go", Args: args, Dir: module, Env: s.environment(t)}.Run(ctx)
	if err != nil {
		return fmt.Errorf("compile %s %s: %w", s.Module, s.Version, err)
	}
	for _, p := range s.Programs {
		if p.Output == "" {
			continue
		}
		if err := os.Rename(filepath.Join(out, p.Output), filepath.Join(out, p.Name)); err != nil {
			return err
		}
	}
	return os.Rename(out, at)
}

func (s source) environment(t toolchain) []string {
	cgo := "0"
	if s.Cgo {
		cgo = "1"
	}
	return []string{"CGO_ENABLED=" + cgo, "GOOS=linux", "GOARCH=" + t.Arch, "GOWORK=off", "GO111MODULE=on"}
}

// flags are the build flags that decide what comes out.
func (s source) flags() []string {
	ld := []string{"-s", "-w"}
	for _, name := range slices.Sorted(maps.Keys(s.Set)) {
		ld = append(ld, "-X", name+"="+s.Set[name])
	}
	if s.LDFlags != "" {
		ld = append(ld, s.LDFlags)
	}
	flags := []string{"-ldflags=" + strings.Join(ld, " ")}
	if len(s.Tags) > 0 {
		flags = append(flags, "-tags="+strings.Join(s.Tags, ","))
	}
	return flags
}

// moduleFile is the go.mod to compile a source in.
func (s source) moduleFile(ctx context.Context) ([]byte, error) {
	var published []byte
	if s.Staging {
		info, err := download(ctx, s.Module, s.Version)
		if err != nil {
			return nil, err
		}
		if published, err = os.ReadFile(info.GoMod); err != nil {
			return nil, err
		}
	}
	return renderModule(s, published)
}

// renderModule writes the go.mod: it requires the source. What the source
// requires at v0.0.0 is of its own repository, where a relative replacement
// holds; elsewhere its published version takes the place.
func renderModule(s source, published []byte) ([]byte, error) {
	file := &modfile.File{}
	if err := file.AddModuleStmt("nodeimage/" + s.name()); err != nil {
		return nil, err
	}
	if err := file.AddGoStmt("1.26"); err != nil {
		return nil, err
	}
	if s.Version != "" {
		if err := file.AddRequire(s.Module, s.Version); err != nil {
			return nil, err
		}
	}
	if s.Staging {
		theirs, err := modfile.ParseLax("go.mod", published, nil)
		if err != nil {
			return nil, fmt.Errorf("read the go.mod of %s: %w", s.Module, err)
		}
		major, rest, _ := strings.Cut(s.Version, ".")
		if major != "v1" {
			return nil, fmt.Errorf("%s %s: its staging modules follow v1", s.Module, s.Version)
		}
		for _, r := range theirs.Require {
			if r.Mod.Version != "v0.0.0" {
				continue
			}
			err := errors.Join(
				file.AddRequire(r.Mod.Path, "v0."+rest),
				file.AddReplace(r.Mod.Path, "", r.Mod.Path, "v0."+rest), // for the requirement of v0.0.0, which is nowhere
			)
			if err != nil {
				return nil, err
			}
		}
	}
	file.Cleanup()
	return file.Format()
}

// downloaded is what `go mod download -json` tells of a module.
type downloaded struct{ Dir, GoMod string }

// download brings a module into the module cache.
func download(ctx context.Context, module, version string) (downloaded, error) {
	out, err := child.Command{
		Name: "go", Args: []string{"mod", "download", "-json", module + "@" + version},
		Dir: os.TempDir(), Env: []string{"GOWORK=off", "GO111MODULE=on"},
	}.Output(ctx)
	if err != nil {
		return downloaded{}, fmt.Errorf("download %s %s: %w", module, version, err)
	}
	var info downloaded
	if err := json.Unmarshal(out, &info); err != nil {
		return downloaded{}, fmt.Errorf("download %s %s: %w", module, version, err)
	}
	return info, nil
}

// kubernetesVersion tells Kubernetes its version, without which kubeadm and
// the kubelet take themselves for v0.0.0 and refuse to work together.
func kubernetesVersion(version string) map[string]string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	set := map[string]string{}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		set[pkg+".gitVersion"] = version
		set[pkg+".gitMajor"] = parts[0]
		set[pkg+".gitMinor"] = parts[1]
		set[pkg+".gitTreeState"] = "clean"
		set[pkg+".gitCommit"] = "unknown"
	}
	return set
}

// keyOf names a value by its content.
func keyOf(value any) string {
	content, err := json.Marshal(value)
	if err != nil {
		panic(err) // only strings, numbers and lists of them are named
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
