package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// outputVersion is the version of what -o json prints.
const outputVersion = "kubectl-ai.dev/v1alpha1"

// sandboxList is what `sandbox list -o json` prints.
type sandboxList struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Items      []sandboxView `json:"items"`
}

func (l sandboxList) names() []string {
	names := make([]string, len(l.Items))
	for i, v := range l.Items {
		names[i] = "sandbox/" + v.Name
	}
	return names
}

// sandboxView is a sandbox as -o json prints it; what `status` alone knows is
// absent from a list.
type sandboxView struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Name       string        `json:"name"`
	Context    string        `json:"context"`
	State      cluster.State `json:"state"`
	Created    time.Time     `json:"created"`
	Kubernetes string        `json:"kubernetes,omitempty"`
	Image      string        `json:"image"`
	Engine     string        `json:"engine,omitempty"`
	GPUs       gpuView       `json:"gpus"`
	Registry   *registryView `json:"registry,omitempty"`
	Nodes      []nodeView    `json:"nodes"`
}

type gpuView struct {
	Mode    string      `json:"mode"` // fake, real, mixed or none
	Profile string      `json:"profile,omitempty"`
	PerNode int         `json:"perNode,omitempty"`
	Nodes   []spec.GPUs `json:"nodes,omitempty"` // of each node, the control plane first
}

func (g gpuView) String() string {
	if g.Mode == "none" {
		return "none"
	}
	return fmt.Sprintf("%s (%s)", g.equipment(), g.Mode)
}

func (g gpuView) equipment() string {
	if len(g.Nodes) == 0 { // made by a version that knew one kind of node
		return equipment([]spec.GPUs{{Profile: g.Profile, Count: g.PerNode}})
	}
	return equipment(g.Nodes)
}

type registryView struct {
	Host    string `json:"host"`
	Answers *bool  `json:"answers,omitempty"`
}

type nodeView struct {
	Name       string `json:"name"`
	Role       string `json:"role"`
	Running    bool   `json:"running"`
	Address    string `json:"address,omitempty"`
	Ready      *bool  `json:"ready,omitempty"`
	Kubernetes string `json:"kubernetes,omitempty"`
	GPUs       *int   `json:"allocatableGPUs,omitempty"`
}

func (v sandboxView) registryHost() string {
	if v.Registry == nil {
		return ""
	}
	return v.Registry.Host
}

// viewOf is what the engine and the mark know of a sandbox.
func viewOf(c cluster.Cluster) sandboxView {
	v := sandboxView{
		APIVersion: outputVersion, Kind: "Sandbox",
		Name: c.Name, Context: c.Context(), State: c.State, Created: c.Mark.Created,
		Kubernetes: c.Mark.Kubernetes, Image: c.Mark.Image, GPUs: gpuView(c.Mark.GPUs),
		Nodes: []nodeView{},
	}
	if e, ok := endpoint(c.Mark); ok {
		v.Registry = &registryView{Host: e.Host()}
	}
	for _, n := range c.Nodes {
		v.Nodes = append(v.Nodes, nodeView{Name: n.Name, Role: n.Role, Running: n.Running, Address: n.Address})
	}
	return v
}

// outputs are the formats of -o beside the table.
var outputs = []string{"json", "yaml", "name"}

// addOutput offers -o with completion.
func addOutput(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "", "output format: json, yaml or name (default: a table)")
	completeWords(cmd, "output", outputs...)
}

// checkOutput refuses a format that is not known.
func checkOutput(output string) error {
	return checkOneOf("output", output, append([]string{""}, outputs...)...)
}

// printAs prints a value as -o asks for, a table without it.
func printAs(w io.Writer, output string, value any, names []string, table func(io.Writer) error) error {
	switch output {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	case "yaml":
		content, err := yaml.Marshal(value)
		if err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	case "name":
		for _, name := range names {
			if _, err := fmt.Fprintln(w, name); err != nil {
				return err
			}
		}
		return nil
	}
	rows := term.Cut(w, term.Width(w))
	return errors.Join(table(rows), rows.Close())
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
