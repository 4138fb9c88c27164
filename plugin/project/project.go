// Package project reads kubectl-ai.yaml, the one file that kubectl ai adds
// to a kustomize bundle. The file is optional where a bundle follows the
// conventions (code in src/ or beside the bundle, overlays/<environment>)
// and strict where it exists.
package project

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"
)

// FileName is the project file's name at the root of a bundle.
const FileName = "kubectl-ai.yaml"

// APIVersion and Kind identify the file's format.
const (
	APIVersion = "kubectl-ai.dev/v1alpha1"
	Kind       = "Project"
)

// Project is a bundle with its settings, all defaults filled in.
type Project struct {
	Name         string
	Dir          string // absolute
	Code         []Code
	Reload       Reload
	Agent        Agent
	Metrics      []Metric
	Data         *Data // the contract about samples; nil: none
	RemoteBases  bool  // kustomize may fetch what the bundle names elsewhere
	Environments map[string]Environment
}

// Code is one folder of code and the containers that get it.
type Code struct {
	// Path is the local folder, absolute.
	Path string
	// MountPath is where containers see it; empty: the container's workingDir.
	MountPath string
	// Targets are Kind/name or Kind/name/container; empty: every container
	// whose workingDir is MountPath.
	Targets []string
	// Ignore holds patterns in gitignore syntax beside the tree's own, and
	// IgnoreLines where in the project file each of them stands.
	Ignore      []string
	IgnoreLines []int
	// Hides holds patterns in gitignore syntax, from MountPath on: files of
	// the runtime image that may vanish behind the code.
	Hides []string
}

// Reload says how a process makes way for that of the next generation.
type Reload struct {
	StopSignal  string        // default TERM
	GracePeriod time.Duration // default 10s
	// Preload are Python modules that are imported once, such as torch: runs
	// are forked from there.
	Preload []string
	// Checkpoint is what a process is asked to write before it is stopped.
	Checkpoint Checkpoint
	// Policies say what a save of some files does, in the order of the file:
	// the last that has a path decides, and without one the process restarts.
	Policies []Policy
}

// Checkpoint is a file or folder in which a process saves its state when it is
// asked to. The zero value asks for none.
type Checkpoint struct {
	Path    string        // as the process sees it: relative to the code, or absolute
	Signal  string        // that asks for it, without SIG; default USR1
	Timeout time.Duration // after which the process is stopped without; default 1m
}

// Agent is what dev puts into pods beside the code.
type Agent struct {
	// Image holds the agent, for clusters whose nodes pull it; empty in
	// sandboxes, which get it from kubectl ai itself.
	Image string
}

// FileError is a mistake in the project file, with its line where known.
type FileError struct {
	Path string
	Line int
	Msg  string
}

func (e *FileError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.Path, e.Line, e.Msg)
	}
	return fmt.Sprintf("%s: %s", e.Path, e.Msg)
}

// NoCodeError says that a code folder is not there.
type NoCodeError struct{ Path string }

func (e *NoCodeError) Error() string { return fmt.Sprintf("code folder %s: no such folder", e.Path) }

// file is kubectl-ai.yaml as it is written.
type file struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Code []struct {
		Path      string      `yaml:"path"`
		MountPath string      `yaml:"mountPath"`
		Targets   []string    `yaml:"targets"`
		Ignore    []yaml.Node `yaml:"ignore"`
		Hides     []yaml.Node `yaml:"hides"`
	} `yaml:"code"`
	Reload struct {
		StopSignal  string   `yaml:"stopSignal"`
		GracePeriod string   `yaml:"gracePeriod"`
		Preload     modules  `yaml:"preload"`
		Policies    policies `yaml:"policies"`
		Checkpoint  *struct {
			Path    string `yaml:"path"`
			Signal  string `yaml:"signal"`
			Timeout string `yaml:"timeout"`
		} `yaml:"checkpoint"`
	} `yaml:"reload"`
	Agent struct {
		Image string `yaml:"image"`
	} `yaml:"agent"`
	Environments map[string]environmentFile `yaml:"environments"`
	Metrics      []metricFile               `yaml:"metrics"`
	Data         *dataFile                  `yaml:"data"`
	RemoteBases  bool                       `yaml:"remoteBases"`
}

