package explain_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// The fields of an error as JSON, and its words, are what scripts and people
// go by: they change on purpose or not at all.
func TestAnErrorInBothForms(t *testing.T) {
	failed := &run.FailedError{Record: run.Record{ID: "k7x2mq", Phase: "Failed"}, Cause: "rank 0: exit 135", Next: "mount <an emptyDir>"}
	for _, c := range []struct {
		name       string
		err        error
		exit       int
		text, json string
	}{
		{
			"all of it", fmt.Errorf("wait: %w", failed), 1,
			"error[RUN-003]: wait: run k7x2mq: failed\n  cause: rank 0: exit 135\n  next:  mount <an emptyDir>\n         kubectl ai why k7x2mq says more\n",
			`{"apiVersion":"kubectl-ai.dev/v1alpha1","kind":"Error","id":"RUN-003","message":"wait: run k7x2mq: failed","cause":"rank 0: exit 135","next":"mount <an emptyDir>\nkubectl ai why k7x2mq says more","exitCode":1}` + "\n",
		},
		{
			"several at once", &run.MatrixError{Matrix: "m3", Failed: []*run.FailedError{failed, {Record: run.Record{ID: "b2"}}}, Of: 4}, 1,
			"error[RUN-004]: 2 of 4 runs of matrix m3 did not end well: k7x2mq, b2\n  cause: RUN-003: rank 0: exit 135\n  next:  mount <an emptyDir>\n         kubectl ai why k7x2mq says more\n",
			`{"apiVersion":"kubectl-ai.dev/v1alpha1","kind":"Error","id":"RUN-004","message":"2 of 4 runs of matrix m3 did not end well: k7x2mq, b2","cause":"RUN-003: rank 0: exit 135","next":"mount <an emptyDir>\nkubectl ai why k7x2mq says more","exitCode":1}` + "\n",
		},
		{
			"one that nobody knows", errors.New("odd\n"), 1, "error: odd\n",
			`{"apiVersion":"kubectl-ai.dev/v1alpha1","kind":"Error","message":"odd","exitCode":1}` + "\n",
		},
		{
			"Ctrl-C", fmt.Errorf("wait: %w", context.Canceled), 130, "interrupted\n",
			`{"apiVersion":"kubectl-ai.dev/v1alpha1","kind":"Error","message":"interrupted","exitCode":130}` + "\n",
		},
		{"one that was told", &explain.ToldError{Err: failed}, 1, "", ""},
		{"none", nil, 0, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for form, want := range map[bool]string{false: c.text, true: c.json} {
				var out bytes.Buffer
				if exit := explain.Print(&out, c.err, form); exit != c.exit || out.String() != want {
					t.Errorf("exit %d: %s\nwant %d: %s", exit, out.String(), c.exit, want)
				}
			}
		})
	}
}

// A server says "forbidden" of who asks and of what is asked for: who has no
// rights is told to ask for them, and nobody else is.
func TestWhoIsForbiddenAndWhatIs(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	forbidden := func(words string) error { return apierrors.NewForbidden(pods, "p", errors.New(words)) }
	invalid := &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Message: "Secret \"s\" is invalid: data: Too long"}}
	going := apierrors.NewForbidden(pods, "p", errors.New("namespace ns is being terminated"))
	going.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: "NamespaceTerminating"}}
	for _, c := range []struct {
		name string
		err  error
		id   string
	}{
		{"RBAC", forbidden(`User "dev" cannot create resource "pods"`), "CTX-002"},
		{"nobody that is known", apierrors.NewUnauthorized("no"), "CTX-007"},
		{"quota", forbidden("exceeded quota: team, requested: pods=1, used: pods=1, limited: pods=1"), "APPLY-009"},
		{"Pod Security", forbidden(`violates PodSecurity "restricted:latest"`), "APPLY-009"},
		{"webhook", &apierrors.StatusError{ErrStatus: metav1.Status{Code: 400, Reason: metav1.StatusReasonBadRequest, Message: `admission webhook "w" denied the request: no`}}, "APPLY-009"},
		{"a namespace that goes", going, "APPLY-010"},
		{"a value", invalid, "APPLY-011"},
		{"a full disk", fmt.Errorf("write x: %w", syscall.ENOSPC), "HOST-001"},
		{"a read-only disk", fmt.Errorf("write x: %w", syscall.EROFS), "HOST-002"},
	} {
		if e := explain.Find(c.err); e.ID != c.id || e.Next == nil || e.Next(c.err) == "" {
			t.Errorf("%s: %s, want %s", c.name, e.ID, c.id)
		}
	}
}
