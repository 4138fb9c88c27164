package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gate"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// gateReport is what `promote -o json` prints when a gate refused.
type gateReport struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Items      []release.Gate `json:"items"`
}

// askGates asks the gates of an environment with one cluster.
func (p *production) askGates(ctx context.Context, f *Factory, o PromotionOptions, plan *promote.Plan, carried *carrier.Result) ([]release.Gate, error) {
	m := &member{production: p, bundle: promote.Bundle{Tree: plan.Tree}, plan: plan, carried: carried}
	all := &fleet{PromotionOptions: o, members: []*member{m}}
	passed, err := all.keeper(f, all.members, 0).Check(ctx, p.env.Gates)
	if err != nil {
		return nil, errors.Join(err, all.refused(f, err))
	}
	return passed, nil
}

// refused prints the evidence where -o asks for it.
func (o *fleet) refused(f *Factory, err error) error {
	var refused *gate.RefusedError
	if o.Output == "" || !errors.As(err, &refused) {
		return nil
	}
	var names []string
	for _, g := range refused.Evidence {
		names = append(names, "gate/"+g.Kind)
	}
	report := gateReport{APIVersion: outputVersion, Kind: "GateReport", Items: refused.Evidence}
	return printAs(f.Streams.Out, o.Output, report, names, func(io.Writer) error { return nil })
}

// keeper asks gates for clusters; wave 0: before all.
func (o *fleet) keeper(f *Factory, members []*member, wave int) *gate.Keeper {
	first := members[0]
	k := &gate.Keeper{
		Metrics: first.project.Metrics, Dir: first.project.Dir, Approved: o.ApproveBy, Wave: wave, Now: time.Now,
		Sample: func(ctx context.Context, metric, from string) ([]gate.Sample, error) {
			return sampleMetric(ctx, f, members, metric, from)
		},
		Carriers: func(ctx context.Context) ([]gate.Carrier, error) { return signable(ctx, members) }, Tree: first.bundle.Tree,
		Validated: func(ctx context.Context, from string) (*gate.Validation, error) {
			return newestValidation(ctx, f, first, from)
		},
		Tell: func(g release.Gate) {
			word := "refused"
			if g.Passed {
				word = "passed"
			}
			f.Streams.Talk("gate %s %s: %s: %s", g.Kind, g.Name, word, g.Detail)
		},
	}
	if f.Streams.InTerminal() {
		k.Ask = f.Streams.Ask
	}
	var contexts, clusters []string
	for _, m := range members {
		contexts, clusters = append(contexts, m.context), append(clusters, m.cluster)
	}
	for name, value := range map[string]string{
		"PROJECT": first.project.Name, "ENVIRONMENT": first.env.Name, "NAMESPACE": first.namespace,
		"CONTEXT": strings.Join(contexts, ","), "CLUSTER": strings.Join(clusters, ","), "WAVE": fmt.Sprint(wave),
		"TREE_DIGEST": first.bundle.Tree, "BUNDLE_DIGEST": first.plan.Bundle, "RELEASE": fmt.Sprint(first.plan.Revision),
	} {
		k.Env = append(k.Env, "KUBECTL_AI_"+name+"="+value)
	}
	if f.Flags.KubeConfig != nil && *f.Flags.KubeConfig != "" {
		k.Env = append(k.Env, "KUBECONFIG="+*f.Flags.KubeConfig)
	}
	slices.Sort(k.Env)
	return k
}

// sampleMetric finds what the code that is promoted reported of a metric.
func sampleMetric(ctx context.Context, f *Factory, members []*member, metric, from string) ([]gate.Sample, error) {
	tree := members[0].bundle.Tree
	switch from {
	case "":
		var out []gate.Sample
		for _, m := range members {
			s, err := m.sampleRelease(ctx, metric, tree)
			if err != nil {
				return nil, m.in(err)
			}
			out = append(out, s)
		}
		return out, nil
	case project.Sandbox:
		s, err := sampleSandbox(ctx, f, members[0].project.Dir, metric, tree)
		return []gate.Sample{s}, err
	}
	others, err := openClusters(ctx, f.elsewhere(), members[0].project.Dir, from, nil)
	if err != nil {
		return nil, err
	}
	var out []gate.Sample
	for _, p := range others {
		s, err := p.sampleRelease(ctx, metric, tree)
		if err != nil {
			return nil, p.in(err)
		}
		out = append(out, s)
	}
	return out, nil
}

// output is what one container says over a time.
type output struct {
	rank         observe.Rank
	since, until time.Time
}

