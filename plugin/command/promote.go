package command

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/preflight"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// PromoteOptions are the arguments of `promote`.
type PromoteOptions struct {
	Dir     string
	To      string
	Yes     bool
	DryRun  bool
	Timeout time.Duration
	Output  string
}

// NewCmdPromote returns `kubectl ai promote`.
func NewCmdPromote(f *Factory) *cobra.Command {
	o := &PromoteOptions{}
	cmd := &cobra.Command{
		Use:   "promote [DIR] --to ENVIRONMENT",
		Short: "Take a bundle, with the code as it is here, to another cluster",
		Long: `Packages the code as one layer on the runtime image, pushes it to the
environment's registry, renders the environment's overlay with images by digest,
checks whether it can work there, shows the difference, asks, applies it
server-side, waits until all ranks run, and records the release.

A Job gets a name made of what it runs, so that another template is another run.
An earlier Job that still runs is left running. Objects that the bundle no longer
holds are removed; Namespaces, CRDs and volume claims never are. Objects that no
release made are refused, conflicts with other managers are never forced. The
same bundle again writes nothing.`,
		Example: `  kubectl ai promote samples/digits --to production
  kubectl ai promote --to production --dry-run`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addPromotionFlags(cmd, &o.To, &o.Yes, &o.Timeout)
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "show what would change, and push and apply nothing")
	addOutput(cmd, &o.Output)
	return cmd
}

func addPromotionFlags(cmd *cobra.Command, to *string, yes *bool, timeout *time.Duration) {
	addEnvironment(cmd, to)
	cmd.Flags().BoolVar(yes, "yes", false, "do not ask before the cluster is changed")
	cmd.Flags().DurationVar(timeout, "timeout", 10*time.Minute, "how long the workloads may take to run")
}

func addEnvironment(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "to", "", "environment of the bundle, such as production")
	_ = cmd.RegisterFlagCompletionFunc("to", func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		p, err := project.Load(dirArg(args))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for name := range p.Environments {
			names = append(names, name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// Validate checks the flags.
func (o *PromoteOptions) Validate() error {
	if o.To == "" {
		return explain.Usagef("--to is missing: name the environment to promote to, such as --to production")
	}
	return checkOutput(o.Output)
}

// Run promotes.
func (o *PromoteOptions) Run(ctx context.Context, f *Factory) error {
	if !o.Yes && !o.DryRun && !f.Streams.InTerminal() {
		return fmt.Errorf("promote to %s: %w", o.To, explain.NoTerminal)
	}
	p, err := openProduction(ctx, f, o.Dir, o.To)
	if err != nil {
		return err
	}
	code := p.project.Code[0]
	index, err := scan(ctx, code)
	if err != nil {
		return err
	}
	p.progress.Start("Check " + p.context)
	missing, err := preflight.Check(ctx, preflight.Target{Client: p.client, Namespace: p.namespace, Objects: p.objects, Resource: p.target.Apply.Resource})
	p.progress.End(err)
	if err != nil {
		return err
	}
	images, err := o.images(ctx, f, p, code, index)
	if err != nil {
		return err
	}
	if err := promote.Mark(p.objects, p.project.Name, index.Digest()); err != nil {
		return err
	}
	if err := promote.NameJobs(p.objects); err != nil {
		return err
	}
	if missing {
		f.Streams.Talk("namespace %s does not exist and is made", p.namespace)
		if o.DryRun {
			return nil
		}
		if err := makeNamespace(ctx, p); err != nil {
			return err
		}
	}
	plan, err := p.target.Plan(ctx, p.objects, release.Release{
		Project: p.project.Name, Environment: o.To, TreeDigest: index.Digest(), Images: images, Who: who(), Context: p.context,
	})
	if err != nil {
		return err
	}
	if plan.Nothing() {
		f.Streams.Talk("nothing to do: %s runs this bundle with this code already (%s)", p.context, index.Digest().Short())
		return nil
	}
	r, err := p.carry(ctx, f, plan, o.Yes, o.DryRun, o.Timeout)
	if err != nil || r == nil {
		return err
	}
	f.Streams.Talk("release %d of %s runs in %s, code %s", r.Revision, p.project.Name, p.context, r.TreeDigest)
	return printRelease(f, o.Output, *r)
}

// images packages the code for each target's runtime image and pins the
// result by digest; the same runtime image is packaged once.
func (o *PromoteOptions) images(ctx context.Context, f *Factory, p *production, code project.Code, index tree.Index) (map[string]string, error) {
	if p.env.Registry == "" {
		return nil, explain.Usagef("environment %s names no registry: set environments.%s.registry in %s", o.To, o.To, project.FileName)
	}
	cache, err := f.Cache()
	if err != nil {
		return nil, err
	}
	builder := &carrier.Builder{Cache: cache, Arch: p.architecture(ctx)}
	if e, err := engine.Detect(ctx); err == nil {
		builder.Engine = e
	}
	images, done := map[string]string{}, map[string]string{}
	for _, t := range p.targets {
		runtime := t.Container.Image()
		key := runtime + " " + t.MountPath
		if done[key] == "" {
			p.progress.Start("Package the code on " + runtime)
			ref, err := o.image(ctx, builder, p, code, index, runtime, t.MountPath)
			p.progress.End(err)
			if err != nil {
				return nil, err
			}
			done[key] = ref
		}
		t.Container.SetImage(done[key])
		images[t.String()] = done[key]
	}
	return images, nil
}

func (o *PromoteOptions) image(ctx context.Context, b *carrier.Builder, p *production, code project.Code, index tree.Index, runtime, mountPath string) (string, error) {
	base, err := b.Resolve(ctx, runtime)
	if err != nil {
		return "", err
	}
	img, err := carrier.Append(base, code.Path, index, mountPath)
	if err != nil {
		return "", err
	}
	repository, err := carrier.Repository(p.env.Registry, p.project.Name, runtime)
	if err != nil {
		return "", err
	}
	if o.DryRun {
		digest, err := img.Digest()
		return repository + "@" + digest.String(), err
	}
	ref, _, err := b.Push(ctx, img, repository)
	return ref, err
}

// architecture is that of the target's nodes; amd64 where they cannot be
// listed.
func (p *production) architecture(ctx context.Context) string {
	nodes, err := p.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil || len(nodes.Items) == 0 || nodes.Items[0].Status.NodeInfo.Architecture == "" {
		return "amd64"
	}
	return nodes.Items[0].Status.NodeInfo.Architecture
}

func makeNamespace(ctx context.Context, p *production) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}}
	_, err := p.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make namespace %s: %w", p.namespace, err)
	}
	return nil
}
