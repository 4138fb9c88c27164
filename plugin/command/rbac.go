package command

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/preflight"
)

// RBACOptions are the arguments of `rbac`.
type RBACOptions struct {
	Dir     string
	To      string
	Cluster string
	For     string
}

// NewCmdRBAC returns `kubectl ai rbac`.
func NewCmdRBAC(f *Factory) *cobra.Command {
	o := &RBACOptions{}
	cmd := &cobra.Command{
		Use:   "rbac [DIR] --to ENVIRONMENT",
		Short: "Print the Role that promoting a bundle needs, and nothing more",
		Long: `Writes, as YAML for kubectl apply, a Role a namespace with the verbs that promote,
rollback and prune need on the bundle's kinds, on pods to watch them, and on the
record and the lock of its releases; a ClusterRole where the bundle has objects
outside namespaces; and their bindings. A Role of the bundle may grant only what
its writer holds: those rules are in it too.

They are bound to the user that the cluster takes you for, or to --for. Nothing is
changed, and nothing of it needs rights: an administrator pipes it into kubectl.`,
		Example: `  kubectl ai rbac --to production
  kubectl ai rbac --to production --for system:serviceaccount:ci:deployer | kubectl apply -f -`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if o.To == "" {
				return explain.Usagef("--to is missing: name the environment, such as --to production")
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addEnvironment(cmd, &o.To)
	cmd.Flags().StringVar(&o.Cluster, "cluster", "", "which cluster, where the environment has several")
	cmd.Flags().StringVar(&o.For, "for", "", "user that the Role is bound to, as the cluster names it (default: who you are there)")
	return cmd
}

// Run prints the Role.
func (o *RBACOptions) Run(ctx context.Context, f *Factory) error {
	p, err := o.open(ctx, f)
	if err != nil {
		return err
	}
	objects := p.objects
	if goesAsConfigMap(p.env) {
		for _, t := range p.targets {
			code := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
			code.SetName("code")
			code.SetNamespace(t.Object.GetNamespace())
			objects = append(objects, code)
		}
	}
	check := preflight.Check{Client: p.Cluster, Project: p.project.Name, Environment: o.To, Pinned: p.pinned, Objects: objects, Namespace: p.namespace, Logs: len(p.project.Targets()) > 0}
	role, err := check.Role(ctx, o.For)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(f.Streams.Out, role)
	return err
}

// goesAsConfigMap says whether the code of an environment is an object of the
// cluster: images need a registry.
func goesAsConfigMap(env project.Environment) bool {
	return env.CodeFormats[0] == project.FormatConfigMap || env.Registry == "" && slices.Contains(env.CodeFormats, project.FormatConfigMap)
}

func (o *RBACOptions) open(ctx context.Context, f *Factory) (*production, error) {
	if o.Cluster == "" {
		return openProduction(ctx, f, o.Dir, o.To, nil)
	}
	all, err := openClusters(ctx, f, o.Dir, o.To, []string{o.Cluster})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}
