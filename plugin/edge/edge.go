package edge

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Names inside the folder.
const (
	app      = "app"
	model    = "model"
	runner   = "run.sh"
	manifest = "edge.json"
	sums     = "SHA256SUMS"
)

// Model is a file that training left.
type Model struct {
	Name    string // without folders
	Content []byte
}

// ReadModel reads a model. It returns a *ModelError.
func ReadModel(file string) (Model, error) {
	content, err := os.ReadFile(file)
	if err == nil && len(content) == 0 {
		err = fmt.Errorf("it is empty")
	}
	if err != nil {
		return Model{}, &ModelError{Path: file, Err: err}
	}
	return Model{Name: filepath.Base(file), Content: content}, nil
}

// Digest is the SHA-256 of the file, as runs and releases write it.
func (m Model) Digest() string { return fmt.Sprintf("sha256:%x", sha256.Sum256(m.Content)) }

// file is one of the folder.
type file struct {
	content []byte
	mode    int64  // 0o644 or 0o755
	link    string // target, of a symbolic link
}

// Bundle is the folder, in memory: files by path, and its name.
type Bundle struct {
	Name  string
	Tree  string // digest of the code
	Model string // digest
	Start Start
	files map[string]file
}

// record is edge.json.
type record struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Name       string   `json:"name"`
	TreeDigest string   `json:"treeDigest"`
	Model      string   `json:"model"` // digest
	ModelFile  string   `json:"modelFile"`
	Start      []string `json:"start"`
}

var shellName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// New makes the folder of a project. It returns a *carrier.ChangedError when
// the code changes meanwhile, and a *NameError.
func New(name string, code carrier.Code, m Model, start Start) (*Bundle, error) {
	b := &Bundle{Name: name, Tree: code.Digest().String(), Model: m.Digest(), Start: start, files: map[string]file{}}
	for _, v := range start.Env {
		if !shellName.MatchString(v.Name) {
			return nil, &NameError{v.Name}
		}
	}
	for _, e := range code.Index {
		at := path.Join(app, e.Path)
		if e.Kind == tree.Link {
			b.files[at] = file{link: e.Target}
			continue
		}
		content, err := code.Read(e)
		if err != nil {
			return nil, err
		}
		b.files[at] = file{content: content, mode: 0o644}
		if e.Kind == tree.Executable {
			b.files[at] = file{content: content, mode: 0o755}
		}
	}
	b.files[path.Join(model, m.Name)] = file{content: m.Content, mode: 0o644}
	b.files[runner] = file{content: b.script(m), mode: 0o755}
	b.files[name+".service"] = file{content: b.unit(), mode: 0o644}
	described, err := json.MarshalIndent(record{
		APIVersion: "kubectl-ai.dev/v1alpha1", Kind: "EdgeBundle", Name: name, TreeDigest: b.Tree,
		Model: b.Model, ModelFile: path.Join(model, m.Name), Start: append([]string{"python3"}, start.Args...),
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describe the bundle: %w", err)
	}
	b.files[manifest] = file{content: append(described, '\n'), mode: 0o644}
	b.files[sums] = file{content: b.sums(), mode: 0o644}
	return b, nil
}

// Names returns the paths of the files, sorted.
func (b *Bundle) Names() []string { return slices.Sorted(maps.Keys(b.files)) }

// sums lists the files as sha256sum does. Symbolic links have no content of
// their own; the digest of the tree has them.
func (b *Bundle) sums() []byte {
	var out bytes.Buffer
	for _, name := range b.Names() {
		if f := b.files[name]; f.link == "" {
			fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(f.content), name)
		}
	}
	return out.Bytes()
}

// script starts Python in the code's folder. What the device sets in its
// environment stays; the model's digest is what readiness asks for.
func (b *Bundle) script(m Model) []byte {
	var out strings.Builder
	fmt.Fprintf(&out, `#!/bin/sh
# Runs %s with plain Python 3, no container.
#   code   %s
#   model  %s
# Usage: ./run.sh             starts %s
#        ./run.sh FILE ARGS   starts another program, in %s/; the model is ../%s
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
export PYTHONDONTWRITEBYTECODE=1 # the code stays what its digest says
export MODEL_FILE="$here/%s/"%s MODEL_DIGEST=%s
`, b.Name, b.Tree, b.Model, oneLine(strings.Join(b.Start.Args, " ")), app, oneLine(path.Join(model, m.Name)), model, quote(m.Name), b.Model)
	for _, v := range b.Start.Env {
		if v.Name != "MODEL_FILE" && v.Name != "MODEL_DIGEST" {
			fmt.Fprintf(&out, "[ -n \"${%[1]s+set}\" ] || %[1]s=%[2]s\nexport %[1]s\n", v.Name, quote(v.Value))
		}
	}
	words := make([]string, len(b.Start.Args))
	for i, arg := range b.Start.Args {
		words[i] = quote(arg)
	}
	fmt.Fprintf(&out, `[ "$#" -gt 0 ] || set -- %s
cd -- "$here/%s"
exec "${PYTHON:-python3}" "$@"
`, strings.Join(words, " "), app)
	return []byte(out.String())
}

// unit keeps the program running under a user of its own that may write
// nowhere (systemd.exec(5)).
func (b *Bundle) unit() []byte {
	return fmt.Appendf(nil, `# tar -xzf %[1]s.tar.gz -C /opt && systemctl enable --now /opt/%[1]s/%[1]s.service
[Unit]
Description=%[1]s, model %[2]s
After=network.target

[Service]
ExecStart=/opt/%[1]s/run.sh
WorkingDirectory=/opt/%[1]s/app
Restart=on-failure
RestartSec=2
DynamicUser=yes
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
CapabilityBoundingSet=

[Install]
WantedBy=multi-user.target
`, b.Name, b.Model)
}

// quote makes one word of a text for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// oneLine keeps a text inside its comment.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
