//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

const servicesNamespace = "services"

// door opens pods of a namespace to this machine, by a port of
// the sandbox's nodes, and returns its address.
func door(t *testing.T, ns, app, port string) string {
	t.Helper()
	name := fmt.Sprintf("door-%s-%s", app, port)
	apply(t, sandboxName, fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {type: NodePort, selector: {app.kubernetes.io/name: %s}, ports: [{port: 80, targetPort: %s}]}}`, name, ns, app, port))
	number := kubectl(t, sandboxName, "get", "service", "-n", ns, name, "-o", "jsonpath={.spec.ports[0].nodePort}")
	out, err := exec.CommandContext(t.Context(), "docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", sandboxName+"-control-plane").Output()
	if err != nil {
		t.Fatal(err)
	}
	at := net.JoinHostPort(strings.TrimSpace(string(out)), number)
	eventually(t, time.Minute, func() error { // nodes learn of it a moment later
		conn, err := net.DialTimeout("tcp", at, time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return at
}

// overBridge is a program with Python's own library alone: it sends 1,000
// messages and takes them with two members of a group.
const overBridge = `import json, os, time, urllib.request

bridge, topic = os.environ["KAFKA_BRIDGE_URL"], os.environ["KAFKA_TOPIC"]
JSON, CONTROL = "application/vnd.kafka.json.v2+json", "application/vnd.kafka.v2+json"


def call(method, path, body=None, kind=CONTROL):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(bridge + path, data, {"Content-Type": kind, "Accept": kind}, method=method)
    for _ in range(100):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except OSError as problem:
            if getattr(problem, "code", 500) < 500:
                raise
            time.sleep(0.2)
    raise SystemExit("no bridge")


members = []
for name in ("a", "b"):
    call("POST", "/consumers/python", {"name": name, "format": "json", "auto.offset.reset": "earliest", "enable.auto.commit": False})
    members.append("/consumers/python/instances/" + name)
    call("POST", members[-1] + "/subscription", {"topics": [topic]})
for start in range(0, 1000, 100):
    records = [{"key": str(n), "value": {"from": "python", "number": n}} for n in range(start, start + 100)]
    call("POST", "/topics/" + topic, {"records": records}, JSON)
seen, by = set(), {m: 0 for m in members}
while len(seen) < 1000:
    for m in members:
        for r in call("GET", m + "/records?timeout=200", kind=JSON):
            if r["value"]["from"] == "python":
                seen.add(r["value"]["number"])
                by[m] += 1
        call("POST", m + "/offsets")
print(json.dumps({"received": len(seen), "first": min(seen), "last": max(seen)}), flush=True)
for m in members:
    call("DELETE", m)
time.sleep(3600)
`

// TestServices applies the local forms of stream, storage and route with dev,
// which loads their image, and uses each as code does.
func TestServices(t *testing.T) {
	namespace(t, sandboxName, servicesNamespace)
	for range 2 { // the second time it does nothing
		must(t, "sandbox", "add", "gateway-api", "--name", sandboxName)
	}
	t.Cleanup(func() {
		crds, err := tryKubectl(context.Background(), sandboxName, "", "get", "crds", "-o", "name")
		if err != nil {
			t.Errorf("list the CRDs: %v\n%s", err, crds)
		}
		uninstall(t, sandboxName, slices.DeleteFunc(strings.Fields(crds), func(name string) bool { return !strings.HasSuffix(name, ".gateway.networking.k8s.io") }))
	})
	dir := filepath.Join(t.TempDir(), "bundle")
	formed(t, dir, servicesNamespace, "", "")
	for _, name := range []string{"stream", "storage", "route"} {
		must(t, "catalog", "add", name, dir)
	}
	backend := func(name string) string {
		return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: %[1]s}}
  template:
    metadata: {labels: {app.kubernetes.io/name: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: serve
        image: python:3.11-slim
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        command: [python3, -uc]
        args:
        - |
          from http.server import *
          class Handler(BaseHTTPRequestHandler):
              protocol_version = "HTTP/1.1"
              wbufsize = -1
              def do_GET(self):
                  self.send_response(200)
                  self.send_header("Content-Length", "%[2]d")
                  self.end_headers()
                  self.wfile.write(b"%[1]s")
              def log_message(self, *args): pass
          ThreadingHTTPServer(("", 8080), Handler).serve_forever()
---
`, name, len(name))
	}
	write(t, dir, map[string]string{
		"src/bridge.py":           overBridge,
		"base/kustomization.yaml": "resources: [reader.yaml, backends.yaml]\n",
		"base/backends.yaml": backend("serve") + backend("serve-canary") +
			"{apiVersion: v1, kind: Service, metadata: {name: serve}, spec: {selector: {app.kubernetes.io/name: serve}, ports: [{name: http, port: 8080, targetPort: http}]}}\n",
		"base/reader.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: reader}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: reader}}
  template:
    metadata: {labels: {app.kubernetes.io/name: reader}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: reader
        image: python:3.11-slim
        workingDir: /app
        command: [python3, bridge.py]
        envFrom: [{configMapRef: {name: stream}}]
`,
	})
	must(t, "dev", dir, "--once", "--timeout", "120s")
	for _, name := range []string{"stream", "storage", "route", "serve", "serve-canary"} {
		kubectl(t, sandboxName, "rollout", "status", "-n", servicesNamespace, "deployment/"+name, "--timeout=60s")
	}
	for _, pod := range []string{"stream", "storage", "route"} {
		remember(t, servicesNamespace, pod, "idle")
	}
	t.Run("Bridge", testBridge)
	t.Run("Stream", testStream)
	t.Run("BrokerDies", testBrokerDies)
	t.Run("Storage", testStorage)
	t.Run("Route", testRoute)
}

// remember logs what a service's process holds of memory, now and at most so
// far, and holds it against the catalogue.
func remember(t *testing.T, ns, app, when string) {
	t.Helper()
	uid := kubectl(t, sandboxName, "get", "pods", "-n", ns, "-l", "app.kubernetes.io/name="+app, "-o", "jsonpath={.items[0].metadata.uid} {.items[0].spec.nodeName}")
	id, node, _ := strings.Cut(uid, " ")
	const script = `for p in /proc/[0-9]*; do grep -qs "$1" $p/cgroup && grep -qs ^Name:.ai-services $p/status && grep -E "VmRSS|VmHWM" $p/status; done; true`
	out, err := exec.CommandContext(t.Context(), "docker", "exec", node, "sh", "-c", script, "-", strings.ReplaceAll(id, "-", ".")).Output()
	if err != nil {
		t.Fatalf("read the memory of %s: %v", app, err)
	}
	fields := strings.Fields(string(out))
	if len(fields) != 6 {
		t.Fatalf("the memory of %s is %q", app, out)
	}
	most, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	now, err := strconv.Atoi(fields[4])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("memory of %s, %s: %d MiB, at most %d MiB", app, when, now>>10, most>>10)
	for _, f := range footprint(t, app) {
		if most>>10 > 2*f.TestMiB {
			t.Errorf("%s took %d MiB: the catalogue says %d MiB under %s", app, most>>10, f.TestMiB, f.Test)
		}
	}
}

type measured struct {
	Pod     string
	TestMiB int
	Test    string
}

func footprint(t *testing.T, component string) []measured {
	t.Helper()
	var shown struct{ Footprint []measured }
	if err := json.Unmarshal([]byte(must(t, "catalog", "show", component, "-o", "json").stdout), &shown); err != nil {
		t.Fatal(err)
	}
	return shown.Footprint
}

func testBridge(t *testing.T) {
	eventually(t, time.Minute, func() error {
		logs := kubectl(t, sandboxName, "logs", "-n", servicesNamespace, "deployment/reader")
		if !strings.Contains(logs, `{"received": 1000, "first": 0, "last": 999}`) {
			return fmt.Errorf("the program says %s", logs)
		}
		return nil
	})
}

// kafkaClient makes a client that reaches the broker by its door.
func kafkaClient(t *testing.T, at string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	options = append(options, kgo.SeedBrokers(at), kgo.Dialer(func(ctx context.Context, _, host string) (net.Conn, error) {
		if name, _, _ := net.SplitHostPort(host); host != at && name != "stream-kafka-bootstrap."+servicesNamespace+".svc" {
			return nil, fmt.Errorf("the broker sends clients to %s", host)
		}
		// A node may send a first packet to a pod that is gone, and all that
		// repeat it after that: another connection is quicker.
		return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", at)
	}), kgo.FetchMaxWait(200*time.Millisecond))
	c, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// reader takes what is new of a topic.
func take(t *testing.T, c *kgo.Client, into map[string]bool) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	n := 0
	c.PollFetches(ctx).EachRecord(func(r *kgo.Record) { into[string(r.Value)] = true; n++ })
	return n
}

func testStream(t *testing.T) {
	at := door(t, servicesNamespace, "stream", "kafka")
	group := []kgo.Opt{kgo.ConsumerGroup("two"), kgo.ConsumeTopics("thousand"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(200 * time.Millisecond), kgo.AllowAutoTopicCreation()}
	producer := kafkaClient(t, at, kgo.DefaultProduceTopic("thousand"), kgo.AllowAutoTopicCreation())
	first, second := kafkaClient(t, at, group...), kafkaClient(t, at, group...)
	var records []*kgo.Record
	for i := range 1000 {
		records = append(records, &kgo.Record{Key: fmt.Append(nil, i), Value: fmt.Append(nil, "message ", i)})
	}
	if err := producer.ProduceSync(t.Context(), records[:500]...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	one, two := 0, 0
	eventually(t, time.Minute, func() error {
		one, two = one+take(t, first, seen), two+take(t, second, seen)
		if len(seen) < 500 {
			return fmt.Errorf("%d of 500", len(seen))
		}
		return nil
	})
	eventually(t, time.Minute, func() error { // both are in the group
		var a, b int
		for _, c := range []*kgo.Client{first, second} {
			take(t, c, seen)
		}
		a, b = partitionsOf(first), partitionsOf(second)
		if a != 2 || b != 2 {
			return fmt.Errorf("the members have %d and %d partitions of 4", a, b)
		}
		return nil
	})
	if err := producer.ProduceSync(t.Context(), records[500:]...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	one, two = 0, 0
	eventually(t, time.Minute, func() error {
		one, two = one+take(t, first, seen), two+take(t, second, seen)
		if len(seen) < 1000 {
			return fmt.Errorf("%d of 1,000", len(seen))
		}
		return nil
	})
	if one == 0 || two == 0 || one+two != 500 {
		t.Errorf("of 500 messages the members got %d and %d", one, two)
	}
	t.Logf("1,000 messages; of the last 500 the members got %d and %d", one, two)
	remember(t, servicesNamespace, "stream", "after 2,000 messages")
}

func partitionsOf(c *kgo.Client) (n int) {
	for _, partitions := range c.CommittedOffsets() {
		n += len(partitions)
	}
	return n
}

// testBrokerDies kills the broker between two batches: what was in it is gone,
// as the component says, and clients go on.
func testBrokerDies(t *testing.T) {
	at, http := door(t, servicesNamespace, "stream", "kafka"), "http://"+door(t, servicesNamespace, "stream", "http")
	producer := kafkaClient(t, at, kgo.DefaultProduceTopic("samples"), kgo.AllowAutoTopicCreation(), kgo.AllowIdempotentProduceCancellation())
	consumer := kafkaClient(t, at, kgo.ConsumerGroup("going-on"), kgo.ConsumeTopics("samples"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AllowAutoTopicCreation())
	seen := map[string]bool{}
	send := func(name string) {
		t.Helper()
		eventually(t, time.Minute, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			return producer.ProduceSync(ctx, &kgo.Record{Value: []byte(name)}).FirstErr()
		})
		eventually(t, time.Minute, func() error {
			if take(t, consumer, seen); !seen[name] {
				return fmt.Errorf("the consumer saw %v", slices.Collect(maps.Keys(seen)))
			}
			return nil
		})
	}
	send("before")
	ask(t, http+"/consumers/old", `{"name": "member", "format": "json"}`, 200)
	kubectl(t, sandboxName, "scale", "-n", servicesNamespace, "deployment/stream", "--replicas=0")
	kubectl(t, sandboxName, "wait", "-n", servicesNamespace, "--for=delete", "pod", "-l", "app.kubernetes.io/name=stream", "--timeout=60s")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	err := producer.ProduceSync(ctx, &kgo.Record{Value: []byte("meanwhile")}).FirstErr()
	if err == nil {
		t.Error("a broker that is not there took a message")
	}
	t.Logf("meanwhile a producer says: %v", err)
	kubectl(t, sandboxName, "scale", "-n", servicesNamespace, "deployment/stream", "--replicas=1")
	kubectl(t, sandboxName, "rollout", "status", "-n", servicesNamespace, "deployment/stream", "--timeout=60s")
	send("after")
	said := ask(t, http+"/consumers/old/instances/member/subscription", `{"topics": ["samples"]}`, 404)
	if !strings.Contains(said, "consumer instance was not found") {
		t.Errorf("a consumer that died with the broker: %s", said)
	}
	if logs := kubectl(t, sandboxName, "logs", "-n", servicesNamespace, "deployment/stream"); !strings.Contains(logs, "a restart loses them") {
		t.Errorf("the broker does not say what a restart loses:\n%s", logs)
	}
}

// ask posts to the bridge and returns what it says.
func ask(t *testing.T, url, body string, want int) (said string) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		response, err := http.Post(url, "application/vnd.kafka.v2+json", strings.NewReader(body))
		if err != nil {
			return err
		}
		text, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
		if said = string(text); response.StatusCode != want {
			return fmt.Errorf("%s: %s %s", url, response.Status, said)
		}
		return nil
	})
	return said
}

func testStorage(t *testing.T) {
	c := s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + door(t, servicesNamespace, "storage", "s3")), UsePathStyle: true, Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("sandbox", "sandbox-secret", ""),
	})
	bucket := aws.String("bucket")
	want := map[string]string{}
	for i := range 20 {
		want[fmt.Sprintf("raw/%02d.jsonl", i)] = strings.Repeat(fmt.Sprintf("{\"n\": %d}\n", i), 1000*i)
	}
	want["models/current"] = "sha256:0"
	for key, body := range want {
		if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: strings.NewReader(body)}); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		got := map[string]string{}
		list, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: bucket})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Contents {
			object, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: o.Key})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(object.Body)
			if err != nil {
				t.Fatal(err)
			}
			got[*o.Key] = string(body)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	check()
	remember(t, servicesNamespace, "storage", "after 42 requests")
	before := kubectl(t, sandboxName, "get", "pods", "-n", servicesNamespace, "-l", "app.kubernetes.io/name=storage", "-o", "name")
	kubectl(t, sandboxName, "delete", "-n", servicesNamespace, strings.TrimSpace(before), "--grace-period=0", "--force")
	kubectl(t, sandboxName, "rollout", "status", "-n", servicesNamespace, "deployment/storage", "--timeout=60s")
	eventually(t, time.Minute, func() error {
		_, err := c.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: bucket})
		return err
	})
	check()
	verified := kubectl(t, sandboxName, "exec", "-n", servicesNamespace, "deployment/storage", "--", "/ai-services", "store", "--verify")
	if n := strings.Count(verified, ": OK\n"); n != len(want) || strings.Contains(verified, "FAILED") {
		t.Errorf("%d of %d objects are what was stored:\n%s", n, len(want), verified)
	}
}

// route changes HTTPRoute serve and waits for what the router says of it.
func route(t *testing.T, spec, condition, reason string) {
	t.Helper()
	kubectl(t, sandboxName, "patch", "httproute", "serve", "-n", servicesNamespace, "--type=merge", "-p", spec)
	eventually(t, time.Minute, func() error {
		var r struct {
			Metadata struct{ Generation int64 }
			Status   struct {
				Parents []struct {
					Conditions []struct {
						Type, Reason, Message string
						ObservedGeneration    int64
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(kubectl(t, sandboxName, "get", "httproute", "serve", "-n", servicesNamespace, "-o", "json")), &r); err != nil {
			return err
		}
		for _, p := range r.Status.Parents {
			for _, c := range p.Conditions {
				if c.Type == condition && c.ObservedGeneration == r.Metadata.Generation && c.Reason == reason {
					t.Logf("%s %s: %s", condition, c.Reason, c.Message)
					return nil
				}
			}
		}
		return fmt.Errorf("want %s because of %s: %+v", condition, reason, r.Status)
	})
}

func testRoute(t *testing.T) {
	at := "http://" + door(t, servicesNamespace, "route", "proxy") + "/"
	ask := func() (int, string) {
		response, err := http.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	rule := func(refs string) string { return `{"spec": {"rules": [{"backendRefs": [` + refs + `]}]}}` }
	const serve, canary = `{"name": "serve", "port": 8080, "weight": %d}`, `{"name": "serve-canary", "port": 8080, "weight": %d}`
	route(t, rule(fmt.Sprintf(serve+","+canary, 90, 10)), "Accepted", "Accepted")
	got := map[string]int{}
	for range 1000 {
		_, body := ask()
		got[body]++
	}
	t.Logf("of 1,000 requests: %v", got)
	if got["serve"] < 895 || got["serve"] > 905 || got["serve"]+got["serve-canary"] != 1000 {
		t.Errorf("got %v", got)
	}
	remember(t, servicesNamespace, "route", "after 1,000 requests")
	response, err := http.Get("http://" + door(t, servicesNamespace, "route", "http") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("router_requests_total{route=\"serve\",backend=\"serve-canary\",code=\"200\"} %d\n", got["serve-canary"]); !bytes.Contains(metrics, []byte(want)) {
		t.Errorf("no %s in\n%s", want, metrics)
	}
	for _, c := range []struct {
		spec, condition, reason string
		code                    int
	}{
		{rule(fmt.Sprintf(serve+","+canary, 0, 0)), "Accepted", "Accepted", 500},
		{rule(`{"name": "gone", "port": 8080}`), "ResolvedRefs", "BackendNotFound", 500},
		{`{"spec": {"rules": [{"filters": [{"type": "RequestRedirect", "requestRedirect": {"statusCode": 301, "hostname": "elsewhere.example"}}]}]}}`, "Accepted", "UnsupportedValue", 404},
		{rule(fmt.Sprintf(serve, 1)), "Accepted", "Accepted", 200},
	} {
		route(t, c.spec, c.condition, c.reason)
		eventually(t, time.Minute, func() error {
			if code, body := ask(); code != c.code {
				return fmt.Errorf("%s: %d %s", c.spec, code, body)
			}
			return nil
		})
	}
	attached := kubectl(t, sandboxName, "get", "gateway", "route", "-n", servicesNamespace, "-o", `jsonpath={.status.listeners[0].attachedRoutes} {.status.conditions[?(@.type=="Programmed")].status}`)
	if attached != "1 True" {
		t.Errorf("the Gateway says %q", attached)
	}
}
