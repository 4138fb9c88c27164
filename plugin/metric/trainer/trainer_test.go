package trainer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"

	"github.com/kubectl-ai/kubectl-ai/plugin/metric"
)

var (
	key        = []byte("0123456789abcdef")
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	begin      = time.Unix(1000, 0).UTC()
)

func object(kind, name string, labels map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": "lab", "uid": "u-" + name, "labels": labels},
	}}
}

// cluster has room for the reports of Job train-x, and a ConfigMap that only
// has such a name.
func cluster() dynamic.Interface {
	return fake.NewSimpleDynamicClient(runtime.NewScheme(),
		object("ConfigMap", ReportsName("train-x"), map[string]any{JobLabel: "train-x"}),
		object("ConfigMap", ReportsName("other"), map[string]any{}),
		object("ServiceAccount", Component, nil))
}

func start(t *testing.T, client dynamic.Interface) *httptest.Server {
	t.Helper()
	s := &Server{
		Namespace: "lab", Key: key, Log: log.New(io.Discard, "", 0),
		Keeper: &ConfigMaps{Client: client, Namespace: "lab", Now: func() time.Time { return begin }},
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return server
}

// post returns the code and the body of the answer.
func post(t *testing.T, at, token, body string) (int, map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// kept are the lines that are kept, without their times.
func kept(t *testing.T, client dynamic.Interface) []string {
	t.Helper()
	object, err := client.Resource(configMaps).Namespace("lab").Get(t.Context(), ReportsName("train-x"), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := unstructured.NestedString(object.Object, "data", ReportsKey)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	last := time.Time{}
	for line := range strings.Lines(text) {
		stamp, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil || !at.After(last) {
			t.Errorf("%s after %s: %v", stamp, last, err)
		}
		last, lines = at, append(lines, rest)
	}
	return lines
}

func posted(percent int) string {
	return fmt.Sprintf(`{"trainerStatus": {"progressPercentage": %d, "estimatedRemainingSeconds": 9, "metrics": [{"name": "accuracy", "value": "0.%d"}], "lastUpdatedTime": "2026-01-02T03:04:05.678901+00:00"}}`, percent, percent)
}

func TestWhatIsPostedIsALineOfMetrics(t *testing.T) {
	client := cluster()
	server := start(t, client)
	token := Token(key, "lab", "train-x")
	for _, body := range []string{posted(20), `{"trainerStatus": {"progressPercentage": 40}}`, `{}`, `{"trainerStatus": {"metrics": [{"name": "<loss>", "value": "nan"}]}}`} {
		if code, answer := post(t, server.URL+path("lab", "train-x"), token, body); code != http.StatusOK {
			t.Errorf("%s: %d, %v", body, code, answer)
		}
	}
	lines := kept(t, client)
	if len(lines) != 3 {
		t.Fatalf("kept %q", lines)
	}
	first, err := metric.Parse([]byte(lines[0]))
	if err != nil || first.Progress != 20 || first.Remaining != 9 || len(first.Metrics) != 1 || first.Metrics[0] != (metric.Value{Name: "accuracy", Value: 0.2}) {
		t.Errorf("%+v, %v", first, err)
	}
	second, err := metric.Parse([]byte(lines[1]))
	if err != nil || second.Progress != 40 || second.Metrics != nil || second.Remaining != -1 {
		t.Errorf("progress alone: %+v, %v", second, err)
	}
	if !strings.Contains(lines[2], `"<loss>"`) {
		t.Errorf("the name became another: %s", lines[2])
	}
}

func TestWhatIsRefused(t *testing.T) {
	client := cluster()
	server := start(t, client)
	mine := Token(key, "lab", "train-x")
	for _, c := range []struct {
		name, job, token, body string
		want                   int
	}{
		{"no token", "train-x", "", posted(1), 403},
		{"another run's token", "train-x", Token(key, "lab", "train-y"), posted(1), 403},
		{"a token of another key", "train-x", Token([]byte("another"), "lab", "train-x"), posted(1), 403},
		{"no run", "train-y", Token(key, "lab", "train-y"), posted(1), 404},
		{"a ConfigMap that is no run's", "other", Token(key, "lab", "other"), posted(1), 404},
		{"no JSON", "train-x", mine, `{"trainerStatus": {`, 422},
		{"nothing", "train-x", mine, ``, 422},
		{"two objects", "train-x", mine, `{} {}`, 422},
		{"rest", "train-x", mine, posted(1) + "x", 422},
		{"a list", "train-x", mine, `[]`, 422},
		{"more than all", "train-x", mine, `{"trainerStatus": {"progressPercentage": 101}}`, 422},
		{"less than nothing", "train-x", mine, `{"trainerStatus": {"estimatedRemainingSeconds": -1}}`, 422},
		{"half a percent", "train-x", mine, `{"trainerStatus": {"progressPercentage": 0.5}}`, 422},
		{"a number as a number", "train-x", mine, `{"trainerStatus": {"metrics": [{"name": "a", "value": 1}]}}`, 422},
		{"no number", "train-x", mine, `{"trainerStatus": {"metrics": [{"name": "a", "value": "high"}]}}`, 422},
		{"no name", "train-x", mine, `{"trainerStatus": {"metrics": [{"value": "1"}]}}`, 422},
		{"a long name", "train-x", mine, `{"trainerStatus": {"metrics": [{"name": "` + strings.Repeat("n", 65) + `", "value": "1"}]}}`, 422},
		{"too many", "train-x", mine, `{"trainerStatus": {"metrics": [` + strings.Repeat(`{"name": "a", "value": "1"},`, 256) + `{"name": "a", "value": "1"}]}}`, 422},
		{"no time", "train-x", mine, `{"trainerStatus": {"lastUpdatedTime": "now"}}`, 422},
		{"too large", "train-x", mine, `{"trainerStatus": {"metrics": [{"name": "` + strings.Repeat("n", maxBody) + `", "value": "1"}]}}`, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, answer := post(t, server.URL+path("lab", c.job), c.token, c.body)
			if code != c.want || answer["kind"] != "Status" || answer["code"] != float64(c.want) || answer["message"] == "" {
				t.Errorf("%d, %v; want %d", code, answer, c.want)
			}
		})
	}
	if code, _ := post(t, server.URL+path("elsewhere", "train-x"), Token(key, "elsewhere", "train-x"), posted(1)); code != 403 {
		t.Errorf("another namespace's run: %d", code)
	}
	if code, _ := post(t, server.URL+"/", mine, posted(1)); code != 404 {
		t.Errorf("another path: %d", code)
	}
	if lines := kept(t, client); lines != nil {
		t.Errorf("kept all the same: %q", lines)
	}
}

// What was reported is the cluster's: a server that dies takes nothing along,
// and the next one goes on, whatever its clock says.
func TestAServerThatDiesLosesNothing(t *testing.T) {
	client := cluster()
	token := Token(key, "lab", "train-x")
	for i := 1; i <= 3; i++ {
		server := start(t, client)
		if code, answer := post(t, server.URL+path("lab", "train-x"), token, posted(10*i)); code != http.StatusOK {
			t.Fatal(code, answer)
		}
		server.Close()
	}
	if lines := kept(t, client); len(lines) != 3 || !strings.Contains(lines[2], `:30,`) {
		t.Errorf("kept %q", lines)
	}
}

func TestPostsAtOnceAreAllKept(t *testing.T) {
	client := cluster()
	server := start(t, client)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if code, answer := post(t, server.URL+path("lab", "train-x"), Token(key, "lab", "train-x"), posted(10+i)); code != http.StatusOK {
				t.Error(code, answer)
			}
		})
	}
	group.Wait()
	if lines := kept(t, client); len(lines) != 20 {
		t.Errorf("kept %d of 20", len(lines))
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	line := []byte(strings.Repeat("x", 1000))
	var all []byte
	for i := range 500 {
		all = add(all, begin, fmt.Appendf(nil, "%d %s", i, line))
		if len(all) > maxKept+2000 {
			t.Fatalf("%d bytes after %d lines", len(all), i)
		}
	}
	if !bytes.HasPrefix(all, []byte("1970-01-01T00:16:40.")) || !bytes.Contains(all[len(all)-1100:], []byte(" 499 x")) {
		t.Errorf("begins with %.60q, ends with %.30q", all, all[len(all)-1040:])
	}
}

