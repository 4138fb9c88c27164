package nodeimage

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/child"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/layer"
)

// embedded holds files/root, which becomes part of the node's root as it is,
// the fragment of containerd's settings, and the source of pause.
//
//go:embed files pause/main.go
var embedded embed.FS

// Places of kind's files that are changed on their way.
const (
	containerdConfig  = "etc/containerd/config.toml"
	containerdService = "etc/systemd/system/containerd.service"
	entrypoint        = "usr/local/bin/entrypoint"
)

// settings are the files that make a Debian with Kubernetes a node of kind:
// kind's own base files, with a few changes, and ours.
func settings(kindDir string, pauseRef string, ociSpec []byte) ([]layer.Entry, error) {
	entries, err := kindFiles(filepath.Join(kindDir, "images", "base", "files"), pauseRef)
	if err != nil {
		return nil, fmt.Errorf("take kind's base files: %w", err)
	}
	own, err := ownFiles()
	if err != nil {
		return nil, err
	}
	base, err := baseSpec(ociSpec)
	if err != nil {
		return nil, fmt.Errorf("make the containers' base specification: %w", err)
	}
	entries = append(entries, own...)
	return append(entries,
		layer.Entry{Path: "etc/containerd/cri-base.json", Mode: 0o644, Content: base},
		layer.Entry{Path: "kind/version", Mode: 0o644, Content: []byte(Kubernetes + "\n")},
		layer.Entry{Path: "etc/kubernetes/manifests", Mode: fs.ModeDir | 0o755},
		layer.Entry{Path: "usr/sbin/init", Mode: fs.ModeSymlink, Target: "/usr/lib/systemd/systemd"},
	), nil
}

// changes rewrite files of kind's. Each fails when what it changes is not
// there, so that a newer kind cannot undo it unnoticed.
func changes(pauseRef string) map[string]func([]byte) ([]byte, error) {
	return map[string]func([]byte) ([]byte, error){
		containerdConfig:  func(base []byte) ([]byte, error) { return mergeConfig(base, pauseRef) },
		containerdService: unprivilegedService,
		entrypoint:        patientEntrypoint,
	}
}

func kindFiles(dir, pauseRef string) ([]layer.Entry, error) {
	change := changes(pauseRef)
	var entries []layer.Entry
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		e := layer.Entry{Path: filepath.ToSlash(relative), Mode: 0o644}
		if executable(e.Path) {
			e.Mode = 0o755 // the module cache knows no modes
		}
		if e.Content, err = os.ReadFile(name); err != nil {
			return err
		}
		if f, ok := change[e.Path]; ok {
			delete(change, e.Path)
			if e.Content, err = f(e.Content); err != nil {
				return fmt.Errorf("%s: %w", e.Path, err)
			}
		}
		entries = append(entries, e)
		return nil
	})
	for missing := range change {
		err = errors.Join(err, fmt.Errorf("there is no %s", missing))
	}
	return entries, err
}

func executable(name string) bool {
	dir := path.Dir(name)
	return dir == "usr/local/bin" || dir == "kind/bin"
}

// ownFiles are the embedded part of the node's root.
func ownFiles() ([]layer.Entry, error) {
	const top = "files/root"
	names := strings.NewReplacer("@PROVISIONER@", provisionerImage, "@HELPER@", helperImage)
	var entries []layer.Entry
	err := fs.WalkDir(embedded, top, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := embedded.ReadFile(name)
		e := layer.Entry{Path: strings.TrimPrefix(name, top+"/"), Mode: 0o644}
		if executable(e.Path) {
			e.Mode = 0o755
		}
		if path.Ext(name) == ".yaml" {
			content = []byte(names.Replace(string(content)))
		}
		e.Content = content
		entries = append(entries, e)
		return err
	})
	return entries, err
}

// mergeConfig adds our fragment to kind's settings of containerd. The merged
// file keeps their form: kind's entrypoint edits lines of it in place.
func mergeConfig(base []byte, pauseRef string) ([]byte, error) {
	merged, err := toml.LoadBytes(base)
	if err != nil {
		return nil, err
	}
	own, err := embedded.ReadFile("files/containerd.toml")
	if err != nil {
		return nil, err
	}
	fragment, err := toml.LoadBytes(own)
	if err != nil {
		return nil, err
	}
	if a, b := merged.Get("version"), fragment.Get("version"); a != b {
		return nil, fmt.Errorf("its version is %v, that of our fragment %v", a, b)
	}
	fragment.SetPath([]string{"plugins", "io.containerd.grpc.v1.cri", "sandbox_image"}, pauseRef)
	mergeTree(merged, fragment, nil)
	text, err := merged.ToTomlString()
	if err != nil {
		return nil, err
	}
	const snapshotter = `snapshotter = "overlayfs"`
	if !strings.Contains(text, snapshotter) {
		return nil, fmt.Errorf("no line %q, which kind's entrypoint edits", snapshotter)
	}
	return []byte("# kind's settings and those of kubectl ai, merged when the node image was built\n" + text), nil
}

func mergeTree(into, from *toml.Tree, at []string) {
	for _, key := range from.Keys() {
		path := append(at[:len(at):len(at)], key)
		value := from.GetPath([]string{key})
		if sub, ok := value.(*toml.Tree); ok {
			mergeTree(into, sub, path)
			continue
		}
		into.SetPath(path, value)
	}
}

var privileged = regexp.MustCompile(`(?m)^(OOMScoreAdjust|LimitNPROC|LimitCORE|LimitNOFILE)=.*\n`)

// unprivilegedService takes from containerd's unit what asks for more than
// its parent has: without CAP_SYS_RESOURCE it would not start. So the node
// also runs in rootless and confined engines.
func unprivilegedService(unit []byte) ([]byte, error) {
	if !privileged.Match(unit) {
		return nil, errors.New("it raises no limits any more")
	}
	return privileged.ReplaceAll(unit, nil), nil
}

// patientEntrypoint changes what the entrypoint says on cgroup v1. kind takes
// those words for a sign that the node is up and goes on before containerd
// is; without them it waits for systemd, as on cgroup v2.
func patientEntrypoint(script []byte) ([]byte, error) {
	const words, other = "detected cgroup v1", "cgroup version 1 is in use"
	if n := bytes.Count(script, []byte(words)); n != 1 {
		return nil, fmt.Errorf("%q is in it %d times, not once", words, n)
	}
	return bytes.Replace(script, []byte(words), []byte(other), 1), nil
}

// ociSpec asks the node's containerd for what a container is by default.
func ociSpec(ctx context.Context, ctr string) ([]byte, error) {
	out, err := child.Command{Name: ctr, Args: []string{"oci", "spec"}}.Output(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the default container: %w", err)
	}
	return out, nil
}

// baseSpec makes the base of all containers in the node: the default one with
// kind's hook, which hides the machine's product name, and without limits.
func baseSpec(spec []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(spec))
	decoder.UseNumber() // limits do not fit a float
	var doc map[string]any
	if err := decoder.Decode(&doc); err != nil {
		return nil, err
	}
	process, ok := doc["process"].(map[string]any)
	if !ok {
		return nil, errors.New("it has no process")
	}
	delete(process, "rlimits")
	hooks, _ := doc["hooks"].(map[string]any)
	if hooks == nil {
		hooks = map[string]any{}
	}
	created, _ := hooks["createContainer"].([]any)
	hooks["createContainer"] = append(created, map[string]any{"path": "/kind/bin/mount-product-files.sh"})
	doc["hooks"] = hooks
	return json.Marshal(doc)
}
