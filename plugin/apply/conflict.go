package apply

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/csaupgrade"
	"k8s.io/client-go/util/retry"
)

// inherited are the field managers whose fields become ours unasked: those of
// `kubectl apply` before it was server-side, and the one that the server makes
// up for an object that nobody's apply ever met. Neither is a person who
// decided something, nor a controller that would decide again.
var inherited = sets.New("kubectl-client-side-apply", "before-first-apply")

// writers say what a field manager is, where its name does not.
var writers = map[string]string{
	"kubectl-edit":                  "kubectl edit",
	"kubectl-patch":                 "kubectl patch",
	"kubectl-replace":               "kubectl replace",
	"kubectl-set":                   "kubectl set",
	"kubectl-rollout":               "kubectl rollout",
	"kubectl-label":                 "kubectl label",
	"kubectl-annotate":              "kubectl annotate",
	"kubectl-autoscale":             "kubectl autoscale",
	"kubectl-create":                "kubectl create",
	"kubectl":                       "kubectl apply --server-side",
	"kube-controller-manager":       "a controller of Kubernetes",
	"vpa-updater":                   "a VerticalPodAutoscaler",
	"vpa-admission-controller":      "a VerticalPodAutoscaler",
	"keda":                          "KEDA, an autoscaler",
	"kueue":                         "Kueue, the queue",
	"helm":                          "Helm",
	"helm-controller":               "Flux",
	"kustomize-controller":          "Flux",
	"argocd-controller":             "Argo CD",
	"argocd-application-controller": "Argo CD",
	"kubectl-ai-dev":                "kubectl ai dev",
}

// scalers are who sets a number of replicas by the subresource for it.
var scalers = map[string]string{
	"kubectl":                 "kubectl scale",
	"kube-controller-manager": "a HorizontalPodAutoscaler",
}

// FieldConflict is a field that somebody else owns with another value.
type FieldConflict struct {
	Field       string // .spec.replicas
	Manager     string // kubectl
	Subresource string // scale; "": the object itself
}

func (f FieldConflict) String() string {
	writer := writers[f.Manager]
	if f.Subresource == "scale" && scalers[f.Manager] != "" {
		writer = scalers[f.Manager]
	}
	if writer == "" {
		return fmt.Sprintf("%s belongs to %q", f.Field, f.Manager)
	}
	return fmt.Sprintf("%s belongs to %q (%s)", f.Field, f.Manager, writer)
}

// ConflictError says that other field managers own what an object wants to
// set. Nothing was written.
type ConflictError struct {
	Ref    Ref
	Fields []FieldConflict
	Err    error
}

func (e *ConflictError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.String()
	}
	return fmt.Sprintf("%s: %s", e.Ref, strings.Join(parts, ", "))
}

func (e *ConflictError) Unwrap() error { return e.Err }

// Managers are the field managers that it conflicts with, each once.
func (e *ConflictError) Managers() []string {
	var out []string
	for _, f := range e.Fields {
		if !slices.Contains(out, f.Manager) {
			out = append(out, f.Manager)
		}
	}
	return out
}

// conflictWith is how the server names the manager of a conflict: quoted, then
// the subresource, the version and the time where there are any (apimachinery,
// managedfields/internal/conflict.go).
var conflictWith = regexp.MustCompile(`^conflict with ("(?:[^"\\]|\\.)*")(?: with subresource ("(?:[^"\\]|\\.)*"))?`)

// conflictOf returns the conflict that a server-side apply met, or nil.
func conflictOf(r Ref, err error) *ConflictError {
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	conflict := &ConflictError{Ref: r, Err: err}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		f := FieldConflict{Field: cause.Field, Manager: strings.TrimPrefix(cause.Message, "conflict with ")}
		if words := conflictWith.FindStringSubmatch(cause.Message); words != nil {
			if name, err := strconv.Unquote(words[1]); err == nil {
				f.Manager = name
			}
			f.Subresource, _ = strconv.Unquote(words[2])
		}
		conflict.Fields = append(conflict.Fields, f)
	}
	if len(conflict.Fields) == 0 {
		return nil
	}
	return conflict
}

// takes says whether all that an object conflicts with becomes ours.
func (o Options) takes(e *ConflictError) bool {
	return !slices.ContainsFunc(e.Fields, func(f FieldConflict) bool {
		return !inherited.Has(f.Manager) && !slices.Contains(o.TakeOver, f.Manager)
	})
}

// overcome sends a server-side apply, and once more by force when all that it
// conflicts with may be taken over. Else it returns the *ConflictError.
func overcome[T any](o Options, ref Ref, dryRun bool, send func(metav1.PatchOptions) (T, error)) (T, error) {
	options := metav1.PatchOptions{FieldManager: o.Manager, FieldValidation: metav1.FieldValidationStrict}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	out, err := send(options)
	conflict := conflictOf(ref, err)
	if conflict == nil {
		return out, err
	}
	if !o.takes(conflict) {
		return out, conflict
	}
	force := true
	options.Force = &force
	return send(options)
}

// rehearse is a dry run of a change.
func (c *Client) rehearse(ctx context.Context, change *Change, o Options) (*unstructured.Unstructured, error) {
	resource, err := c.of(change.Want)
	if err != nil {
		return nil, err
	}
	raw, err := body(change.Want, "")
	if err != nil {
		return nil, err
	}
	change.Inherits = change.Live != nil && inherits(change.Live)
	return overcome(o, change.Ref, true, func(options metav1.PatchOptions) (*unstructured.Unstructured, error) {
		return resource.Patch(ctx, change.Ref.Name, types.ApplyPatchType, raw, options)
	})
}

// inherits says whether fields of an object belong to a manager whose fields
// become ours.
func inherits(live metav1.Object) bool {
	return slices.ContainsFunc(live.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
		return f.Operation == metav1.ManagedFieldsOperationUpdate && f.Subresource == "" && inherited.Has(f.Manager)
	})
}

// inherit makes the fields of inherited managers ours, as kubectl does on the
// way from client-side to server-side apply (KEP-555): the apply that follows
// removes those that the bundle does not have.
func (c *Client) inherit(ctx context.Context, resource dynamic.ResourceInterface, live *unstructured.Unstructured, o Options) error {
	uid := live.GetUID()
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, inherited, o.Manager)
		if err != nil || patch == nil {
			return err
		}
		_, err = resource.Patch(ctx, live.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: o.Manager})
		if !apierrors.IsConflict(err) {
			return err
		}
		// Somebody, most likely a controller of its status, wrote in between.
		newer, getErr := resource.Get(ctx, live.GetName(), metav1.GetOptions{})
		switch {
		case getErr != nil:
			return getErr
		case newer.GetUID() != uid:
			return errRecreated
		}
		live = newer
		return err
	})
}

var errRecreated = errors.New("somebody else made it anew")
