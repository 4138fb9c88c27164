package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kubectl-ai/kubectl-ai/sandbox/services/broker"
)

// start runs a broker that tells clients an address where nobody is, with a
// bridge beside it. It returns the bridge's URL and the way to the broker.
func start(t *testing.T) (string, []kgo.Opt) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quiet := log.New(io.Discard, "", 0)
	b, err := broker.Start(listener, broker.Options{Advertise: "stream-kafka-bootstrap.invalid:9092", Topics: []string{"digits"}, Partitions: 4, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	at := listener.Addr().String()
	bridge, err := New(at, quiet, broker.Direct(at))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bridge.Close)
	server := httptest.NewServer(bridge.Handler())
	t.Cleanup(server.Close)
	return server.URL, []kgo.Opt{kgo.SeedBrokers(at), broker.Direct(at)}
}

// ask sends a request as a program does, and decodes the answer.
func ask(t *testing.T, method, url, body string) (int, any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	kind := control
	if strings.Contains(url, "/topics/") {
		kind = jsonRecords
	}
	request.Header.Set("Content-Type", kind)
	if strings.Contains(url, "/records") {
		request.Header.Set("Accept", jsonRecords)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &value); err != nil {
			t.Fatalf("%s %s: %q: %v", method, url, text, err)
		}
	}
	return response.StatusCode, value
}

func must(t *testing.T, want int, method, url, body string) any {
	t.Helper()
	code, value := ask(t, method, url, body)
	if code != want {
		t.Fatalf("%s %s: %d %v, want %d", method, url, code, value, want)
	}
	return value
}

// join makes a consumer that is subscribed, and returns its URL.
func join(t *testing.T, url, group, name, options string) string {
	t.Helper()
	must(t, 200, "POST", url+"/consumers/"+group, fmt.Sprintf(`{"name": %q, "format": "json", "auto.offset.reset": "earliest"%s}`, name, options))
	at := url + "/consumers/" + group + "/instances/" + name
	must(t, 204, "POST", at+"/subscription", `{"topics": ["digits"]}`)
	return at
}

func produce(t *testing.T, url string, from, to int) {
	t.Helper()
	var records []map[string]any
	for i := from; i < to; i++ {
		records = append(records, map[string]any{"key": fmt.Sprint(i), "value": map[string]any{"label": i}})
	}
	body, err := json.Marshal(map[string]any{"records": records})
	if err != nil {
		t.Fatal(err)
	}
	value := must(t, 200, "POST", url+"/topics/digits", string(body))
	if n := len(value.(map[string]any)["offsets"].([]any)); n != to-from {
		t.Fatalf("%d offsets for %d records", n, to-from)
	}
}

// labels takes the records of one request.
func labels(t *testing.T, at, query string) (out []int) {
	t.Helper()
	for _, r := range must(t, 200, "GET", at+"/records?"+query, "").([]any) {
		out = append(out, int(r.(map[string]any)["value"].(map[string]any)["label"].(float64)))
	}
	return out
}

func TestTwoMembersOfAGroupShareWhatIsThere(t *testing.T) {
	t.Parallel()
	url, _ := start(t)
	first, second := join(t, url, "readers", "a", ""), join(t, url, "readers", "b", "")
	seen := map[int]bool{}
	by := map[string]int{}
	sent := 0
	// Until both are in the group, one gets everything.
	for sent < 1000 || len(seen) < sent || by[first] == 0 || by[second] == 0 {
		if len(seen) == sent {
			produce(t, url, sent, sent+100)
			sent += 100
		}
		for _, at := range []string{first, second} {
			for _, l := range labels(t, at, "timeout=100") {
				seen[l] = true
				by[at]++
			}
		}
	}
	if sent > 5000 {
		t.Errorf("one member got everything for %d messages: %v", sent, by)
	}
}

func TestWhatIsNotCommittedComesAgain(t *testing.T) {
	t.Parallel()
	url, _ := start(t)
	produce(t, url, 0, 100)
	read := func(at string) int {
		n := 0
		for n < 100 {
			got := len(labels(t, at, "timeout=500"))
			if got == 0 && n > 0 {
				return n
			}
			n += got
		}
		return n
	}
	at := join(t, url, "careful", "a", `, "enable.auto.commit": false`)
	if n := read(at); n != 100 {
		t.Fatalf("got %d", n)
	}
	must(t, 204, "DELETE", at, "")
	at = join(t, url, "careful", "b", `, "enable.auto.commit": false`)
	if n := read(at); n != 100 {
		t.Fatalf("got %d after a member that committed nothing", n)
	}
	must(t, 204, "POST", at+"/offsets", "")
	must(t, 204, "DELETE", at, "")
	produce(t, url, 100, 101)
	at = join(t, url, "careful", "c", `, "enable.auto.commit": true`)
	if got := labels(t, at, "timeout=5000"); !cmp.Equal(got, []int{100}) {
		t.Errorf("after a commit: %v", got)
	}
	must(t, 204, "DELETE", at, "") // commits what it has
	produce(t, url, 101, 102)
	at = join(t, url, "careful", "d", "")
	if got := labels(t, at, "timeout=5000"); !cmp.Equal(got, []int{101}) {
		t.Errorf("after an automatic commit: %v", got)
	}
	must(t, 204, "POST", at+"/offsets", `{"offsets": [{"topic": "digits", "partition": 0, "offset": 0}, {"topic": "digits", "partition": 1, "offset": 0}]}`)
}

