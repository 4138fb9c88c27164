package command

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// ensureNamespace makes the namespace in the sandbox when the bundle leaves
// that to others: in a sandbox there are no others. One that is being deleted
// is there and takes nothing, so its end is awaited. Who may not make
// namespaces has been given one, or hears it of the objects that go there.
// Elsewhere it is to be there.
func (t *target) ensureNamespace(ctx context.Context, progress *term.Progress) error {
	for _, obj := range t.objects {
		if obj.GetKind() == "Namespace" && obj.GetName() == t.namespace {
			_, err := t.awaitEnd(ctx, progress)
			return err
		}
	}
	if t.foreign {
		_, err := t.client.CoreV1().Namespaces().Get(ctx, t.namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return &explain.NoNamespaceError{Namespace: t.namespace, Context: t.context}
		}
		return nil // there, or hidden from this user
	}
	err := t.makeNamespace(ctx)
	if apierrors.IsAlreadyExists(err) {
		var gone bool
		if gone, err = t.awaitEnd(ctx, progress); gone {
			err = t.makeNamespace(ctx)
		}
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsForbidden(err) {
		return nil
	}
	return err
}

func (t *target) makeNamespace(ctx context.Context) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: t.namespace}}
	if _, err := t.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("make namespace %s: %w", t.namespace, err)
	}
	return nil
}

// namespaceEnd bounds how long a namespace may take to go; a pod has 30 s of
// that unless it asks for more.
const namespaceEnd = 40 * time.Second

// awaitEnd waits until a namespace that is being deleted is gone, and says
// whether there is none now. One that is hidden from this user counts as there.
func (t *target) awaitEnd(ctx context.Context, progress *term.Progress) (gone bool, err error) {
	deadline := time.NewTimer(namespaceEnd)
	defer deadline.Stop()
	again := time.NewTicker(250 * time.Millisecond)
	defer again.Stop()
	var ending *corev1.Namespace // as it was seen last
	defer func() {
		if ending != nil {
			progress.End(err)
		}
	}()
	for {
		ns, err := t.client.CoreV1().Namespaces().Get(ctx, t.namespace, metav1.GetOptions{})
		switch {
		case ctx.Err() != nil:
			return false, context.Cause(ctx)
		case apierrors.IsNotFound(err):
			return true, nil
		case apierrors.IsForbidden(err), err == nil && ns.DeletionTimestamp == nil:
			return false, nil
		case err != nil && ending == nil:
			return false, fmt.Errorf("read namespace %s: %w", t.namespace, err)
		case err == nil:
			if ending == nil {
				progress.Start(fmt.Sprintf("Wait until namespace %s, which is being deleted, is gone", t.namespace))
			}
			ending = ns
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		case <-deadline.C:
			return false, remains(ending)
		}
	}
}

// remains says what keeps a namespace from going, as its controller does.
func remains(ns *corev1.Namespace) error {
	err := &explain.TerminatingError{Namespace: ns.Name, After: namespaceEnd}
	for _, c := range ns.Status.Conditions {
		if c.Status == corev1.ConditionTrue && c.Message != "" {
			err.Remains = append(err.Remains, c.Message)
		}
	}
	return err
}
