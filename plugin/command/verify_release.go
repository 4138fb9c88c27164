package command

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/audit"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gate"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// releaseVerification is what `verify --to ENVIRONMENT -o json` prints.
type releaseVerification struct {
	APIVersion  string          `json:"apiVersion"`
	Kind        string          `json:"kind"`
	Environment string          `json:"environment"`
	Revision    int             `json:"revision"`
	TreeDigest  string          `json:"treeDigest"`
	Differences int             `json:"differences"`
	Findings    []audit.Finding `json:"findings"`
}

// release verifies the current release of an environment.
func (o *VerifyOptions) release(ctx context.Context, f *Factory) error {
	keys, err := gate.ReadKeys("", o.Keys)
	if err != nil {
		return err
	}
	p, err := openProduction(ctx, f, o.Dir, o.To, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	state, err := p.Store.Load(ctx)
	if err != nil {
		return err
	}
	if state.Current == 0 {
		return &release.NotFoundError{Project: p.project.Name, Namespace: p.namespace}
	}
	record, objects, err := p.Store.Get(ctx, state.Current)
	if err != nil {
		return err
	}
	code := p.project.Code[0]
	targets, err := workload.Select(objects, code.MountPath, code.Targets)
	if err != nil {
		return err
	}
	p.progress.Start(fmt.Sprintf("Verify release %d in %s", record.Revision, p.context))
	what := audit.Release{Record: record, Objects: objects, Targets: targets}
	findings, err := audit.Run(ctx, what, audited{p}, carrier.Reread)
	if err == nil && len(keys) > 0 {
		var signed []audit.Finding
		signed, err = audit.Signatures(ctx, what, audited{p}, keys, carrier.Documents)
		findings = append(findings, signed...)
	}
	p.progress.End(err)
	if err != nil {
		return err
	}
	report := releaseVerification{
		APIVersion: outputVersion, Kind: "ReleaseVerification", Environment: o.To, Revision: record.Revision,
		TreeDigest: record.TreeDigest, Findings: append([]audit.Finding{}, findings...),
	}
	var names []string
	for _, finding := range findings {
		if finding.Verdict == audit.Differs {
			report.Differences++
			names = append(names, finding.Check+"/"+finding.Name)
		}
	}
	if err := printAs(f.Streams.Out, o.Output, report, names, report.table); err != nil {
		return err
	}
	if report.Differences > 0 {
		return &explain.AlteredError{Environment: o.To, Revision: record.Revision, Differences: report.Differences}
	}
	return nil
}

func (r releaseVerification) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "CHECK\tNAME\tWHAT\tVERDICT\tEXPECTED")
	for _, f := range r.Findings {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", f.Check, f.Name, f.What, f.Verdict, f.Expected)
		if f.Verdict != audit.Same && f.Found != "" {
			_, _ = fmt.Fprintf(t, "\t\t\tfound\t%s\n", f.Found)
		}
	}
	return t.Flush()
}

// audited reads what is there.
type audited struct{ *production }

// Get reads a live object.
func (a audited) Get(ctx context.Context, ref apply.Ref) (*unstructured.Unstructured, error) {
	return a.Cluster.Get(ctx, ref)
}

// Pods lists the project's pods of a namespace.
func (a audited) Pods(ctx context.Context, namespace string) ([]unstructured.Unstructured, error) {
	list, err := a.Cluster.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(namespace).
		List(ctx, metav1.ListOptions{LabelSelector: release.ProjectLabel + "=" + a.project.Name})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}
