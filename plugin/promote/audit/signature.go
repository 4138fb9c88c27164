package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/attest"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
)

// Documents reads what is said of an image in its registry; carrier.Documents
// is the real one.
type Documents func(ctx context.Context, ref string) ([]attest.Document, error)

// Signatures asks whether all that holds the release's code has provenance
// that one of the keys signed and that names its digest and the release's tree,
// and whether what it answers for is there.
func Signatures(ctx context.Context, r Release, cluster Cluster, keys []attest.PublicKey, read Documents) ([]Finding, error) {
	a := &audit{Release: r, cluster: cluster}
	if r.Record.Evidence == nil || len(r.Record.Evidence.Carrier.Objects) == 0 {
		a.compare("signature", fmt.Sprintf("release %d", r.Record.Revision), "what holds the code", "recorded", "the record does not say")
		return a.found, nil
	}
	c := r.Record.Evidence.Carrier
	for _, subject := range carrier.Subjects(c.Format, c.Objects) {
		if name, ok := strings.CutPrefix(subject, "ConfigMap/"); ok {
			if err := a.annotated(ctx, name, keys); err != nil {
				return a.found, err
			}
			continue
		}
		docs, err := read(ctx, subject)
		if err != nil {
			return a.found, err
		}
		a.signature(subject, subject, docs, keys)
	}
	return a.found, nil
}

// annotated checks a ConfigMap in every namespace whose pods mount it.
func (a *audit) annotated(ctx context.Context, name string, keys []attest.PublicKey) error {
	var seen []string
	for _, t := range a.Targets {
		namespace := t.Object.GetNamespace()
		if slices.Contains(seen, namespace) {
			continue
		}
		seen = append(seen, namespace)
		where := namespace + "/ConfigMap/" + name
		live, err := a.cluster.Get(ctx, apply.Ref{Kind: "ConfigMap", Namespace: namespace, Name: name})
		switch {
		case apierrors.IsNotFound(err):
			a.compare("signature", where, "ConfigMap", "there", "gone")
		case err != nil:
			return fmt.Errorf("read %s: %w", where, err)
		default:
			a.signature("ConfigMap/"+name, where, carrier.Annotated(live), keys)
		}
	}
	return nil
}

func (a *audit) signature(subject, where string, docs []attest.Document, keys []attest.PublicKey) {
	there := map[string]bool{}
	for _, d := range docs {
		there[d.Digest()] = true
	}
	present := func(what, digest string) {
		found := digest
		if !there[digest] {
			found = "not there"
		}
		a.compare("signature", where, what, digest, found)
	}
	for _, s := range a.Record.Evidence.Carrier.Statements {
		if s.Of == subject && s.Type == attest.TypeProvenance {
			present("provenance, as recorded", s.Digest)
		}
	}
	verified, err := attest.Check(docs, keys, attest.ClaimOf(subject, a.Record.TreeDigest))
	if err != nil {
		var names []string
		for _, k := range keys {
			names = append(names, k.Name)
		}
		a.compare("signature", where, "signed provenance", "by "+strings.Join(names, " or "), err.Error())
		return
	}
	a.compare("signature", where, "signed provenance", verified.Key.ID, verified.Key.ID)
	if sbom := verified.Statement.SBOM(); sbom != "" && !strings.HasPrefix(subject, "ConfigMap/") {
		present("bill of materials", sbom)
	}
}
