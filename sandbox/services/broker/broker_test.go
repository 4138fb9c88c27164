package broker

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// start runs a broker that advertises its own address.
func start(t *testing.T, topics ...string) (*Broker, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := listener.Addr().String()
	b, err := Start(listener, Options{Advertise: at, Topics: topics, Partitions: 4, Log: log.New(io.Discard, "", 0)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, at
}

func client(t *testing.T, at string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(options, kgo.SeedBrokers(at), kgo.FetchMaxWait(250*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestWhatIsProducedIsConsumed(t *testing.T) {
	t.Parallel()
	_, at := start(t, "digits")
	producer := client(t, at, kgo.DefaultProduceTopic("digits"))
	for i := range 100 {
		producer.Produce(t.Context(), kgo.StringRecord(fmt.Sprint(i)), func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	consumer := client(t, at, kgo.ConsumeTopics("digits"), kgo.ConsumerGroup("readers"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen := map[string]bool{}
	for len(seen) < 100 {
		fetches := consumer.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
	}
}

func TestClientsAreToldTheAdvertisedAddress(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Start(listener, Options{Advertise: "stream-kafka-bootstrap:9092", Partitions: 1, Log: log.New(io.Discard, "", 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got := b.cluster.ListenAddrs(); len(got) != 1 || got[0] != "stream-kafka-bootstrap:9092" {
		t.Errorf("advertised %v", got)
	}
}

func TestOptionsThatNoBrokerCanHave(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{Advertise: "broker:9092"},
		{Advertise: "broker", Partitions: 1},
		{Advertise: ":9092", Partitions: 1},
		{Advertise: "broker:kafka", Partitions: 1},
		{Advertise: "broker:0", Partitions: 1},
	} {
		_, err := Start(nil, o)
		var bad *OptionError
		if !errors.As(err, &bad) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	b, _ := start(t)
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	if w.Code != http.StatusOK {
		t.Errorf("code %d", w.Code)
	}
}
