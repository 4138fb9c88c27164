package bridge

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxPoll is how many records one request gets at most: Kafka's own default of
// max.poll.records.
const maxPoll = 500

// consumer is a member of a group. Requests to it are served one at a time, as
// a Kafka consumer is used by one thread.
type consumer struct {
	key     string // GROUP/NAME
	group   string
	options consumerOptions
	idle    *time.Timer // ends it

	turn   sync.Mutex // one request at a time
	client *kgo.Client

	mu      sync.Mutex                           // a rebalance comes at any time
	pending []*kgo.Record                        // fetched, and too large for the request before
	given   map[string]map[int32]kgo.EpochOffset // what comes after the records that the client has
}

type consumerOptions struct {
	Name       string `json:"name"`
	Format     string `json:"format"`
	Reset      string `json:"auto.offset.reset"`
	AutoCommit *bool  `json:"enable.auto.commit"`
	MinBytes   int32  `json:"fetch.min.bytes"`
	Isolation  string `json:"isolation.level"`
	WaitMillis int64  `json:"consumer.request.timeout.ms"`
}

func (o consumerOptions) check() error {
	for _, c := range []struct {
		name, value string
		known       []string
	}{
		{"format", o.Format, []string{"", "json"}},
		{"auto.offset.reset", o.Reset, []string{"", "earliest", "latest"}},
		{"isolation.level", o.Isolation, []string{"", "read_uncommitted", "read_committed"}},
	} {
		if !slices.Contains(c.known, c.value) {
			return &Error{http.StatusUnprocessableEntity, fmt.Sprintf("%s: this bridge has no %q", c.name, c.value)}
		}
	}
	if o.MinBytes < 0 || o.WaitMillis < 0 {
		return &Error{http.StatusUnprocessableEntity, "a number of bytes or milliseconds is negative"}
	}
	return nil
}

func (b *Bridge) create(r *http.Request) (any, error) {
	var o consumerOptions
	if err := read(r, control, &o); err != nil && !errors.Is(err, errEmpty) {
		return nil, err
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = "kafka-bridge-consumer-" + uuid.NewString()
	}
	c := &consumer{group: r.PathValue("group"), options: o, given: map[string]map[int32]kgo.EpochOffset{}}
	c.key = c.group + "/" + o.Name
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.consumers[c.key] != nil {
		return nil, &Error{http.StatusConflict, "A consumer instance with the specified name already exists in the Kafka Bridge."}
	}
	b.consumers[c.key] = c
	c.idle = time.AfterFunc(idle, func() {
		b.log.Printf("consumer %s asked for nothing in %s: its partitions go to others", c.key, idle)
		b.drop(c)
	})
	return map[string]string{
		"instance_id": o.Name,
		"base_uri":    fmt.Sprintf("http://%s/consumers/%s/instances/%s", r.Host, c.group, o.Name),
	}, nil
}

var errNoConsumer = &Error{http.StatusNotFound, "The specified consumer instance was not found."}

// find returns the consumer that a request is for, and takes its turn; the
// caller gives it back.
func (b *Bridge) find(r *http.Request) (*consumer, error) {
	b.mu.Lock()
	c := b.consumers[r.PathValue("group")+"/"+r.PathValue("name")]
	b.mu.Unlock()
	if c == nil {
		return nil, errNoConsumer
	}
	c.idle.Reset(idle)
	c.turn.Lock()
	return c, nil
}

func (b *Bridge) drop(c *consumer) {
	b.mu.Lock()
	if b.consumers[c.key] == c {
		delete(b.consumers, c.key)
	}
	b.mu.Unlock()
	c.turn.Lock()
	defer c.turn.Unlock()
	c.close()
}

func (c *consumer) close() {
	c.idle.Stop()
	if c.client != nil {
		c.client.Close() // leaves the group
	}
}

func (b *Bridge) remove(r *http.Request) (any, error) {
	c, err := b.find(r)
	if err != nil {
		return nil, err
	}
	if c.commits() {
		err = c.commitGiven(r.Context())
	}
	c.turn.Unlock()
	b.drop(c)
	return nil, err
}

func (c *consumer) commits() bool { return c.options.AutoCommit == nil || *c.options.AutoCommit }

func (b *Bridge) subscribe(r *http.Request) (any, error) {
	c, err := b.find(r)
	if err != nil {
		return nil, err
	}
	defer c.turn.Unlock()
	var request struct {
		Topics []string `json:"topics"`
	}
	if err := read(r, control, &request); err != nil {
		return nil, err
	}
	if len(request.Topics) == 0 {
		return nil, &Error{http.StatusUnprocessableEntity, "topics: name one or more"}
	}
	start := kgo.NewOffset().AtEnd()
	if c.options.Reset == "earliest" {
		start = kgo.NewOffset().AtStart()
	}
	options := append(slices.Clone(b.options),
		kgo.ConsumerGroup(c.group), kgo.ConsumeTopics(request.Topics...), kgo.ConsumeResetOffset(start),
		kgo.HeartbeatInterval(500*time.Millisecond), // a member learns of another by it; Kafka's own are 3 s
		kgo.DisableAutoCommit(), kgo.ClientID(c.options.Name),
		kgo.Balancers(kgo.RangeBalancer()), // Kafka's own default; members with other libraries join too
		kgo.OnPartitionsRevoked(c.revoked), kgo.OnPartitionsLost(c.revoked),
		kgo.FetchMinBytes(max(1, c.options.MinBytes)),
	)
	if c.options.Isolation == "read_committed" {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, &Error{http.StatusUnprocessableEntity, err.Error()}
	}
	if c.client != nil { // another subscription takes the place of the former
		c.client.Close()
	}
	c.client = client
	return nil, nil
}

