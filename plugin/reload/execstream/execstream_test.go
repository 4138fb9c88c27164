package execstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// dial execs against an API server that answers each verb with the status
// given for it.
func dial(t *testing.T, answers map[string]error) error {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verb := map[string]string{http.MethodGet: "get", http.MethodPost: "create"}[r.Method]
		var status apierrors.APIStatus
		if !errors.As(answers[verb], &status) {
			t.Errorf("unexpected %s %s", r.Method, r.URL)
			return
		}
		s := status.Status()
		s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(s.Code))
		_ = json.NewEncoder(w).Encode(s)
	}))
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL}
	client, err := clientset.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := (&Dialer{Config: config, Client: client, Namespace: "n"}).Dial(t.Context(), "p", "c", "x")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(s)
	if name, why := s.Transport(); name != SPDY || why == nil {
		t.Errorf("transport = %s (%v), want a fallback to %s", name, why, SPDY)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return err
}

func forbidden(verb string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "p", fmt.Errorf("User \"u\" cannot %s resource \"pods/exec\"", verb))
}

func TestWhoMayNotExecHearsWhichVerbIsMissing(t *testing.T) {
	err := dial(t, map[string]error{"get": forbidden("get"), "create": forbidden("create")})
	var missing *ForbiddenError
	if !errors.As(err, &missing) || !missing.Permanent() || !apierrors.IsForbidden(err) {
		t.Fatalf("err = %v, want a permanent *ForbiddenError", err)
	}
	for _, want := range []string{"p/c", "namespace n", `cannot create resource "pods/exec"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestAFailureOfSPDYThatIsNoRefusalMayBeRepeated(t *testing.T) {
	err := dial(t, map[string]error{"get": forbidden("get"), "create": apierrors.NewInternalError(errors.New("the kubelet is away"))})
	var missing *ForbiddenError
	if errors.As(err, &missing) || err == nil || !strings.Contains(err.Error(), "the kubelet is away") {
		t.Errorf("err = %v", err)
	}
}
