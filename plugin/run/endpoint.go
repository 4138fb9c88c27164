package run

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/metric/trainer"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// endpointVolume holds what the code of a run shows to the progress endpoint,
// under the name that Trainer gives it.
const endpointVolume = "kubeflow-trainer-token"

// HasEndpoint says whether a bundle brings the progress endpoint: its runs may
// report by it then.
func HasEndpoint(objects []*unstructured.Unstructured) bool {
	return slices.ContainsFunc(objects, func(obj *unstructured.Unstructured) bool {
		return obj.GetKind() == "Service" && obj.GetName() == trainer.Component && obj.GetLabels()[components.Label] == trainer.Component
	})
}

// Identity reads that of the namespace's progress endpoint; nil: its server was
// not started yet.
func (s *Store) Identity(ctx context.Context) (*trainer.Identity, error) {
	secret, err := s.Client.CoreV1().Secrets(s.Namespace).Get(ctx, trainer.SecretName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret/%s: %w", trainer.SecretName, err)
	}
	return trainer.IdentityOf(secret.Data)
}

// ReportTo tells containers where to report, as a TrainJob's controller does.
// One that the bundle tells of another place reports there.
func (r *Record) ReportTo(targets []workload.Target) {
	for _, t := range targets {
		c := t.Container.Map()
		env, _ := c["env"].([]any)
		if slices.ContainsFunc(env, named(trainer.URLVariable)) {
			continue
		}
		t.Container.SetVariable(trainer.URLVariable, trainer.URL(r.Namespace, r.Job))
		t.Container.SetVariable(trainer.CAVariable, trainer.MountPath+"/"+trainer.CAFile)
		t.Container.SetVariable(trainer.TokenVariable, trainer.MountPath+"/"+trainer.TokenFile)
		mounts, _ := c["volumeMounts"].([]any)
		c["volumeMounts"] = append(mounts, map[string]any{"name": endpointVolume, "mountPath": trainer.MountPath, "readOnly": true})
		spec := t.Spec()
		if volumes, _ := spec["volumes"].([]any); !slices.ContainsFunc(volumes, named(endpointVolume)) {
			spec["volumes"] = append(volumes, map[string]any{"name": endpointVolume, "secret": map[string]any{"secretName": r.tokenName()}})
		}
		r.Endpoint = true
	}
}

func named(name string) func(any) bool {
	return func(v any) bool {
		m, _ := v.(map[string]any)
		return m["name"] == name
	}
}

// tokenName is the name of the Secret that pods of the run mount.
func (r *Record) tokenName() string { return r.Job + "-progress" }

// Admit lets a run report: it makes its token, and where reports are kept.
func (s *Store) Admit(ctx context.Context, r *Record, owner metav1.OwnerReference, identity *trainer.Identity) error {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Name: name, Namespace: r.Namespace, OwnerReferences: []metav1.OwnerReference{owner},
			Labels: map[string]string{trainer.JobLabel: r.Job},
		}
	}
	token := &corev1.Secret{ObjectMeta: meta(r.tokenName()), Data: map[string][]byte{
		trainer.CAFile: identity.CA, trainer.TokenFile: []byte(trainer.Token(identity.Key, r.Namespace, r.Job)),
	}}
	if _, err := s.Client.CoreV1().Secrets(r.Namespace).Create(ctx, token, metav1.CreateOptions{FieldManager: manager}); err != nil {
		return fmt.Errorf("write the token of run %s: %w", r.ID, err)
	}
	reports := &corev1.ConfigMap{ObjectMeta: meta(trainer.ReportsName(r.Job))}
	if _, err := s.Client.CoreV1().ConfigMaps(r.Namespace).Create(ctx, reports, metav1.CreateOptions{FieldManager: manager}); err != nil {
		return fmt.Errorf("make room for the reports of run %s: %w", r.ID, err)
	}
	return nil
}

// readReports reads on in what the endpoint was told, as readLogs does in what
// ranks printed. A TrainJob has one status for all its ranks: whoever reports
// does so as rank 0.
func (s *Store) readReports(ctx context.Context, r *Record, read map[string]time.Time, metrics []project.Metric) error {
	name := trainer.ReportsName(r.Job)
	object, err := s.Client.CoreV1().ConfigMaps(r.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read ConfigMap/%s: %w", name, err)
	}
	key := "ConfigMap/" + name
	last, err := r.ReadLog(strings.NewReader(object.Data[trainer.ReportsKey]), 0, read[key], metrics)
	if err != nil {
		return fmt.Errorf("read ConfigMap/%s: %w", name, err)
	}
	if !last.IsZero() {
		read[key] = last
	}
	return nil
}
