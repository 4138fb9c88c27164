package apply

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

// Apply itself, before a server that is away for some tries.
func TestAWriteIsTriedAgainWhileTheServerIsAway(t *testing.T) {
	configMaps := schema.GroupResource{Resource: "configmaps"}
	leader := apierrors.NewInternalError(errors.New("etcdserver: leader changed"))
	for _, c := range []struct {
		name  string
		err   error
		away  int // tries that fail
		asked int
		fails bool
	}{
		{name: "nothing is wrong", asked: 1},
		{name: "etcd changes leaders", err: leader, away: 1, asked: 2},
		{name: "etcd is slow", err: apierrors.NewInternalError(errors.New("etcdserver: request timed out")), away: 3, asked: 4},
		{name: "the server restarts", err: fmt.Errorf("dial tcp: %w", syscall.ECONNREFUSED), away: 3, asked: 4},
		{name: "a connection breaks", err: fmt.Errorf("read: %w", syscall.ECONNRESET), away: 1, asked: 2},
		{name: "a server that stops", err: apierrors.NewServiceUnavailable("it stops"), away: 1, asked: 2},
		{name: "a server that stays away", err: leader, away: 100, asked: 4, fails: true},
		{name: "a webhook that fails", err: apierrors.NewInternalError(errors.New("failed calling webhook: connection refused")), away: 100, asked: 1, fails: true},
		{name: "a refusal", err: apierrors.NewForbidden(configMaps, "c", errors.New("no")), away: 100, asked: 1, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: ns}}`)
				client, d := newClient(t)
				asked := 0
				d.PrependReactor("patch", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
					if asked++; asked <= c.away {
						return true, nil, c.err
					}
					return true, want, nil
				})
				plan := &Plan{mask: redact.New(), Changes: []Change{{Ref: RefOf(want), Action: Create, Want: want}}}
				receipts, err := client.Apply(t.Context(), plan, Options{Manager: "m"}, nil)
				if (err != nil) != c.fails || c.fails == (len(receipts) == 1) || c.fails && !errors.Is(err, c.err) {
					t.Errorf("receipts = %v, err = %v", receipts, err)
				}
				if asked != c.asked {
					t.Errorf("asked %d times, want %d", asked, c.asked)
				}
			})
		})
	}
}

func TestNobodyTriesAgainWhenTheRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		asked := 0
		_, err := Again(ctx, func() (*unstructured.Unstructured, error) {
			asked++
			time.AfterFunc(firstRest/2, func() { cancel(stop) })
			return nil, syscall.ECONNREFUSED
		})
		if !errors.Is(err, stop) || asked != 1 {
			t.Errorf("asked %d times: %v", asked, err)
		}
	})
}
