package command

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// site is where names are: a bundle's environment in a cluster. It is found
// without a request. A name costs one list of metadata then; nothing is
// discovered.
type site struct {
	f     *Factory
	cmd   *cobra.Command
	args  []string
	typed string
}

// mostNames bounds a list: more cannot be read in a shell.
const mostNames = 500

// flag is the value of a flag, "" for one that the command lacks.
func (s *site) flag(name string) string {
	if flag := s.cmd.Flag(name); flag != nil {
		return flag.Value.String()
	}
	return ""
}

// dir is the bundle's folder.
func (s *site) dir() string {
	words, _ := argumentWords(s.cmd)
	if i := slices.Index(words, "DIR"); i >= 0 && i < len(s.args) {
		return s.args[i]
	}
	return cmp.Or(s.flag("dir"), ".")
}

// environment is the one that the command line names, or the sandbox.
func (s *site) environment() string {
	return cmp.Or(s.flag("environment"), s.flag("to"), project.Sandbox)
}

// bundle is the environment, rendered.
func (s *site) bundle() (*rendered, error) {
	return render(s.f, s.dir(), s.environment())
}

// context is that of the command line, else the environment's, else of its
// first cluster, else the sandbox's: what commands do, without a question.
func (s *site) context(env project.Environment) string {
	given := cmp.Or(s.flag("context"), env.Context)
	switch {
	case given != "":
		return given
	case len(env.Clusters) > 0:
		chosen := env.Clusters[0]
		for _, c := range env.Clusters {
			if strings.Contains(s.flag("cluster"), c.Name) {
				chosen = c
			}
		}
		return chosen.Context
	case env.Name == project.Sandbox:
		return defaultSandbox
	}
	return ""
}

// place is where the bundle's objects are. Without a bundle it is where
// kubectl would look.
func (s *site) place() (r *rendered, context, namespace string) {
	r, err := s.bundle()
	if err == nil {
		context = s.context(r.env)
		if err = r.settle(s.f, context); err == nil {
			return r, context, r.namespace
		}
	}
	namespace = s.f.Namespace()
	if namespace == "" {
		namespace, _, _ = s.f.Flags.ToRawKubeConfigLoader().Namespace()
	}
	return nil, s.flag("context"), namespace
}

// list asks for the metadata of one kind, in all namespaces where namespace
// is empty.
func (s *site) list(ctx context.Context, context, namespace, selector string, kind schema.GroupVersionResource) []metav1.PartialObjectMetadata {
	config, err := s.f.RESTConfig(context)
	if err != nil {
		return nil
	}
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil
	}
	found, err := client.Resource(kind).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: mostNames})
	if err != nil {
		return nil
	}
	return found.Items
}

var (
	podKind       = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	configMapKind = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secretKind    = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	namespaceKind = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	cronJobKind   = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "cronjobs"}
)

func age(m metav1.PartialObjectMetadata) string {
	return duration.HumanDuration(time.Since(m.CreationTimestamp.Time)) + " old"
}

// newestFirst orders what people most likely mean the last that was made.
func newestFirst(items []metav1.PartialObjectMetadata) {
	slices.SortStableFunc(items, func(a, b metav1.PartialObjectMetadata) int {
		return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
	})
}

func contextNames(_ context.Context, s *site) []string {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = s.flag("kubeconfig")
	config, err := rules.Load()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(config.Contexts))
}

func namespaceNames(ctx context.Context, s *site) []string {
	at := s.flag("context")
	if p, err := project.Load(s.dir()); err == nil && at == "" {
		if env, err := p.Environment(s.environment()); err == nil {
			at = s.context(env)
		}
	}
	return objectNames(s.list(ctx, at, "", "", namespaceKind))
}

func objectNames(items []metav1.PartialObjectMetadata) []string {
	var out []string
	for _, m := range items {
		out = append(out, m.Name)
	}
	return out
}

// runIDs are those of the bundle, or without one all of the namespace.
func runIDs(ctx context.Context, s *site) []string {
	var out []string
	for _, m := range runRecords(ctx, s) {
		out = append(out, fmt.Sprintf("%s\t%s, %s", m.Labels[run.IDLabel], m.Labels[run.StageLabel], age(m)))
	}
	return out
}

func runRecords(ctx context.Context, s *site) []metav1.PartialObjectMetadata {
	r, at, namespace := s.place()
	selector := run.IDLabel
	if r != nil {
		selector += "," + run.ProjectLabel + "=" + r.project.Name
	}
	items := s.list(ctx, at, namespace, selector, configMapKind)
	newestFirst(items)
	return items
}

// runsAndMatrices are runs, and where a command takes several also what
// stands for all runs of a matrix.
func runsAndMatrices(ctx context.Context, s *site) []string {
	records := runRecords(ctx, s)
	var out []string
	matrices := map[string]int{}
	for _, m := range records {
		out = append(out, fmt.Sprintf("%s\t%s, %s", m.Labels[run.IDLabel], m.Labels[run.StageLabel], age(m)))
		if id := m.Labels[run.MatrixLabel]; id != "" {
			matrices[id]++
		}
	}
	if _, several := argumentWords(s.cmd); several {
		for _, id := range slices.Sorted(maps.Keys(matrices)) {
			out = append(out, fmt.Sprintf("%s\tmatrix of %d runs", id, matrices[id]))
		}
	}
	return out
}

func podNames(ctx context.Context, s *site) []string {
	_, at, namespace := s.place()
	return objectNames(s.list(ctx, at, namespace, "", podKind))
}