// sampleSandbox reads what ranks said while they ran the generation of the
// journal that has the tree.
func sampleSandbox(ctx context.Context, f *Factory, dir, metric, tree string) (gate.Sample, error) {
	r, err := render(forSandbox(f), dir, project.Sandbox)
	if err != nil {
		return gate.Sample{}, err
	}
	sandbox := cmp.Or(r.env.Context, defaultSandbox)
	s := gate.Sample{Context: sandbox, Rank: -1, Where: fmt.Sprintf("code %s in the sandbox, %s", short(tree), sandbox)}
	j, err := openJournal(f, r, sandbox)
	if err != nil {
		return s, err
	}
	generations, err := j.List()
	if err != nil {
		return s, err
	}
	var runs []output
	for _, g := range generations {
		for _, receipt := range g.Receipts {
			at := slices.IndexFunc(runs, func(o output) bool { return o.rank.PodUID == receipt.PodUID && o.rank.Container == receipt.Container })
			switch started := receipt.Process == wire.Restarted && receipt.State() == wire.StateRunning; {
			case started && receipt.StartedDigest.String() == tree:
				rank := observe.Rank{Pod: receipt.Pod, PodUID: receipt.PodUID, Container: receipt.Container, Index: receipt.Rank}
				if at >= 0 {
					runs = slices.Delete(runs, at, at+1)
				}
				runs = append(runs, output{rank: rank, since: receipt.Running})
			case started && at >= 0 && runs[at].until.IsZero():
				runs[at].until = receipt.Running // other code runs from here on
			}
		}
	}
	if len(runs) == 0 {
		return sampleRun(ctx, f, dir, metric, tree, s)
	}
	config, err := f.RESTConfig(sandbox)
	if err != nil {
		return s, err
	}
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return s, err
	}
	return readFrom(ctx, client, r.namespace, runs, metric, s)
}

// unsampled is a sample before anything is read.
func (p *production) unsampled(tree string) gate.Sample {
	return gate.Sample{Context: p.context, Rank: -1, Where: fmt.Sprintf("code %s in %s, namespace %s", short(tree), p.context, p.namespace)}
}

// outputs are what the pods of a cluster that run the tree say, of those with
// the labels, a pod each, the newest first.
func (p *production) outputs(ctx context.Context, client clientset.Interface, tree string, with labels.Set) ([][]output, error) {
	pods, err := client.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.Merge(with, labels.Set{release.ProjectLabel: p.project.Name}).String()})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	var out [][]output
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Annotations[promote.DigestAnnotation] != tree || pod.Status.Phase == corev1.PodPending || with != nil && pod.DeletionTimestamp != nil {
			continue
		}
		var said []output
		for _, rank := range observe.Ranks(pod, promote.ContainersAnnotation) {
			said = append(said, output{rank: rank})
		}
		out = append(out, said)
	}
	return out, nil
}

// sampleEach reads what every pod that runs the tree and has the labels said.
func (p *production) sampleEach(ctx context.Context, metric, tree string, with labels.Set) ([]gate.Sample, error) {
	client, err := clientset.NewForConfig(p.config)
	if err != nil {
		return nil, err
	}
	pods, err := p.outputs(ctx, client, tree, with)
	if err != nil {
		return nil, err
	}
	var out []gate.Sample
	for _, said := range pods {
		s, err := readFrom(ctx, client, p.namespace, said, metric, p.unsampled(tree))
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		out = append(out, p.unsampled(tree))
	}
	return out, nil
}

// sampleRelease reads what the pods of a cluster that run the tree said, else
// what they posted to their TrainJob.
func (p *production) sampleRelease(ctx context.Context, metric, tree string) (gate.Sample, error) {
	s := p.unsampled(tree)
	client, err := clientset.NewForConfig(p.config)
	if err != nil {
		return s, err
	}
	pods, err := p.outputs(ctx, client, tree, nil)
	if err != nil {
		return s, err
	}
	s, err = readFrom(ctx, client, p.namespace, slices.Concat(pods...), metric, s)
	if err != nil || s.Reported {
		return s, err
	}
	err = p.SamplePosted(ctx, &s, metric, tree)
	return s, err
}

// readFrom takes the value of the lowest rank that reported one.
func readFrom(ctx context.Context, client clientset.Interface, namespace string, runs []output, metric string, s gate.Sample) (gate.Sample, error) {
	slices.SortStableFunc(runs, func(a, b output) int { return a.rank.Index - b.rank.Index })
	for _, r := range runs {
		options := &corev1.PodLogOptions{Container: r.rank.Container, Timestamps: true}
		if !r.since.IsZero() {
			since := metav1.NewTime(r.since.Truncate(time.Second)) // the server's precision
			options.SinceTime = &since
		}
		log, err := client.CoreV1().Pods(namespace).GetLogs(r.rank.Pod, options).Stream(ctx)
		if err != nil {
			s.Where += fmt.Sprintf("; the log of %s cannot be read: %v", r.rank.Name(), err)
			continue
		}
		err = s.Read(log, metric, r.since, r.until)
		if err = errors.Join(err, log.Close()); err != nil {
			return s, fmt.Errorf("read the log of %s: %w", r.rank.Name(), err)
		}
		if s.Reported {
			s.Rank, s.Pod = r.rank.Index, namespace+"/"+r.rank.Name()
			return s, nil
		}
	}
	return s, nil
}

// short is the beginning of a digest, for people.
func short(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }
