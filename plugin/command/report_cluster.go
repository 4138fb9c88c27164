package command

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/report"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/why"
)

// Bounds of what is asked of a cluster. Chosen.
const (
	reportedRuns   = 20
	reportedPods   = 50
	reportedEvents = 500
)

// connectedReport is the cluster that a report is about.
type connectedReport struct {
	*runSet
	target  *target // of the bundle; nil: there is none
	server  string  // its version
	secrets []corev1.Secret
	// blind is why Secrets could not be read: their values cannot be looked for.
	blind error
}

// connect asks the cluster who it is, and for the Secrets of the namespace.
func (b *reporter) connect(ctx context.Context) error {
	answer := askContext(ctx, b.f, b.context)
	if answer.Err != nil {
		return answer.Err
	}
	conn, err := connect(ctx, b.f, b.context, "", &allowance{reads: true})
	if err != nil {
		return err
	}
	client, err := apply.New(conn.config)
	if err != nil {
		return err
	}
	c := &connectedReport{runSet: conn.runs(b.f, client, b.namespace), server: fmt.Sprint(answer.Version)}
	if b.bundle != nil {
		c.target = &target{rendered: b.bundle, connection: conn, applier: client}
		c.runSet = c.target.runs(b.f)
	}
	c.blind = c.readSecrets(ctx, b)
	b.connectedReport = c
	return nil
}

// notSecrets are types of Secrets that hold manifests, and are large.
const notSecrets = "type!=helm.sh/release.v1,type!=kubectl-ai.dev/release,type!=kubectl-ai.dev/release-part"

func (c *connectedReport) readSecrets(ctx context.Context, b *reporter) error {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	list, err := c.client.CoreV1().Secrets(c.namespace).List(ctx, metav1.ListOptions{FieldSelector: notSecrets})
	if err != nil {
		return err
	}
	c.secrets = list.Items
	for i := range c.secrets {
		for key, value := range c.secrets[i].Data {
			if c.secrets[i].Type != corev1.SecretTypeServiceAccountToken || key == corev1.ServiceAccountTokenKey {
				b.mask.LearnValue(string(value))
			}
		}
	}
	return nil
}

// findRun refuses a RUN that nobody knows. It returns a *run.NotFoundError.
func (b *reporter) findRun(ctx context.Context) error {
	if b.Run == "" {
		return nil
	}
	_, err := b.store.Get(ctx, b.Run)
	var none *run.NotFoundError
	if errors.As(err, &none) {
		if b.copies != nil {
			if kept, copyErr := b.copies.Read(b.Run); copyErr == nil && len(kept) > 0 {
				return nil // its logs outlived it
			}
		}
		return err
	}
	return nil // what else is wrong its part says
}

// cluster are the parts that the cluster tells.
func (b *reporter) cluster() []report.Part {
	core, options := b.client.CoreV1(), metav1.ListOptions{}
	ofRun := options
	if b.Run != "" {
		ofRun.LabelSelector = run.IDLabel + "=" + b.Run
	}
	list := func(name string, read func(context.Context) (runtime.Object, error)) report.Part {
		return report.Part{Name: name, Read: func(ctx context.Context, files *report.Files) error {
			found, err := read(ctx)
			if err != nil {
				return err
			}
			return b.objects(files, "cluster/"+name+".yaml", found)
		}}
	}
	parts := []report.Part{
		{Name: "secrets", Read: b.secretNames},
		{Name: "runs", Read: b.runs},
		{Name: "why", Read: b.reasons},
		list("pods", func(ctx context.Context) (runtime.Object, error) { return core.Pods(b.namespace).List(ctx, ofRun) }),
		list("jobs", func(ctx context.Context) (runtime.Object, error) {
			return b.client.BatchV1().Jobs(b.namespace).List(ctx, ofRun)
		}),
		{Name: "events", Read: b.happenings},
		list("nodes", func(ctx context.Context) (runtime.Object, error) { return core.Nodes().List(ctx, options) }),
		list("quotas", func(ctx context.Context) (runtime.Object, error) {
			return core.ResourceQuotas(b.namespace).List(ctx, options)
		}),
		list("limits", func(ctx context.Context) (runtime.Object, error) {
			return core.LimitRanges(b.namespace).List(ctx, options)
		}),
		list("claims", func(ctx context.Context) (runtime.Object, error) {
			return core.PersistentVolumeClaims(b.namespace).List(ctx, options)
		}),
		{Name: "logs", Read: b.logs},
	}
	if b.target != nil {
		parts = append(parts, report.Part{Name: "agents", Read: b.agents})
	}
	return parts
}