// podsAndContainers are pods, and after a slash the containers of one.
func podsAndContainers(ctx context.Context, s *site) []string {
	name, _, chosen := strings.Cut(s.typed, "/")
	if !chosen {
		return podNames(ctx, s)
	}
	_, at, namespace := s.place()
	config, err := s.f.RESTConfig(at)
	if err != nil {
		return nil
	}
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return nil
	}
	pod, err := client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	var out []string
	for _, c := range pod.Spec.Containers {
		out = append(out, name+"/"+c.Name+"\t"+c.Image)
	}
	return out
}

// runsAndPods asks for both at once.
func runsAndPods(ctx context.Context, s *site) []string {
	var found, there []string
	var g errgroup.Group
	g.Go(func() error { found = runIDs(ctx, s); return nil })
	g.Go(func() error { there = podNames(ctx, s); return nil })
	_ = g.Wait()
	return append(found, there...)
}

// rankNumbers are the numbers of those that run the bundle's code.
func rankNumbers(ctx context.Context, s *site) []string {
	r, at, namespace := s.place()
	if r == nil {
		return nil
	}
	items := s.list(ctx, at, namespace, inject.ProjectLabel+"="+r.project.Name, podKind)
	newestFirst(items)
	pod := map[int]string{}
	for _, m := range items {
		for _, annotation := range []string{inject.ContainersAnnotation, run.ContainersAnnotation} {
			for _, rank := range observe.Ranks(&corev1.Pod{ObjectMeta: m.ObjectMeta}, annotation) {
				if pod[max(0, rank.Index)] == "" {
					pod[max(0, rank.Index)] = m.Name
				}
			}
		}
	}
	var out []string
	for _, index := range slices.Sorted(maps.Keys(pod)) {
		out = append(out, strconv.Itoa(index)+"\t"+pod[index])
	}
	return out
}

// bundleStages are those that workloads of the bundle have.
func bundleStages(_ context.Context, s *site) []string {
	r, err := s.bundle()
	if err != nil {
		return stages
	}
	found := map[string]bool{run.StageTrain: true}
	for _, obj := range r.objects {
		if stage := obj.GetLabels()[run.StageLabel]; stage != "" {
			found[stage] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// releaseNumbers are those that the environment's namespace records.
func releaseNumbers(ctx context.Context, s *site) []string {
	r, at, namespace := s.place()
	if r == nil {
		return nil
	}
	items := s.list(ctx, at, namespace, release.ProjectLabel+"="+r.project.Name+","+release.RevisionLabel, secretKind)
	newestFirst(items)
	var out []string
	for _, m := range items {
		out = append(out, fmt.Sprintf("%s\t%s, %s", m.Labels[release.RevisionLabel], m.Labels[release.StatusLabel], age(m)))
	}
	return out
}

// generationNumbers are those of the journal on this machine.
func generationNumbers(_ context.Context, s *site) []string {
	r, err := s.bundle()
	if err != nil {
		return nil
	}
	j, err := openJournal(s.f, r, sandboxContext(s.f, r.env))
	if err != nil {
		return nil
	}
	all, err := j.List()
	if err != nil {
		return nil
	}
	var out []string
	for _, g := range slices.Backward(all) {
		out = append(out, fmt.Sprintf("%d\t%s, %s old", g.Generation, g.TreeDigest.Short(), duration.HumanDuration(time.Since(g.Time))))
	}
	return out
}

// cronJobNames are those of the environment, such as one that retrains.
func cronJobNames(ctx context.Context, s *site) []string {
	_, at, namespace := s.place()
	return objectNames(s.list(ctx, at, namespace, "", cronJobKind))
}

func environmentNames(_ context.Context, s *site) []string {
	p, err := project.Load(s.dir())
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(p.Environments))
}

// environmentClusters are the names that the project file gives clusters.
func environmentClusters(_ context.Context, s *site) []string {
	p, err := project.Load(s.dir())
	if err != nil {
		return nil
	}
	var out []string
	for _, c := range p.Environments[s.environment()].Clusters {
		out = append(out, c.Name+"\t"+c.Context)
	}
	return out
}

func sandboxNames(ctx context.Context, _ *site) []string {
	m, err := cluster.Open(ctx)
	if err != nil {
		return nil
	}
	all, err := m.List(ctx)
	if err != nil {
		return nil
	}
	var out []string
	for _, c := range all {
		out = append(out, c.Name+"\t"+strings.ToLower(string(c.State)))
	}
	return out
}

// nodeParts are the keys of a node's GPUs, and what those take that have words
// for values. How a GPU can be cut depends on the model that was named before.
func nodeParts(ctx context.Context, s *site) []string {
	values := map[string][]string{
		"profile": model.ProfileNames(), "mig-strategy": migStrategies[1:], "allocation": {spec.Packed, spec.Distributed}, "numa": {"true"},
	}
	profile := model.DefaultProfile
	for part := range strings.SplitSeq(s.typed, ",") {
		if name, ok := strings.CutPrefix(part, "profile="); ok {
			profile = name
		}
	}
	values["mig"] = migLayouts(profile)
	return listOf(func(context.Context, *site) []string {
		key, _, begun := strings.Cut(s.typed[strings.LastIndex(s.typed, ",")+1:], "=")
		if !begun {
			return []string{"profile=", "gpus=", "count=", "mig=", "mig-strategy=", "time-slicing=", "mps=", "allocation=", "numa=", "devices="}
		}
		var out []string
		for _, value := range values[key] {
			out = append(out, key+"="+value)
		}
		return out
	})(ctx, s)
}

// variantNames are the forms of the component that was named.
func variantNames(_ context.Context, s *site) []string {
	if len(s.args) == 0 {
		return nil
	}
	c, _ := components.Embedded().Get(s.args[0])
	var out []string
	for _, v := range c.Variants {
		out = append(out, v.Folder+"\t"+v.Summary)
	}
	return out
}
