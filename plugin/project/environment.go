package project

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Names of the environments that exist by convention.
const (
	Sandbox    = "sandbox"
	Production = "production"
)

// Code formats: how the code tree reaches a container in an environment.
const (
	FormatLayer       = "layer"       // a layer on the runtime image
	FormatImageVolume = "imageVolume" // an image of its own that pods mount, read-only
	FormatConfigMap   = "configMap"   // immutable ConfigMaps, a few MiB, read-only
)

// defaultFormats are those of an environment that names none. A layer stands
// first because a program may write beside it, as it may under dev; without a
// registry small code goes as ConfigMaps.
var defaultFormats = []string{FormatLayer, FormatConfigMap}

// Environment is where a bundle runs: an overlay, a cluster, a namespace.
type Environment struct {
	Name      string
	Overlay   string // absolute path
	Context   string // kubeconfig context; empty: the caller decides
	Namespace string // empty: what the overlay says, else default
	// InSandbox says that the environment shares the sandbox's cluster on
	// purpose; others are refused there, since it is most likely a mistake.
	InSandbox bool
	// CodeFormats are the ways that the code may go there; the first that the
	// cluster can take is used.
	CodeFormats []string
	Registry    string // host[:port][/path] that images are pushed to
	ClusterUID  string // of kube-system in Context; empty: the cluster is not pinned
	Gates       []Gate // what has to hold before anything is applied
	// Canary is how the next pods of a served workload are tried; nil: they
	// replace the former ones at once.
	Canary *Canary
	// Clusters are where the environment is, if it is in several: Waves is in
	// which order, and OnFailure is Rollback or Stop.
	Clusters  []Cluster
	Waves     []Wave
	OnFailure string
}

// UnknownEnvironmentError says that the bundle has no such environment.
type UnknownEnvironmentError struct {
	Name  string
	Known []string
}

func (e *UnknownEnvironmentError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("no environment %q: the bundle has no overlays", e.Name)
	}
	return fmt.Sprintf("no environment %q: the bundle has %s", e.Name, strings.Join(e.Known, ", "))
}

// environmentFile is an environment as it is written.
type environmentFile struct {
	Overlay    string  `yaml:"overlay"`
	Context    string  `yaml:"context"`
	Namespace  string  `yaml:"namespace"`
	InSandbox  bool    `yaml:"inSandbox"`
	CodeFormat formats `yaml:"codeFormat"`
	Registry   string  `yaml:"registry"`
	Fleet      fleet   `yaml:",inline"`
}

var known = []string{FormatLayer, FormatImageVolume, FormatConfigMap}

// formats is one code format or a list of them.
type formats []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (f *formats) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		var one string
		if err := node.Decode(&one); err != nil || one == "" {
			return err
		}
		*f = formats{one}
		return nil
	}
	var list []string
	if err := node.Decode(&list); err != nil {
		return err
	}
	*f = list
	return nil
}

// Environment returns the environment of that name.
func (p *Project) Environment(name string) (Environment, error) {
	e, ok := p.Environments[name]
	if !ok {
		return Environment{}, &UnknownEnvironmentError{Name: name, Known: slices.Sorted(maps.Keys(p.Environments))}
	}
	return e, nil
}

// readEnvironments takes in those of the file, beside the bundle's overlays.
func (p *Project) readEnvironments(list map[string]environmentFile) error {
	for _, name := range conventionalOverlays(p.Dir) {
		p.Environments[name] = Environment{Name: name, Overlay: filepath.Join(p.Dir, "overlays", name), CodeFormats: defaultFormats}
	}
	for name, e := range list {
		env, err := e.environment(p, name)
		if err != nil {
			return fmt.Errorf("%s.%w", name, err)
		}
		p.Environments[name] = env
	}
	for name, env := range p.Environments {
		for i, g := range env.Gates {
			if _, known := p.Environments[g.From]; (g.Metric != "" || g.Validation) && g.From != "" && g.From != Sandbox && !known {
				return fmt.Errorf("%s.gates[%d].from %q is no environment", name, i, g.From)
			}
		}
	}
	return nil
}

func (e *environmentFile) environment(p *Project, name string) (Environment, error) {
	env := Environment{Name: name, Overlay: filepath.Join(p.Dir, "overlays", name), Context: e.Context, Namespace: e.Namespace, InSandbox: e.InSandbox, CodeFormats: e.CodeFormat, Registry: e.Registry}
	if e.Overlay != "" {
		env.Overlay = within(p.Dir, e.Overlay)
	}
	if len(env.CodeFormats) == 0 {
		env.CodeFormats = defaultFormats
	}
	for i, format := range env.CodeFormats {
		switch {
		case !slices.Contains(known, format):
			return env, fmt.Errorf("codeFormat %q: want one of %s, or a list of them", format, strings.Join(known, ", "))
		case slices.Contains(env.CodeFormats[:i], format):
			return env, fmt.Errorf("codeFormat names %s twice", format)
		}
	}
	return env, e.Fleet.read(&env, p.Metrics)
}

func conventionalOverlays(root string) []string {
	entries, err := os.ReadDir(filepath.Join(root, "overlays"))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}
