package command

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// says makes every log one line, after the first so many requests for one
// failed.
func says(client *fake.Clientset, line string, failed int, err error) {
	client.PrependReactor("get", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "log" {
			return false, nil, nil
		}
		if failed--; failed >= 0 {
			return true, nil, err
		}
		return true, &runtime.Unknown{Raw: []byte("2026-11-02T03:04:05.000005Z " + line + "\n")}, nil
	})
}

// showing is `logs` of the run that is here.
func showing(t *testing.T, o *LogsOptions) (*logsView, *fake.Clientset) {
	t.Helper()
	r, client, _ := runHere(t)
	record, err := r.store.Get(t.Context(), "k7x2mq")
	if err != nil {
		t.Fatal(err)
	}
	return &logsView{LogsOptions: o, runSet: r, f: r.f, id: record.ID, record: record, complaints: complaints{}}, client
}

func TestFollowingGoesOnWhereALogDidNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, client := showing(t, &LogsOptions{Follow: true})
		says(client, "one", 6, apierrors.NewInternalError(errors.New("dial tcp 172.18.0.3:10250: connection refused")))
		time.AfterFunc(time.Minute, func() { complete(t, client) })
		err := v.show(t.Context())
		if out := textOf(v.f.Streams.Out); out != "[rank 0] one\n" || err != nil {
			t.Errorf("%q, %v", out, err)
		}
		if said := textOf(v.f.Streams.ErrOut); strings.Count(said, "trying again") != 1 {
			t.Errorf("%s", said)
		}
	})
}

func TestFollowingEndsWhereALogMayNotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, client := showing(t, &LogsOptions{Follow: true})
		says(client, "one", 1<<30, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "train-k7x2mq-0", errors.New("no")))
		time.AfterFunc(time.Minute, func() { complete(t, client) })
		if err := v.show(t.Context()); !apierrors.IsForbidden(err) {
			t.Errorf("%v", err)
		}
	})
}

func TestARunThatEndsWhileItIsLookedAtHasItsLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, client := showing(t, &LogsOptions{})
		says(client, "one", 0, nil)
		complete(t, client)
		listed := 0
		client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
			listed++
			return listed == 1, &corev1.PodList{}, nil // its pod came after that
		})
		err := v.show(t.Context())
		if out := textOf(v.f.Streams.Out); out != "[rank 0] one\n" || err != nil {
			t.Errorf("%q, %v", out, err)
		}
	})
}