// modules are names of Python modules.
type modules []string

var moduleName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

// UnmarshalYAML checks each name where its line is known.
func (m *modules) UnmarshalYAML(node *yaml.Node) error {
	var names []string
	if err := node.Decode(&names); err != nil {
		return err
	}
	names = nil // what is null was left out
	for _, item := range node.Content {
		var name string
		if err := item.Decode(&name); err != nil {
			return err
		}
		switch {
		case !moduleName.MatchString(name):
			return fmt.Errorf("line %d: reload.preload %q is no module's name such as torch", item.Line, name)
		case slices.Contains(names, name):
			return fmt.Errorf("line %d: reload.preload names %s twice", item.Line, name)
		}
		names = append(names, name)
	}
	*m = names
	return nil
}

// Load reads the project in dir. It returns a *FileError for a mistake in the
// file and a *NoCodeError when a code folder is missing.
func Load(dir string) (*Project, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the bundle: %w", err)
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("open the bundle: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open the bundle: %s is no folder", root)
	}
	path := filepath.Join(root, FileName)
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the project file: %w", err)
	}
	f, err := parse(path, raw)
	if err != nil {
		return nil, err
	}
	p, err := f.project(root, path)
	if err != nil {
		return nil, err
	}
	for _, c := range p.Code {
		if info, err := os.Stat(c.Path); err != nil || !info.IsDir() {
			return nil, &NoCodeError{Path: c.Path}
		}
	}
	return p, nil
}

