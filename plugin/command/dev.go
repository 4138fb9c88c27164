package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// DevOptions are the arguments of `dev`.
type DevOptions struct {
	Dir     string
	Once    bool
	Cleanup bool
	Yes     bool
	Timeout time.Duration
	Output  string
	Events  string
	Forward bool

	allow allowance
}

// NewCmdDev returns `kubectl ai dev`.
func NewCmdDev(f *Factory) *cobra.Command {
	o := &DevOptions{}
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Run a bundle in a sandbox; every save runs in all ranks",
		Long: `Applies the bundle's sandbox overlay and keeps the code in the running pods the
same as the code on this machine. A save reaches all ranks as one complete tree;
their processes restart in it (or get a signal, or run on, as reload.policies in
kubectl-ai.yaml say), their pods stay. Each rank answers with a receipt: the digest
of the tree it has, what its process runs, its working directory. What git
ignores is not sent; files that look like secrets, and large ones, are held back
and named once (kubectl ai why-ignored PATH says what decides).

dev changes the sandbox alone, and there only what the bundle names. Another
cluster takes --allow-context with its context's name, on the command line each
time; there dev makes no namespace and changes no object that it did not apply,
and the nodes pull all images, that of the agent too (kubectl ai agent push). It
never writes to the folder it watches. A manifest that changed and cannot be applied
to a running Job replaces the Job only after a question. Ctrl-C detaches and
leaves the workload running; --cleanup removes it.

TCP ports that containers declare are reachable on 127.0.0.1 meanwhile, under the
same number where it is free: those of rank 0, or of a workload's oldest pod. They
stay open while a pod is replaced.

On a terminal a status line stays at the bottom, and single keys restart all
ranks (r), pause and resume deliveries (p), verify (v), go back to the code
before (b), detach (q) and list the keys (?). With --once, -o json or --events
json, or where not all three streams are the terminal, dev prints plain lines.`,
		Example: `  kubectl ai dev samples/digits
  kubectl ai dev --once            # deliver, wait until all ranks run it, exit
  kubectl ai dev --cleanup         # remove what dev applied
  kubectl ai dev --context lab --allow-context lab   # in a cluster that is no sandbox`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	cmd.Flags().BoolVar(&o.Once, "once", false, "deliver the code, wait until all ranks run it, print receipts and exit")
	cmd.Flags().BoolVar(&o.Cleanup, "cleanup", false, "remove the workload that dev applied, and exit")
	cmd.Flags().BoolVar(&o.Yes, "yes", false, "answer questions with yes: replace a Job whose manifest changed")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 5*time.Minute, "with --once: how long all ranks may take")
	cmd.Flags().StringVarP(&o.Output, "output", "o", "", "json: receipts as JSON lines on stdout, what ranks say on stderr")
	cmd.Flags().StringVar(&o.Events, "events", "", "json: what happens as JSON lines on stderr, in place of words")
	cmd.Flags().BoolVar(&o.Forward, "forward", true, "make the ports that pods declare reachable on 127.0.0.1; not with --once")
	o.allow.addFlag(cmd)
	completeWords(cmd, "output", "json")
	completeWords(cmd, "events", "json")
	return cmd
}

// Validate checks the flags.
func (o *DevOptions) Validate() error {
	if o.Once && o.Cleanup {
		return explain.Usagef("--once and --cleanup exclude each other")
	}
	return errors.Join(checkOneOf("output", o.Output, "", "json"), checkOneOf("events", o.Events, "", "json"))
}

// Run applies the bundle and follows the code.
func (o *DevOptions) Run(ctx context.Context, f *Factory) error {
	t, err := openTarget(ctx, f, o.Dir, project.Sandbox, &o.allow)
	if err != nil {
		return err
	}
	if o.Cleanup {
		return o.cleanup(ctx, f, t)
	}
	if t.foreign {
		f.Streams.Talk("%s is no sandbox: --allow-context lets dev apply the bundle there, in namespace %s", t.context, t.namespace)
	}
	progress := term.NewProgress(f.Streams)
	agent, err := t.images.bring(ctx, t.runtimes(), progress)
	if err != nil {
		return err
	}
	changes, err := inject.Inject(ctx, t.objects, t.targets, inject.Options{
		Project: t.project.Name, AgentImage: agent,
		StopSignal: t.project.Reload.StopSignal, GracePeriod: t.project.Reload.GracePeriod, Preload: t.project.Reload.Preload,
		Checkpoint: inject.Checkpoint(t.project.Reload.Checkpoint),
		Entrypoint: t.images.entrypoint,
	})
	if err != nil {
		return err
	}
	for _, c := range changes {
		f.Streams.Talk("  in dev, %s %s", c.Object, c.What)
	}
	if err := o.apply(ctx, f, t, progress); err != nil {
		return err
	}
	ranks := 0
	for _, target := range t.targets {
		ranks += workload.Replicas(target.Template)
	}
	if o.Once {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	l, err := newLoop(f, t, o, ranks)
	if err != nil {
		return err
	}
	err = l.run(ctx)
	if errors.Is(err, errQuit) || errors.Is(context.Cause(ctx), explain.Interrupted) && !o.Once {
		f.Streams.Talk("detached: the workload runs on; kubectl ai dev --cleanup removes it")
		return nil
	}
	return err
}

// apply brings the injected objects into the cluster.
func (o *DevOptions) apply(ctx context.Context, f *Factory, t *target, progress *term.Progress) error {
	if err := t.ensureNamespace(ctx, progress); err != nil {
		return err
	}
	options := apply.Options{Manager: devManager}
	if t.foreign {
		options.Owned = t.owns
	}
	plan, err := t.applier.Diff(ctx, t.objects, options)
	if err != nil {
		return err
	}
	for _, c := range plan.Changes {
		if c.Action != apply.Replace {
			continue
		}
		f.Streams.Talk("The manifest of %s changed in what cannot change while it exists: %s", c.Ref.Short(), strings.Join(c.Immutable, ", "))
		if o.Yes {
			continue
		}
		if err := f.Streams.Confirm(ctx, fmt.Sprintf("Delete %s with its pods and create it again?", c.Ref.Short())); err != nil {
			return fmt.Errorf("replace %s: %w", c.Ref.Short(), err)
		}
	}
	_, err = t.applier.Apply(ctx, plan, options, progress)
	return err
}

// cleanup removes what dev applied: objects of the bundle that carry the
// project's label and that dev manages. Namespaces and volume claims stay.
func (o *DevOptions) cleanup(ctx context.Context, f *Factory, t *target) error {
	var mine []*unstructured.Unstructured
	for _, obj := range t.objects {
		switch obj.GetKind() {
		case "Namespace", "PersistentVolumeClaim", "CustomResourceDefinition":
			continue
		}
		live, err := t.applier.Get(ctx, apply.RefOf(obj))
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		if t.owns(apply.RefOf(live), live) {
			mine = append(mine, live)
		}
	}
	if len(mine) == 0 {
		f.Streams.Talk("nothing of %s is in %s", t.project.Name, t.context)
		return nil
	}
	for _, obj := range mine {
		f.Streams.Talk("  %s", workload.Name(obj))
	}
	if !o.Yes {
		if err := f.Streams.Confirm(ctx, fmt.Sprintf("Remove these from %s?", t.context)); err != nil {
			return err
		}
	}
	for _, obj := range mine {
		if _, err := t.applier.Delete(ctx, apply.RefOf(obj), obj.GetUID()); err != nil {
			return err
		}
	}
	f.Streams.Talk("removed %d objects", len(mine))
	return nil
}