// The certificate is what a client that checks all takes (Python's ssl with
// VERIFY_X509_STRICT wants the IDs of keys).
func TestAnIdentityIsMadeOnce(t *testing.T) {
	client := cluster()
	first, err := Load(t.Context(), client, "lab", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(t.Context(), client, "lab", time.Now())
	if err != nil || !bytes.Equal(first.Certificate, again.Certificate) || !bytes.Equal(first.Key, again.Key) {
		t.Errorf("another one: %v", err)
	}
	settings, err := again.TLS()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = settings
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(first.CA)
	for name, good := range map[string]bool{Host("lab"): true, Host("elsewhere"): false} {
		conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: name}}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if (err == nil) != good {
			t.Errorf("as %s: %v", name, err)
		}
		if err == nil {
			certificate := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
			if len(certificate.AuthorityKeyId) == 0 {
				t.Error("it does not name the key of its authority")
			}
			_ = conn.Close()
		}
	}
	if _, err := IdentityOf(map[string][]byte{tokenKey: key, CAFile: []byte("x")}); err == nil {
		t.Error("a damaged Secret is an identity")
	}
	if _, err := Load(t.Context(), fake.NewSimpleDynamicClient(runtime.NewScheme()), "lab", time.Now()); err == nil {
		t.Error("nobody owns the Secret")
	}
}

type lines []string

func (l *lines) Keep(_ context.Context, _ string, line []byte) error {
	*l = append(*l, string(line))
	return nil
}

// Whatever is posted is answered with 200 or 4xx, and what is kept is a line
// that readers understand.
func FuzzPost(f *testing.F) {
	f.Add([]byte(posted(20)))
	f.Add([]byte(`{"trainerStatus": {"metrics": [{"name": "a\n", "value": "-Infinity"}, {"name": "\ud800", "value": "1e999"}]}}`))
	f.Add([]byte(`{"trainerStatus": null}`))
	f.Add([]byte(`{"trainerStatus": {"progressPercentage": 2147483648}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var keeper lines
		s := &Server{Namespace: "lab", Key: key, Keeper: &keeper, Log: log.New(io.Discard, "", 0)}
		r := httptest.NewRequest(http.MethodPost, path("lab", "train-x"), bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+Token(key, "lab", "train-x"))
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK && (w.Code < 400 || w.Code > 499) || w.Code != http.StatusOK && len(keeper) > 0 {
			t.Fatalf("%d, kept %q", w.Code, keeper)
		}
		for _, line := range keeper {
			if _, err := metric.Parse([]byte(line)); err != nil || strings.ContainsAny(line, "\r\n") || len(line) > maxLine {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
}
