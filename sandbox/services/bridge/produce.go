package bridge

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sent is a record of a produce request: keys and values are any JSON.
type sent struct {
	Key       json.RawMessage `json:"key"`
	Value     json.RawMessage `json:"value"`
	Partition *int32          `json:"partition"`
	Headers   []header        `json:"headers"`
	Timestamp *int64          `json:"timestamp"` // milliseconds since 1970
}

type header struct {
	Key   string `json:"key"`
	Value string `json:"value"` // base64
}

// place is where a record went, or why it went nowhere: one of the two pairs.
type place struct {
	Partition *int32 `json:"partition,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
	Code      int    `json:"error_code,omitempty"`
	Message   string `json:"message,omitempty"`
}

func (b *Bridge) produce(r *http.Request) (any, error) {
	var request struct {
		Records []sent `json:"records"`
	}
	if err := read(r, jsonRecords, &request); err != nil {
		return nil, err
	}
	records := make([]*kgo.Record, len(request.Records))
	for i, s := range request.Records {
		record, err := s.record(r.PathValue("topic"))
		if err != nil {
			return nil, &Error{http.StatusUnprocessableEntity, fmt.Sprintf("record %d: %v", i, err)}
		}
		records[i] = record
	}
	placed, others, err := b.split(r.Context(), r.PathValue("topic"), records)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	results := append(b.placer.ProduceSync(ctx, placed...), b.producer.ProduceSync(ctx, others...)...)
	places := make(map[*kgo.Record]place, len(results))
	failed := 0
	for _, result := range results {
		if result.Err != nil {
			failed++
			said := clientError(result.Err)
			places[result.Record] = place{Code: said.Code, Message: said.Message}
			continue
		}
		places[result.Record] = place{Partition: &result.Record.Partition, Offset: &result.Record.Offset}
	}
	if failed > 0 && failed == len(records) {
		return nil, clientError(results.FirstErr()) // the topic's or the broker's fault
	}
	offsets := make([]place, len(records))
	for i, record := range records {
		offsets[i] = places[record]
	}
	return map[string]any{"offsets": offsets}, nil
}

// split parts the records that say their partition from the others.
func (b *Bridge) split(ctx context.Context, topic string, records []*kgo.Record) (placed, others []*kgo.Record, err error) {
	for _, record := range records {
		if record.Partition < 0 {
			others = append(others, record)
			continue
		}
		placed = append(placed, record)
	}
	if placed == nil {
		return nil, others, nil
	}
	request := kmsg.NewPtrMetadataRequest()
	request.AllowAutoTopicCreation = true
	request.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	answer, err := request.RequestWith(ctx, b.placer)
	if err != nil {
		return nil, nil, err
	}
	for _, record := range placed {
		if n := len(answer.Topics[0].Partitions); int(record.Partition) >= n {
			return nil, nil, &Error{http.StatusNotFound, fmt.Sprintf("topic %s has %d partitions, none with number %d", topic, n, record.Partition)}
		}
	}
	return placed, others, nil
}

func (s sent) record(topic string) (*kgo.Record, error) {
	record := &kgo.Record{Topic: topic, Partition: -1, Key: bytesOf(s.Key), Value: bytesOf(s.Value)}
	if s.Partition != nil {
		if *s.Partition < 0 {
			return nil, fmt.Errorf("partition %d is none", *s.Partition)
		}
		record.Partition = *s.Partition
	}
	if s.Timestamp != nil {
		record.Timestamp = time.UnixMilli(*s.Timestamp)
	}
	for _, h := range s.Headers {
		value, err := base64.StdEncoding.DecodeString(h.Value)
		if err != nil {
			return nil, fmt.Errorf("header %s: its value is not base64", h.Key)
		}
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: value})
	}
	return record, nil
}

// bytesOf is what goes on the wire: the JSON text, nothing for null.
func bytesOf(raw json.RawMessage) []byte {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return raw
}
