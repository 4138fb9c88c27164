// Package broker is the sandbox's Kafka: one broker that speaks the protocol
// (kfake of franz-go), with all messages in memory. A restart loses them, and
// the consumer groups' offsets with them; that is said when it starts.
//
// Clients learn its advertised address and connect to that, as with any
// Kafka: it is the address of the Service in front.
package broker

import (
	"context"
	"fmt"
	"log"
	"net"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Options are how a broker is to be.
type Options struct {
	Advertise  string // HOST:PORT that clients are told
	Topics     []string
	Partitions int // of each topic, and of topics that clients make by using them
	Log        *log.Logger
}

// OptionError is an option that no broker can be made of.
type OptionError struct{ Option, Reason string }

func (e *OptionError) Error() string { return e.Option + ": " + e.Reason }

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	client  *kgo.Client // asks what topics and groups there are
}

// Start serves the Kafka protocol on a listener, which the broker closes. It
// returns *OptionError.
func Start(listener net.Listener, o Options) (*Broker, error) {
	if o.Partitions < 1 {
		return nil, &OptionError{"partitions", "want 1 or more"}
	}
	advertised, err := parseAddress(o.Advertise)
	if err != nil {
		return nil, err
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ClusterID("kubectl-ai-sandbox"),
		kfake.AllowAutoTopicCreation(),
		// Before topics had IDs (KIP-516, Kafka 2.8): a topic that a restart made
		// anew is the same to clients, and they go on; with IDs they wait for the
		// one that is gone. Client libraries negotiate down to it.
		kfake.MaxVersions(kversion.V2_7_0()),
		kfake.DefaultNumPartitions(o.Partitions),
		kfake.SeedTopics(int32(o.Partitions), o.Topics...),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return advertising{listener, advertised}, nil }),
	)
	if err != nil {
		return nil, fmt.Errorf("start the broker: %w", err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(listener.Addr().String()), Direct(listener.Addr().String()))
	if err != nil {
		cluster.Close()
		return nil, fmt.Errorf("ask the broker: %w", err)
	}
	o.Log.Printf("Kafka on %s, for clients at %s; topics: %s, %d partitions each", listener.Addr(), advertised, strings.Join(o.Topics, " "), o.Partitions)
	o.Log.Print("messages are kept in memory alone: a restart loses them")
	return &Broker{cluster: cluster, client: client}, nil
}

// Close ends it, with all connections.
func (b *Broker) Close() {
	b.client.Close()
	b.cluster.Close()
}

// Direct makes a client keep to an address, whatever the broker tells clients:
// who runs beside the broker does not go through the Service in front.
func Direct(address string) kgo.Opt {
	var dialer net.Dialer
	return kgo.Dialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", address)
	})
}

// advertising is a listener that tells another address than its own: kfake
// tells clients that of its listener.
type advertising struct {
	net.Listener
	advertised address
}

func (a advertising) Addr() net.Addr { return a.advertised }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

func parseAddress(s string) (address, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return "", &OptionError{"advertise", fmt.Sprintf("want HOST:PORT, got %q", s)}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", &OptionError{"advertise", fmt.Sprintf("port %q is none", port)}
	}
	return address(s), nil
}
