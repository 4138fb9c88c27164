//go:build bench

package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// away is how long the way to the API server takes, there and back.
const away = 50 * time.Millisecond

// TestDistance counts the round trips between laptop and cluster that a save
// waits for: what a save takes longer through a proxy that delays every byte
// by half of away in each direction, in units of away. Saves near and far
// alternate, so that both see the same machine; and the fastest tenth of each
// is compared, because a wait for the network is in every save and a wait for
// a processor is not.
func TestDistance(t *testing.T) {
	b := newBench(t)
	far := b.farKubeconfig()
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("the API server is put %v away; times are p10 and medians / p95; load average %s", away, load)
	for _, c := range []struct {
		what              string
		replicas          int
		verified, running float64
	}{
		{"single", 1, 1, 1},
		{"gang", 2, 1, 2},
	} {
		t.Run(c.what, func(t *testing.T) {
			inTest := *b
			inTest.t = t
			inTest.distance(c.what, c.replicas, c.verified, c.running, far)
		})
	}
}

func (b *bench) distance(what string, replicas int, verified, running float64, kubeconfig string) {
	n := max(50, rounds()/2)
	dirs := [2]string{filepath.Join(filepath.Dir(b.ours), what+"-near"), filepath.Join(filepath.Dir(b.ours), what+"-far")}
	var devs [2]*dev
	for i, dir := range dirs {
		b.bundle(dir, python, replicas)
		b.program(filepath.Join(dir, "src"))
		var args []string
		if i == 1 {
			args = []string{"--kubeconfig", kubeconfig}
		}
		devs[i] = b.startDev(dir, args...)
	}
	var toVerified, toRunning [2][]time.Duration
	for round := 1; round <= n; round++ {
		for i, d := range devs {
			start := time.Now()
			b.write(filepath.Join(dirs[i], "src"), "generation.txt", fmt.Sprintf("generation %d\n", round))
			e := d.delivered()
			toVerified[i] = append(toVerified[i], e.Verified.Sub(start))
			toRunning[i] = append(toRunning[i], e.Done.Sub(start))
		}
	}
	for _, m := range []struct {
		what string
		took [2][]time.Duration
		want float64
	}{{"verified", toVerified, verified}, {"running", toRunning, running}} {
		trips := (quantile(m.took[1], 0.1) - quantile(m.took[0], 0.1)).Seconds() / away.Seconds()
		verdict := "met"
		if math.Round(trips) != m.want {
			verdict = "missed"
			if os.Getenv("KUBECTL_AI_BENCH_GATE") != "" {
				b.t.Errorf("save → %s of %d takes %.2f round trips, want %.0f", m.what, replicas, trips, m.want)
			}
		}
		fmt.Printf("%-26s %d ranks  n %3d  near %5.1f, %s ms  far %5.1f, %s ms  %.2f round trips, %.0f wanted: %s\n", "save → "+m.what+" as confirmed", replicas, n,
			ms(quantile(m.took[0], 0.1)), spread(m.took[0]), ms(quantile(m.took[1], 0.1)), spread(m.took[1]), trips, m.want, verdict)
	}
}

// farKubeconfig starts a proxy in front of the API server and returns a
// kubeconfig that leads through it.
func (b *bench) farKubeconfig() string {
	b.t.Helper()
	c, err := clientcmd.LoadFromFile(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	cluster := c.Clusters[c.Contexts["kind-"+sandbox].Cluster]
	server, err := url.Parse(cluster.Server)
	if err != nil {
		b.t.Fatal(err)
	}
	server.Host = delayingProxy(b.t, server.Host, away/2)
	cluster.Server = server.String()
	path := b.config + "-far"
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// delayingProxy forwards TCP connections to an address and returns its own.
func delayingProxy(t *testing.T, to string, delay time.Duration) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			mu.Lock()
			conns[client], conns[server] = true, true
			mu.Unlock()
			open.Go(func() {
				var both sync.WaitGroup
				both.Go(func() { late(server, client, delay) })
				both.Go(func() { late(client, server, delay) })
				both.Wait()
				_ = client.Close()
				_ = server.Close()
				mu.Lock()
				defer mu.Unlock()
				delete(conns, client)
				delete(conns, server)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		open.Wait()
	})
	return listener.Addr().String()
}

// late copies what comes, each piece by delay later than it came. Pieces are
// on their way at the same time, as on a wire: the delay is no bandwidth.
func late(to, from net.Conn, delay time.Duration) {
	type piece struct {
		data []byte
		due  time.Time
	}
	wire := make(chan piece, 1<<14)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(wire)
		for {
			data := make([]byte, 64<<10)
			n, err := from.Read(data)
			if n > 0 {
				wire <- piece{data[:n], time.Now().Add(delay)}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					_ = to.Close()
				}
				wire <- piece{nil, time.Now().Add(delay)}
				return
			}
		}
	})
	for p := range wire {
		time.Sleep(time.Until(p.due))
		if p.data == nil {
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			continue
		}
		if _, err := to.Write(p.data); err != nil {
			_ = from.Close()
			for range wire { // until the reader has seen it
			}
		}
	}
	reader.Wait()
}
