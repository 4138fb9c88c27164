package command

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/plugin/edge"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gitops"
)

// EdgeOptions are the arguments of `edge`.
type EdgeOptions struct {
	Dir         string
	Environment string
	Model       string
	Into        string
	Output      string
	Start       []string // what the device runs; empty: what the bundle serves with

	tag *name.Tag // of Into, where it is a registry
}

// edgeView is what `edge -o json` prints.
type edgeView struct {
	APIVersion  string   `json:"apiVersion"`
	Kind        string   `json:"kind"`
	Name        string   `json:"name"`
	Into        string   `json:"into"` // the folder, or the artifact by digest
	Archive     string   `json:"archive,omitempty"`
	TreeDigest  string   `json:"treeDigest"`
	ModelDigest string   `json:"modelDigest"`
	Start       []string `json:"start"`
	Files       []string `json:"files"`
}

// NewCmdEdge returns `kubectl ai edge`.
func NewCmdEdge(f *Factory) *cobra.Command {
	o := &EdgeOptions{}
	cmd := &cobra.Command{
		Use:   "edge [DIR] --model FILE --into FOLDER|oci://REGISTRY/NAME:TAG [-- PROGRAM ARGS]",
		Short: "Pack code and model for a device without containers",
		Long: `Makes a folder that runs on a device with plain Python 3: the code of the bundle, the
model, run.sh, a systemd unit, and SHA256SUMS. --into FOLDER gets it as a folder and as
a .tar.gz, oci:// as an artifact whose one layer is that archive. The same code and
model give the same bytes.

What the device starts is the program after --, else that of the container of stage
serve in the environment's overlay, with the variables that have plain values there.
What the overlay takes from a cluster (ConfigMaps, Secrets, the downward API) is not on
a device. No cluster is asked. A folder of an earlier run is replaced.`,
		Example: `  kubectl ai validate --save-model out && kubectl ai edge --model out/model.json --into dist
  kubectl ai edge --model out/model.json --into oci://registry.example/edge/digits:1
  kubectl ai edge --model out/model.json --into dist -- predict.py`,
		Args: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				args = args[:at]
			}
			return atMostOne(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				args, o.Start = args[:at], args[at:]
				if len(o.Start) == 0 {
					return explain.Usagef("nothing stands after --: name a program of the code, such as -- predict.py")
				}
			}
			o.Dir = dirArg(args)
			if err := o.Complete(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addOutput(cmd, &o.Output)
	cmd.Flags().Lookup("output").Usage = "output format: json, yaml or name (default: the files)"
	cmd.Flags().StringVar(&o.Model, "model", "", "file of the model")
	cmd.Flags().StringVar(&o.Into, "into", "", "folder that gets NAME/ and NAME.tar.gz, or oci://registry/name:tag")
	cmd.Flags().StringVarP(&o.Environment, "environment", "e", project.Production, "environment whose overlay says what is started")
	return cmd
}

// Complete checks the arguments.
func (o *EdgeOptions) Complete() error {
	switch {
	case o.Model == "":
		return explain.Usagef("--model is missing: name the file, such as that of kubectl ai validate --save-model")
	case o.Into == "":
		return explain.Usagef("--into is missing: name a folder, or oci://registry/name:tag")
	}
	if ref, ok := strings.CutPrefix(o.Into, ociScheme); ok {
		tag, err := name.NewTag(ref)
		if err != nil {
			return explain.Usagef("--into %s: want oci://registry/name:tag: %w", o.Into, err)
		}
		o.tag = &tag
	}
	return checkOutput(o.Output)
}

// Run packs the bundle.
func (o *EdgeOptions) Run(ctx context.Context, f *Factory) error {
	p, err := project.Load(o.Dir)
	if err != nil {
		return err
	}
	start := edge.Start{Args: o.Start}
	if len(o.Start) == 0 {
		if start, err = o.served(p); err != nil {
			return err
		}
	}
	model, err := edge.ReadModel(o.Model)
	if err != nil {
		return err
	}
	index, err := scan(ctx, f, p.Code[0])
	if err != nil {
		return err
	}
	packed, err := edge.New(p.Name, carrier.Folder(p.Code[0].Path, index), model, start)
	if err != nil {
		return err
	}
	view := edgeView{
		APIVersion: outputVersion, Kind: "EdgeBundle", Name: p.Name, TreeDigest: packed.Tree, ModelDigest: packed.Model,
		Start: append([]string{"python3"}, start.Args...), Files: packed.Names(),
	}
	if o.tag != nil {
		artifact, err := packed.Artifact()
		if err != nil {
			return err
		}
		digest, err := gitops.Push(ctx, artifact, *o.tag)
		if err != nil {
			return err
		}
		view.Into = ociScheme + digest.String()
	} else if view.Into, view.Archive, err = packed.Write(o.Into); err != nil {
		return err
	}
	f.Streams.Talk("%s holds code %s and model %s; it starts %s", view.Into, packed.Tree, packed.Model, strings.Join(view.Start, " "))
	if view.Archive != "" {
		f.Streams.Talk("next: %s/run.sh, or copy %s to a device", view.Into, view.Archive)
	}
	return printAs(f.Streams.Out, o.Output, view, []string{view.Into}, func(w io.Writer) error {
		for _, file := range view.Files {
			if _, err := fmt.Fprintln(w, file); err != nil {
				return err
			}
		}
		return nil
	})
}

// served returns what the environment's overlay serves with.
func (o *EdgeOptions) served(p *project.Project) (edge.Start, error) {
	env, err := p.Environment(o.Environment)
	if err != nil {
		return edge.Start{}, err
	}
	objects, err := bundle.Render(env.Overlay, bundle.Options{Remote: p.RemoteBases})
	if err != nil {
		return edge.Start{}, err
	}
	return edge.FromBundle(objects, env.Name)
}