// objects adds a list as YAML, without what only servers read.
func (b *reporter) objects(files *report.Files, name string, list runtime.Object) error {
	raw, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	var value struct {
		Items []map[string]any `json:"items"`
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	for _, item := range value.Items {
		unstructured.RemoveNestedField(item, "metadata", "managedFields")
		unstructured.RemoveNestedField(item, "metadata", "annotations", corev1.LastAppliedConfigAnnotation)
		unstructured.RemoveNestedField(item, "status", "images") // of a node: all that it ever pulled
		if b.blind != nil {
			withoutMessages(item)
		}
	}
	return b.document(files, name, value)
}

// withoutMessages removes what containers left to say when they ended: that
// may be the end of a log.
func withoutMessages(v any) {
	switch v := v.(type) {
	case map[string]any:
		if ended, ok := v["terminated"].(map[string]any); ok {
			delete(ended, "message")
		}
		for _, item := range v {
			withoutMessages(item)
		}
	case []any:
		for _, item := range v {
			withoutMessages(item)
		}
	}
}

// secretNames says which Secrets there are, and what they have values for.
func (b *reporter) secretNames(_ context.Context, files *report.Files) error {
	if b.blind != nil {
		return fmt.Errorf("their values are not looked for in the rest, and logs of containers that are given any are left out: %w", b.blind)
	}
	var out bytes.Buffer
	for _, s := range b.secrets {
		_, _ = fmt.Fprintf(&out, "%s  %s  made %s\n", s.Name, s.Type, clockTime(s.CreationTimestamp.Time))
		var keys []string
		for key := range s.Data {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			_, _ = fmt.Fprintf(&out, "  %s: %d bytes\n", key, len(s.Data[key]))
		}
	}
	files.Add("cluster/secrets.txt", out.String())
	return nil
}

// records are the last runs, or the one that is meant, as they stand: nothing
// is written.
func (b *reporter) records(ctx context.Context) (out []run.Record, errs []error) {
	all, broken, err := b.store.List(ctx, b.project)
	errs = append(broken, err)
	if b.Run != "" {
		all = slices.DeleteFunc(all, func(r run.Record) bool { return r.ID != b.Run })
	}
	for _, r := range all[max(0, len(all)-reportedRuns):] {
		if !r.Done() {
			now, err := b.store.Peek(ctx, r)
			if errs = append(errs, err); err == nil {
				r = now
			}
		}
		out = append(out, r)
	}
	return out, errs
}

func (b *reporter) runs(ctx context.Context, files *report.Files) error {
	records, errs := b.records(ctx)
	list := runList{APIVersion: outputVersion, Kind: "RunList", Items: append([]run.Record{}, records...)}
	return errors.Join(append(errs, b.document(files, "runs.yaml", list))...)
}

// reasons are what why says of runs that did not end well or do not go on, and
// of pods that are nobody's run.
func (b *reporter) reasons(ctx context.Context, files *report.Files) error {
	records, errs := b.records(ctx)
	add := func(name string, e why.Explanation) {
		if b.blind != nil {
			e.Log = nil
		}
		errs = append(errs, addTable(files, "why/"+name+".txt", explanation{Explanation: e}.table))
	}
	for _, r := range records {
		if r.Phase == apply.Complete && b.Run == "" {
			continue
		}
		e, err := b.whyRun(ctx, r)
		if err != nil {
			errs = append(errs, fmt.Errorf("run %s: %w", r.ID, err))
			continue
		}
		add(r.ID, e)
	}
	pods, err := b.pods(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, pod := range pods {
		if pod.Labels[run.IDLabel] != "" || pod.Status.Phase != corev1.PodFailed && observe.Trouble(&pod) == "" {
			continue
		}
		e, err := b.why(ctx, pod.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		add(pod.Name, e)
	}
	return errors.Join(errs...)
}

// pods are those of the namespace or of the run, those that have trouble
// first, then the newest.
func (b *reporter) pods(ctx context.Context) ([]corev1.Pod, error) {
	options := metav1.ListOptions{}
	if b.Run != "" {
		options.LabelSelector = run.IDLabel + "=" + b.Run
	}
	list, err := b.client.CoreV1().Pods(b.namespace).List(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	order := func(p corev1.Pod) int {
		switch {
		case p.Status.Phase == corev1.PodFailed || observe.Trouble(&p) != "":
			return 0
		case p.Status.Phase == corev1.PodSucceeded:
			return 2
		}
		return 1
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Pod) int {
		return cmp.Or(order(a)-order(b), b.CreationTimestamp.Compare(a.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return list.Items[:min(len(list.Items), reportedPods)], nil
}

// happenings are the last events, the newest last.
func (b *reporter) happenings(ctx context.Context, files *report.Files) error {
	list, err := b.client.CoreV1().Events(b.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	slices.SortStableFunc(list.Items, func(a, b corev1.Event) int { return seenAt(a).Compare(seenAt(b).Time) })
	return addTable(files, "cluster/events.txt", func(w io.Writer) error {
		for _, e := range list.Items[max(0, len(list.Items)-reportedEvents):] {
			_, err := fmt.Fprintf(w, "%s  %s  %s/%s  %s  %s\n", clockTime(seenAt(e).Time), e.Type, e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, strings.TrimSpace(e.Message))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// seenAt is when an event was seen last, in whichever field its writer put it.
func seenAt(e corev1.Event) *metav1.Time {
	switch {
	case e.Series != nil:
		return &metav1.Time{Time: e.Series.LastObservedTime.Time}
	case !e.LastTimestamp.IsZero():
		return &e.LastTimestamp
	case !e.EventTime.IsZero():
		return &metav1.Time{Time: e.EventTime.Time}
	}
	return &e.CreationTimestamp
}

// agents are what dev's agents say that ranks hold.
func (b *reporter) agents(ctx context.Context, files *report.Files) error {
	index, err := scan(ctx, b.f, b.bundle.project.Code[0])
	if err != nil {
		return err
	}
	verified, err := b.target.verify(ctx, index.Digest())
	if errors.Is(err, errNoRanks) {
		files.Add("agents.txt", "no rank of dev runs\n")
		return nil
	}
	if err != nil {
		return err
	}
	return b.document(files, "agents.yaml", verified)
}