// revoked forgets what another member will get. What the client has of it and
// did not commit, that member gets again: at least once is Kafka's promise.
func (c *consumer) revoked(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = slices.DeleteFunc(c.pending, func(r *kgo.Record) bool { return slices.Contains(lost[r.Topic], r.Partition) })
	for topic, partitions := range lost {
		for _, p := range partitions {
			delete(c.given[topic], p)
		}
	}
}

// received is a record in an answer.
type received struct {
	Topic     string          `json:"topic"`
	Key       json.RawMessage `json:"key"`
	Value     json.RawMessage `json:"value"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	Timestamp int64           `json:"timestamp"` // milliseconds since 1970
	Headers   []header        `json:"headers,omitempty"`
}

func (b *Bridge) records(r *http.Request) (any, error) {
	c, err := b.find(r)
	if err != nil {
		return nil, err
	}
	defer c.turn.Unlock()
	if accept := r.Header.Get("Accept"); accept != jsonRecords && accept != "*/*" && accept != "" {
		return nil, &Error{http.StatusNotAcceptable, "Accept: want " + jsonRecords}
	}
	wait, err := number(r, "timeout", max(c.options.WaitMillis, 1000))
	if err != nil {
		return nil, err
	}
	limit, err := number(r, "max_bytes", maxRequest)
	if err != nil {
		return nil, err
	}
	if c.client == nil {
		return nil, &Error{http.StatusConflict, "The consumer is not subscribed to any topic."}
	}
	if c.commits() { // what the client has, it has seen: it asks for more
		if err := c.commitGiven(r.Context()); err != nil {
			return nil, err
		}
	}
	taken, err := c.poll(r.Context(), time.Duration(wait)*time.Millisecond, int(limit))
	if err != nil {
		return nil, err
	}
	out := make([]received, len(taken))
	for i, record := range taken {
		if out[i], err = fromRecord(record); err != nil {
			return nil, err
		}
	}
	c.give(taken)
	return out, nil
}

// poll returns records of up to limit bytes, none when there are none in time.
func (c *consumer) poll(ctx context.Context, wait time.Duration, limit int) ([]*kgo.Record, error) {
	c.mu.Lock()
	empty := len(c.pending) == 0
	c.mu.Unlock()
	if empty {
		limited, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		fetches := c.client.PollRecords(limited, maxPoll)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				return nil, e.Err
			}
		}
		c.mu.Lock()
		c.pending = fetches.Records()
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for ; n < len(c.pending); n++ {
		if size += len(c.pending[n].Key) + len(c.pending[n].Value); size > limit {
			break
		}
	}
	if n == 0 && len(c.pending) > 0 {
		return nil, &Error{http.StatusUnprocessableEntity, "Response exceeds the maximum number of bytes the consumer can receive"}
	}
	taken := slices.Clone(c.pending[:n])
	c.pending = c.pending[n:]
	return taken, nil
}

func (c *consumer) give(records []*kgo.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range records {
		set(c.given, r.Topic, r.Partition, kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1})
	}
}

func set(offsets map[string]map[int32]kgo.EpochOffset, topic string, partition int32, at kgo.EpochOffset) {
	if offsets[topic] == nil {
		offsets[topic] = map[int32]kgo.EpochOffset{}
	}
	offsets[topic][partition] = at
}

func fromRecord(r *kgo.Record) (received, error) {
	for _, text := range [][]byte{r.Key, r.Value} {
		if text != nil && !json.Valid(text) {
			return received{}, &Error{http.StatusNotAcceptable, fmt.Sprintf("%s/%d, offset %d: it is not JSON, as the consumer's format says", r.Topic, r.Partition, r.Offset)}
		}
	}
	out := received{Topic: r.Topic, Key: r.Key, Value: r.Value, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli()}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, header{h.Key, base64.StdEncoding.EncodeToString(h.Value)})
	}
	return out, nil
}

func (b *Bridge) commit(r *http.Request) (any, error) {
	c, err := b.find(r)
	if err != nil {
		return nil, err
	}
	defer c.turn.Unlock()
	var request struct {
		Offsets []struct {
			Topic     string `json:"topic"`
			Partition int32  `json:"partition"`
			Offset    int64  `json:"offset"`
			Metadata  string `json:"metadata"`
		} `json:"offsets"`
	}
	if r.ContentLength != 0 {
		if err := read(r, control, &request); err != nil && !errors.Is(err, errEmpty) {
			return nil, err
		}
	}
	if c.client == nil {
		return nil, &Error{http.StatusConflict, "The consumer is not subscribed to any topic."}
	}
	if len(request.Offsets) == 0 {
		return nil, c.commitGiven(r.Context())
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for _, o := range request.Offsets {
		set(offsets, o.Topic, o.Partition, kgo.EpochOffset{Epoch: -1, Offset: o.Offset})
	}
	return nil, c.commitOffsets(r.Context(), offsets)
}

// commitGiven commits what the client has.
func (c *consumer) commitGiven(ctx context.Context) error {
	c.mu.Lock()
	given := c.given
	c.given = map[string]map[int32]kgo.EpochOffset{}
	c.mu.Unlock()
	if c.client == nil || len(given) == 0 {
		return nil
	}
	return c.commitOffsets(ctx, given)
}

func (c *consumer) commitOffsets(ctx context.Context, offsets map[string]map[int32]kgo.EpochOffset) error {
	var failed error
	c.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if err != nil {
			return
		}
		for _, topic := range answer.Topics {
			for _, p := range topic.Partitions {
				if failed == nil {
					failed = kerr.ErrorForCode(p.ErrorCode)
				}
			}
		}
	})
	return failed
}

func number(r *http.Request, name string, otherwise int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, &Error{http.StatusUnprocessableEntity, fmt.Sprintf("%s=%s: want a number", name, text)}
	}
	return n, nil
}