func TestAnAnswerKeepsToItsSize(t *testing.T) {
	t.Parallel()
	url, _ := start(t)
	produce(t, url, 0, 50)
	at := join(t, url, "small", "a", "")
	var got []int
	for len(got) < 50 {
		some := labels(t, at, "timeout=500&max_bytes=64")
		if len(some) > 6 {
			t.Fatalf("%d records of 12 bytes and more in 64 bytes", len(some))
		}
		got = append(got, some...)
	}
	produce(t, url, 50, 51)
	for code := 200; code == 200; {
		var value any
		if code, value = ask(t, "GET", at+"/records?timeout=500&max_bytes=1", ""); code != 200 && code != 422 {
			t.Fatalf("%d %v", code, value)
		}
	}
	if got := labels(t, at, "timeout=500"); !cmp.Equal(got, []int{50}) {
		t.Errorf("what did not fit is lost: %v", got)
	}
}

func TestOtherClientsSeeTheSameRecords(t *testing.T) {
	t.Parallel()
	url, options := start(t)
	c, err := kgo.NewClient(append(options, kgo.ConsumeTopics("digits"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must(t, 200, "POST", url+"/topics/digits", `{"records": [{"key": "k", "value": {"pixels": [0, 1]}, "partition": 2, "timestamp": 1700000000000, "headers": [{"key": "h", "value": "aGk="}]}]}`)
	record := c.PollFetches(t.Context()).Records()[0]
	if string(record.Key) != `"k"` || string(record.Value) != `{"pixels": [0, 1]}` || record.Partition != 2 || record.Timestamp.UnixMilli() != 1700000000000 || string(record.Headers[0].Value) != "hi" {
		t.Errorf("got %+v", record)
	}
	if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "digits", Partition: 1, Value: []byte("[1]")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	at := join(t, url, "g", "a", "")
	var got []any
	for len(got) < 2 {
		got = append(got, must(t, 200, "GET", at+"/records", "").([]any)...)
	}
	if diff := cmp.Diff([]any{"digits"}, must(t, 200, "GET", url+"/topics", "")); diff != "" {
		t.Error(diff)
	}
	if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: "digits", Value: []byte("not JSON")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	for code := 200; code == 200; {
		var value any
		if code, value = ask(t, "GET", at+"/records?timeout=500", ""); code != 200 && (code != 406 || !strings.Contains(fmt.Sprint(value), "is not JSON")) {
			t.Fatalf("%d %v", code, value)
		}
	}
}

func TestWhatTheBridgeRefuses(t *testing.T) {
	t.Parallel()
	url, _ := start(t)
	at := join(t, url, "g", "taken", "")
	must(t, 200, "POST", url+"/consumers/g", `{"name": "bare"}`)
	bare := url + "/consumers/g/instances/bare"
	for _, c := range []struct {
		name, method, url, body string
		code                    int
		says                    string
	}{
		{"no such call", "GET", "/topics/digits/partitions", "", 404, "not of the API"},
		{"a call with another method", "PUT", "/topics/digits", "{}", 404, "PUT /topics/digits"},
		{"a name twice", "POST", "/consumers/g", `{"name": "taken"}`, 409, "already exists"},
		{"an option that is not known", "POST", "/consumers/g", `{"max.poll.records": 5}`, 422, "max.poll.records"},
		{"another format", "POST", "/consumers/g", `{"format": "binary"}`, 422, "format"},
		{"another reset", "POST", "/consumers/g", `{"auto.offset.reset": "middle"}`, 422, "auto.offset.reset"},
		{"no JSON", "POST", "/topics/digits", `{"records": [`, 422, "read the request"},
		{"no body", "POST", "/topics/digits", "", 422, "no body"},
		{"a partition that is none", "POST", "/topics/digits", `{"records": [{"value": 1, "partition": 9}]}`, 404, "has 4 partitions"},
		{"a negative partition", "POST", "/topics/digits", `{"records": [{"value": 1, "partition": -2}]}`, 422, "record 0"},
		{"a broken header", "POST", "/topics/digits", `{"records": [{"value": 1, "headers": [{"key": "h", "value": "%"}]}]}`, 422, "base64"},
		{"a message too large", "POST", "/topics/digits", `{"records": [{"value": "` + strings.Repeat("x", 2<<20) + `"}]}`, 422, "MESSAGE_TOO_LARGE"},
		{"no consumer", "GET", "/consumers/g/instances/nobody/records", "", 404, "not found"},
		{"no topics", "POST", strings.TrimPrefix(at, url) + "/subscription", `{"topics": []}`, 422, "name one"},
		{"no subscription", "GET", strings.TrimPrefix(bare, url) + "/records", "", 409, "not subscribed"},
		{"no number", "GET", strings.TrimPrefix(at, url) + "/records?timeout=soon", "", 422, "timeout=soon"},
	} {
		code, value := ask(t, c.method, url+c.url, c.body)
		said, _ := value.(map[string]any)
		if code != c.code || !strings.Contains(fmt.Sprint(said["message"]), c.says) || said["error_code"] != float64(c.code) {
			t.Errorf("%s: %d %.200v, want %d and %q", c.name, code, value, c.code, c.says)
		}
	}
	response, err := http.Post(url+"/topics/digits", "text/plain", bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	if response.Body.Close(); response.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("another media type: %s", response.Status)
	}
}
