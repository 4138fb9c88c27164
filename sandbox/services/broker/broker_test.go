package broker

import (
	"context"
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

// A broker that dies takes all messages and offsets with it. Clients that were
// connected say so, and go on with the next one at that address.
func TestClientsGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := listener.Addr().String()
	options := Options{Advertise: at, Topics: []string{"digits"}, Partitions: 4, Log: log.New(io.Discard, "", 0)}
	b, err := Start(listener, options)
	if err != nil {
		t.Fatal(err)
	}
	producer := client(t, at, kgo.DefaultProduceTopic("digits"), kgo.AllowIdempotentProduceCancellation(), kgo.MetadataMinAge(100*time.Millisecond))
	consumer := client(t, at, kgo.ConsumeTopics("digits"), kgo.ConsumerGroup("readers"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond))
	read := func(want string) {
		t.Helper()
		for t.Context().Err() == nil {
			for _, r := range consumer.PollFetches(t.Context()).Records() {
				if string(r.Value) == want {
					return
				}
			}
		}
		t.Fatalf("never saw %s", want)
	}
	send := func(ctx context.Context, value string) error {
		return producer.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr()
	}
	for i := range 10 {
		if err := send(t.Context(), fmt.Sprint("before ", i)); err != nil {
			t.Fatal(err)
		}
		read(fmt.Sprint("before ", i))
	}
	b.Close()
	down, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := send(down, "meanwhile"); err == nil {
		t.Error("a broker that is not there took a message")
	}
	if listener, err = net.Listen("tcp", at); err != nil {
		t.Fatal(err)
	}
	if b, err = Start(listener, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	for i := range 10 {
		for { // what a program does that wants to go on
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			err := send(ctx, fmt.Sprint("after ", i))
			cancel()
			if err == nil {
				break
			}
			select {
			case <-t.Context().Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		read(fmt.Sprint("after ", i))
	}
}