// parse decodes the file; an empty one is a project of defaults.
func parse(path string, raw []byte) (*file, error) {
	var f file
	if len(bytes.TrimSpace(raw)) == 0 {
		return &f, nil
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		return nil, fileError(path, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &FileError{Path: path, Msg: "more than one YAML document"}
	}
	if f.APIVersion != APIVersion || f.Kind != Kind {
		return nil, &FileError{Path: path, Line: 1, Msg: fmt.Sprintf("want apiVersion %s and kind %s, found %q and %q", APIVersion, Kind, f.APIVersion, f.Kind)}
	}
	return &f, nil
}

// fileError takes the line out of the decoder's message, whose form is
// "line N: what".
func fileError(path string, err error) error {
	msg := err.Error()
	var typed *yaml.TypeError
	if errors.As(err, &typed) && len(typed.Errors) > 0 {
		msg = typed.Errors[0]
	}
	msg = strings.TrimPrefix(msg, "yaml: ")
	line := 0
	if _, scanErr := fmt.Sscanf(msg, "line %d:", &line); scanErr == nil {
		_, msg, _ = strings.Cut(msg, ": ")
	}
	msg = strings.TrimSuffix(msg, " in type project.file")
	if field, rest, ok := strings.Cut(msg, " not found"); ok && strings.HasPrefix(field, "field ") {
		msg = "unknown " + field
		_ = rest
	}
	return &FileError{Path: path, Line: line, Msg: msg}
}

func (f *file) project(root, path string) (*Project, error) {
	bad := func(format string, args ...any) error {
		return &FileError{Path: path, Msg: fmt.Sprintf(format, args...)}
	}
	var err error
	p := &Project{Name: f.Metadata.Name, Dir: root, Environments: map[string]Environment{}}
	if p.Name == "" {
		p.Name = nameFrom(filepath.Base(root))
	}
	if problems := validation.IsDNS1123Label(p.Name); len(problems) > 0 {
		return nil, bad("metadata.name %q: %s", p.Name, problems[0])
	}
	for i, c := range f.Code {
		if c.Path == "" {
			return nil, bad("code[%d].path is missing", i)
		}
		if c.MountPath != "" && !strings.HasPrefix(c.MountPath, "/") {
			return nil, bad("code[%d].mountPath %q is not absolute", i, c.MountPath)
		}
		code := Code{Path: within(root, c.Path), MountPath: strings.TrimRight(c.MountPath, "/"), Targets: c.Targets}
		for _, node := range c.Ignore {
			if err := code.ignore(node); err != nil {
				return nil, &FileError{Path: path, Line: node.Line, Msg: fmt.Sprintf("code[%d].ignore: %v", i, err)}
			}
		}
		for _, node := range c.Hides {
			text, err := pattern(&node)
			if err != nil {
				return nil, &FileError{Path: path, Line: node.Line, Msg: fmt.Sprintf("code[%d].hides: %v", i, err)}
			}
			code.Hides = append(code.Hides, text)
		}
		p.Code = append(p.Code, code)
	}
	if len(p.Code) == 0 {
		p.Code = []Code{{Path: conventionalCode(root)}}
	}
	if len(p.Code) > 1 {
		return nil, bad("code: one folder of code is supported, found %d", len(p.Code))
	}
	p.Reload = Reload{StopSignal: "TERM", GracePeriod: 10 * time.Second}
	if s := f.Reload.StopSignal; s != "" {
		p.Reload.StopSignal = strings.TrimPrefix(strings.ToUpper(s), "SIG")
	}
	if g := f.Reload.GracePeriod; g != "" {
		d, err := time.ParseDuration(g)
		if err != nil || d < 0 {
			return nil, bad("reload.gracePeriod %q is no duration such as 10s", g)
		}
		p.Reload.GracePeriod = d
	}
	p.Reload.Preload, p.Reload.Policies = f.Reload.Preload, f.Reload.Policies
	if c := f.Reload.Checkpoint; c != nil {
		k := Checkpoint{Path: c.Path, Signal: strings.TrimPrefix(strings.ToUpper(cmp.Or(c.Signal, "USR1")), "SIG"), Timeout: time.Minute}
		switch {
		case c.Path == "" || filepath.Clean(c.Path) == "." || strings.HasPrefix(filepath.Clean(c.Path), ".."):
			return nil, bad("reload.checkpoint.path %q: want where the program writes, such as out/checkpoints", c.Path)
		case !slices.Contains(signals, k.Signal):
			return nil, bad("reload.checkpoint.signal %q: want one of %s", c.Signal, strings.Join(signals, ", "))
		}
		if c.Timeout != "" {
			d, err := time.ParseDuration(c.Timeout)
			if err != nil || d <= 0 {
				return nil, bad("reload.checkpoint.timeout %q is no duration such as 60s", c.Timeout)
			}
			k.Timeout = d
		}
		p.Reload.Checkpoint = k
	}
	if image := f.Agent.Image; image != "" {
		if _, err := name.ParseReference(image); err != nil {
			return nil, bad("agent.image %q is no image such as registry.example/kubectl-ai/agent@sha256:…", image)
		}
		p.Agent.Image = image
	}
	p.RemoteBases = f.RemoteBases
	if f.Data != nil {
		p.Data = &f.Data.data
	}
	if p.Metrics, err = readMetrics(f.Metrics); err != nil {
		return nil, bad("%v", err)
	}
	if err := p.readEnvironments(f.Environments); err != nil {
		return nil, bad("environments.%v", err)
	}
	return p, nil
}

// ignore adds a pattern.
func (c *Code) ignore(node yaml.Node) error {
	text, err := pattern(&node)
	if err != nil {
		return err
	}
	c.Ignore, c.IgnoreLines = append(c.Ignore, text), append(c.IgnoreLines, node.Line)
	return nil
}

// pattern returns a pattern in gitignore syntax. One that begins with an
// exclamation mark is a tag to YAML and silently empty unless it is quoted.
func pattern(node *yaml.Node) (string, error) {
	if node.Kind == yaml.AliasNode {
		*node = *node.Alias
	}
	switch {
	case strings.HasPrefix(node.Tag, "!") && !strings.HasPrefix(node.Tag, "!!"):
		return "", fmt.Errorf("quote the pattern: %q", node.Tag+node.Value)
	case node.Kind != yaml.ScalarNode:
		return "", errors.New("want a list of patterns")
	}
	return node.Value, nil
}

// within resolves a path of the file against the bundle's folder.
func within(root, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(root, path)
}

func conventionalCode(root string) string {
	src := filepath.Join(root, "src")
	if info, err := os.Stat(src); err == nil && info.IsDir() {
		return src
	}
	return root
}

// nameFrom makes a DNS label of a folder's name.
func nameFrom(base string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(base) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		default:
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}
