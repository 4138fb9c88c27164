package broker

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Handler serves /healthz and /metrics, the latter under the names of Strimzi's
// Kafka Exporter: a dashboard reads both.
func (b *Broker) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		var out bytes.Buffer
		if err := b.metrics(r.Context(), &out); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write(out.Bytes()) // the client went away
	})
	return mux
}

func (b *Broker) metrics(ctx context.Context, w *bytes.Buffer) error {
	topics, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, b.client)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	groups, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, b.client)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	fmt.Fprint(w, "# HELP kafka_topic_partition_current_offset Messages that a partition got.\n# TYPE kafka_topic_partition_current_offset gauge\n")
	for _, t := range topics.Topics {
		if t.Topic == nil {
			continue
		}
		for _, p := range b.cluster.PartitionInfos(*t.Topic) {
			fmt.Fprintf(w, "kafka_topic_partition_current_offset{topic=%q,partition=\"%d\"} %d\n", *t.Topic, p.Partition, p.HighWatermark)
		}
	}
	fmt.Fprint(w, "# HELP kafka_consumergroup_lag Messages that a group did not commit.\n# TYPE kafka_consumergroup_lag gauge\n")
	for _, g := range groups.Groups {
		info := b.cluster.GroupInfo(g.Group)
		if info == nil {
			continue
		}
		for _, topic := range slices.Sorted(maps.Keys(info.Commits)) {
			for _, p := range slices.Sorted(maps.Keys(info.Commits[topic])) {
				if at := b.cluster.PartitionInfo(topic, p); at != nil {
					fmt.Fprintf(w, "kafka_consumergroup_lag{consumergroup=%q,topic=%q,partition=\"%d\"} %d\n", g.Group, topic, p, at.HighWatermark-info.Commits[topic][p].Offset)
				}
			}
		}
	}
	return nil
}
