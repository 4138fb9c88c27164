package nodeobject

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// server is an API server with one Node.
type server struct {
	mu      sync.Mutex
	labels  map[string]string
	events  []event
	refuse  int // how many calls are refused before one is answered
	busy    int // how many Events are answered with 429 before that
	changed chan struct{}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}()
	if s.busy > 0 && r.Method == http.MethodPost {
		s.busy--
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	if s.refuse > 0 {
		s.refuse--
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"message": "not yet"}`)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /api/v1/nodes/n":
	case "PATCH /api/v1/nodes/n":
		var patch struct {
			Metadata struct {
				Labels map[string]*string `json:"labels"`
			} `json:"metadata"`
		}
		_ = json.NewDecoder(r.Body).Decode(&patch)
		for key, value := range patch.Metadata.Labels {
			if delete(s.labels, key); value != nil {
				s.labels[key] = *value
			}
		}
	case "POST /api/v1/namespaces/default/events":
		var e event
		_ = json.NewDecoder(r.Body).Decode(&e)
		s.events = append(s.events, e)
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"metadata": map[string]any{"labels": s.labels}})
}

// until waits for the server to be as it should be.
func (s *server) until(t *testing.T, reached func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		ok := reached()
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-s.changed:
		case <-limit:
			t.Fatalf("not reached: labels %v, %d events", s.labels, len(s.events))
		}
	}
}

// kubeconfig writes one whose user is the server's own certificate.
func writeKubeconfig(t *testing.T, s *httptest.Server) string {
	t.Helper()
	pair := s.TLS.Certificates[0]
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	key, err := pkcs8(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(path, append(authority, key...), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "kubelet.conf")
	content := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: u, user: {client-certificate: %q, client-key: %[3]q}}]
`, s.URL, base64.StdEncoding.EncodeToString(authority), path)
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestKeeper(t *testing.T) {
	s := &server{
		labels:  map[string]string{"kubernetes.io/hostname": "n", "nvidia.com/gpu.product": "old", "nvidia.com/mig-1g.5gb.count": "7"},
		refuse:  2,
		changed: make(chan struct{}, 1),
	}
	https := httptest.NewTLSServer(s)
	t.Cleanup(https.Close)
	want := map[string]string{"nvidia.com/gpu.product": "new", "nvidia.com/gpu.count": "8", "nvidia.com/gfd.timestamp": "5"}
	k := New("n", writeKubeconfig(t, https), want, slog.New(slog.DiscardHandler))
	k.Period = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	// Labels of other GPUs go, others stay.
	full := map[string]string{"kubernetes.io/hostname": "n", "nvidia.com/gpu.product": "new", "nvidia.com/gpu.count": "8", "nvidia.com/gfd.timestamp": "5"}
	labelled := func() bool { return cmp.Equal(full, s.labels) }
	s.until(t, labelled)
	s.mu.Lock()
	delete(s.labels, "nvidia.com/gpu.count")
	s.mu.Unlock()
	s.until(t, labelled)

	s.mu.Lock()
	s.refuse, s.busy = 1, 1
	s.mu.Unlock()
	k.Event(true, "Broken", "GPU 3 is broken")
	s.until(t, func() bool { return len(s.events) == 1 })
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.events[0]
	if e.Type != "Warning" || e.Reason != "Broken" || e.Message != "GPU 3 is broken" || e.InvolvedObject["uid"] != "n" || !strings.HasPrefix(e.Metadata["name"], "n.") {
		t.Errorf("event: %+v", e)
	}
}

func TestDifference(t *testing.T) {
	same := map[string]string{"nvidia.com/gpu.count": "8", "nvidia.com/gfd.timestamp": "1"}
	later := map[string]string{"nvidia.com/gpu.count": "8", "nvidia.com/gfd.timestamp": "2"}
	if patch := difference(same, later); len(patch) != 0 {
		t.Errorf("the time alone is no difference: %v", patch)
	}
	if patch := difference(map[string]string{}, later); len(patch) != 2 {
		t.Errorf("all are missing: %v", patch)
	}
}

func TestNoKubeconfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubelet.conf")
	if _, err := open(path); err == nil {
		t.Error("a kubeconfig that is not there was read")
	}
	if err := os.WriteFile(path, []byte("clusters: []"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(path); err == nil {
		t.Error("a kubeconfig without a cluster was taken")
	}
}

func pkcs8(key any) ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), err
}
