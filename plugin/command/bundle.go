package command

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// rendered is a bundle as one environment sees it.
type rendered struct {
	project   *project.Project
	env       project.Environment
	namespace string
	objects   []*unstructured.Unstructured
	targets   []workload.Target
}

// render loads the project in dir, builds the environment's overlay and finds
// the containers that get the code. Whose namespace counts says settle.
func render(f *Factory, dir, environment string) (*rendered, error) {
	p, err := project.Load(dir)
	if err != nil {
		return nil, err
	}
	env, err := p.Environment(environment)
	if err != nil {
		return nil, err
	}
	objects, err := bundle.Render(env.Overlay, bundle.Options{Remote: p.RemoteBases})
	if err != nil {
		return nil, err
	}
	code := p.Code[0]
	targets, err := workload.Select(objects, code.MountPath, code.Targets)
	if err != nil {
		return nil, err
	}
	workload.NumberRanks(targets)
	tellContracts(p, targets)
	r := &rendered{project: p, env: env, objects: objects, targets: targets}
	return r, r.settle(f, sandboxContext(f, env))
}

// settle decides the namespace, as kubectl does: -n, else the environment's of
// the project file, else the overlay's, else that of the context. Where the
// overlay names one and the command line or the project file another, objects
// would go to one and be looked for in the other: *bundle.NamespaceError.
func (r *rendered) settle(f *Factory, context string) error {
	var followed []*unstructured.Unstructured
	for _, t := range r.targets {
		followed = append(followed, t.Object)
	}
	given, placed := f.Namespace(), followed
	if given != "" {
		placed = r.objects
	}
	if given = cmp.Or(given, r.env.Namespace); given != "" {
		if err := bundle.CheckNamespace(placed, given); err != nil {
			return err
		}
	}
	r.namespace = cmp.Or(given, followed[0].GetNamespace(), f.contextNamespace(context))
	return nil
}

// tellContracts hands containers what the project says of its data and its
// metrics.
func tellContracts(p *project.Project, targets []workload.Target) {
	workload.TellContract(targets, workload.DataContract, p.Data.Contract())
	workload.TellContract(targets, workload.MetricsContract, p.MetricsContract())
}

// dirArg returns the bundle's folder: the argument, or the working directory.
func dirArg(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

// newCmdDigest returns `kubectl ai digest`.
func newCmdDigest(f *Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "digest [DIR]",
		Short: "Print the digest of a bundle's code as it is on this machine",
		Long: `Prints the digest that receipts, releases and image annotations carry. It is
the SHA-256 over one line per file, sorted by path:

  <f|x|l> <SHA-256 of the content, or of a link's target>  <path>

f is a file, x an executable one, l a symbolic link; so find, sort and
sha256sum recompute it. Ignored files are not part of it, nor are files that
are held back, which stderr names; kubectl ai why-ignored says what decides.`,
		Example: `  kubectl ai digest
  kubectl ai digest samples/digits`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := project.Load(dirArg(args))
			if err != nil {
				return err
			}
			index, err := scan(cmd.Context(), f, p.Code[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(f.Streams.Out, index.Digest())
			return err
		},
	}
}
