package command

import (
	"context"
	"fmt"
	"os/user"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// production is an environment's cluster, as a promotion sees it.
type production struct {
	*rendered
	context  string
	client   kubernetes.Interface
	target   *promote.Target
	progress *term.Progress
}

// openProduction renders an environment of a bundle and connects to its
// cluster. It refuses the cluster of the sandbox environment.
func openProduction(ctx context.Context, f *Factory, dir, environment string) (*production, error) {
	r, err := render(dir, environment, f.Namespace())
	if err != nil {
		return nil, err
	}
	p := &production{rendered: r, context: r.env.Context, progress: term.NewProgress(f.Streams)}
	if f.Flags.Context != nil && *f.Flags.Context != "" {
		p.context = *f.Flags.Context
	}
	if p.context == "" {
		return nil, explain.Usagef("environment %s names no context: set environments.%s.context in %s, or give --context", environment, environment, project.FileName)
	}
	config, err := f.RESTConfig(p.context)
	if err != nil {
		return nil, err
	}
	if sandbox, err := r.project.Environment(project.Sandbox); err == nil && environment != project.Sandbox {
		context := sandbox.Context
		if context == "" {
			context = defaultSandbox
		}
		if own, err := f.RESTConfig(context); err == nil && own.Host == config.Host {
			return nil, &explain.SandboxTargetError{Environment: environment, Context: p.context, Sandbox: context}
		}
	}
	if p.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	if _, err := p.client.Discovery().ServerVersion(); err != nil {
		return nil, fmt.Errorf("reach the cluster of context %s: %w", p.context, err)
	}
	applier, err := apply.New(config)
	if err != nil {
		return nil, err
	}
	if err := applier.Localize(r.objects, r.namespace); err != nil {
		return nil, err
	}
	p.target = &promote.Target{
		Apply:    applier,
		Releases: &release.Store{Client: p.client, Namespace: r.namespace, Project: r.project.Name},
		Reporter: p.progress,
	}
	return p, ctx.Err()
}

// carry shows the plan, asks, and runs it.
func (p *production) carry(ctx context.Context, f *Factory, plan *promote.Plan, yes, dryRun bool, timeout time.Duration) (*release.Release, error) {
	if err := plan.WriteDiff(f.Streams.ErrOut); err != nil {
		return nil, err
	}
	f.Streams.Talk("%s", plan.Summary())
	for _, item := range plan.Active {
		f.Streams.Talk("Job/%s of an earlier release still runs and is left running; end it with: kubectl --context %s -n %s delete job %s", item.Name, p.context, item.Namespace, item.Name)
	}
	if dryRun {
		return nil, nil
	}
	if !yes {
		if err := p.confirm(ctx, f); err != nil {
			return nil, err
		}
	}
	return p.target.Run(ctx, plan, timeout)
}

// confirm asks before a cluster is changed: a sandbox by yes, any other
// cluster by its context's name.
func (p *production) confirm(ctx context.Context, f *Factory) error {
	if strings.HasPrefix(p.context, "kind-") {
		return f.Streams.Confirm(ctx, fmt.Sprintf("Apply this to %s, namespace %s?", p.context, p.namespace))
	}
	typed, err := f.Streams.Ask(ctx, fmt.Sprintf("Type the context's name (%s) to apply this to it: ", p.context))
	if err != nil {
		return err
	}
	if typed != p.context {
		return term.ErrDeclined
	}
	return nil
}

// who is the user of this machine, for the record.
func who() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
