// Package bridge gives a Kafka broker an HTTP API: the part of Strimzi's Kafka
// Bridge that produces and consumes JSON, so that a program without a Kafka
// library runs unchanged against a KafkaBridge in production.
//
//	POST   /topics/TOPIC                                  {"records": [{"key":…, "value":…, "partition":…}]}
//	GET    /topics
//	POST   /consumers/GROUP                               {"name":…, "format": "json", "auto.offset.reset":…, "enable.auto.commit":…}
//	POST   /consumers/GROUP/instances/NAME/subscription   {"topics": […]}
//	GET    /consumers/GROUP/instances/NAME/records        ?timeout=MS&max_bytes=N
//	POST   /consumers/GROUP/instances/NAME/offsets        {"offsets": [{"topic":…, "partition":…, "offset":…}]}, or no body
//	DELETE /consumers/GROUP/instances/NAME
//
// What else that bridge has is answered with 404, an option that is not known
// with 422: nothing is ignored in silence.
//
// Source: https://strimzi.io/docs/bridge/latest/, its OpenAPI description.
package bridge

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The media types of the API: of records, and of everything else.
const (
	jsonRecords = "application/vnd.kafka.json.v2+json"
	control     = "application/vnd.kafka.v2+json"
)

// idle is how long a consumer may go without a request before its partitions
// go to others: Kafka's own max.poll.interval.ms.
const idle = 5 * time.Minute

// Bridge serves the API by clients of a broker.
type Bridge struct {
	options  []kgo.Opt
	producer *kgo.Client // partitions as Kafka does
	placer   *kgo.Client // puts records where the request says
	log      *log.Logger

	mu        sync.Mutex
	consumers map[string]*consumer // by GROUP/NAME
}

// New makes a bridge to the broker at an address, to which options may say the
// way.
func New(address string, logger *log.Logger, options ...kgo.Opt) (*Bridge, error) {
	b := &Bridge{
		options: append(options, kgo.SeedBrokers(address), kgo.AllowAutoTopicCreation()),
		log:     logger, consumers: map[string]*consumer{},
	}
	produce := func(p kgo.Partitioner) (*kgo.Client, error) {
		return kgo.NewClient(append(slices.Clone(b.options), kgo.RecordPartitioner(p), kgo.AllowIdempotentProduceCancellation())...)
	}
	var err error
	// By the hash of the key; without one, another partition every 16 KiB
	// (batch.size; KIP-794).
	if b.producer, err = produce(kgo.UniformBytesPartitioner(16<<10, false, true, nil)); err != nil {
		return nil, fmt.Errorf("make a producer: %w", err)
	}
	if b.placer, err = produce(kgo.ManualPartitioner()); err != nil {
		return nil, fmt.Errorf("make a producer: %w", err)
	}
	return b, nil
}

// Close ends all consumers and the producers.
func (b *Bridge) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.consumers {
		c.close()
	}
	clear(b.consumers)
	b.producer.Close()
	b.placer.Close()
}

// Handler serves the API, /healthy and /ready.
func (b *Bridge) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
			answer(w, r, f)
		})
	}
	handle("GET /topics", b.topics)
	handle("POST /topics/{topic}", b.produce)
	handle("POST /consumers/{group}", b.create)
	handle("POST /consumers/{group}/instances/{name}/subscription", b.subscribe)
	handle("GET /consumers/{group}/instances/{name}/records", b.records)
	handle("POST /consumers/{group}/instances/{name}/offsets", b.commit)
	handle("DELETE /consumers/{group}/instances/{name}", b.remove)
	handle("GET /healthy", b.ready)
	handle("GET /ready", b.ready)
	handle("/", func(r *http.Request) (any, error) {
		return nil, &Error{http.StatusNotFound, fmt.Sprintf("%s %s is not of the API that this bridge serves", r.Method, r.URL.Path)}
	})
	return mux
}

// patience is how long a broker may take to accept records.
const patience = 10 * time.Second

// maxRequest bounds a request's body, in bytes. Chosen: ten of Kafka's largest
// batches.
const maxRequest = 10 << 20

func (b *Bridge) ready(r *http.Request) (any, error) { return nil, b.producer.Ping(r.Context()) }

// topics lists the topics that are not Kafka's own.
func (b *Bridge) topics(r *http.Request) (any, error) {
	request := kmsg.NewPtrMetadataRequest()
	answer, err := request.RequestWith(r.Context(), b.producer)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, t := range answer.Topics {
		if t.Topic != nil && !t.IsInternal {
			names = append(names, *t.Topic)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Error is what a client of the bridge gets.
type Error struct {
	Code    int    `json:"error_code"` // an HTTP status
	Message string `json:"message"`
}

func (e *Error) Error() string { return strconv.Itoa(e.Code) + ": " + e.Message }

// clientError gives an error of Kafka or of the connection to the broker its
// status.
func clientError(err error) *Error {
	var said *Error
	var kafka *kerr.Error
	switch {
	case errors.As(err, &said):
		return said
	case errors.Is(err, kgo.ErrClientClosed):
		return errNoConsumer
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return &Error{http.StatusNotFound, err.Error()}
	case errors.As(err, &kafka) && !kafka.Retriable:
		return &Error{http.StatusUnprocessableEntity, err.Error()}
	}
	return &Error{http.StatusInternalServerError, "the broker does not answer: " + err.Error()}
}
