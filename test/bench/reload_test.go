//go:build bench

package bench

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReload measures what happens after a save.
func TestReload(t *testing.T) {
	b := setUp(t)
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("5,000 files, 50 MB; times are medians / p95; load average %s", load)
	for _, name := range []string{"skaffold", "tilt", "mutagen", "devspace"} {
		if path, err := exec.LookPath(name); err == nil {
			fmt.Printf("%s: at %s, and not driven by this benchmark\n", name, path)
		} else {
			fmt.Printf("%s: absent\n", name)
		}
	}
	d := b.startDev(b.ours)
	peers := b.peers()
	for _, m := range []struct {
		name    string
		measure func(*dev, []*peer)
	}{
		{"edits", b.edits}, {"line", b.oneLine}, {"burst", b.burst}, {"large", b.large}, {"first", b.first}, {"deletion", b.deletion},
	} {
		if only := os.Getenv("KUBECTL_AI_BENCH_ONLY"); only == "" || only == m.name {
			m.measure(d, peers)
		}
	}
	load, _ = os.ReadFile("/proc/loadavg")
	fmt.Printf("load average at the end %s", load)
}

// dev is a `kubectl ai dev` in the background.
type dev struct {
	b      *bench
	said   *lines // what ranks print
	events *lines // --events json
	pid    int
	cmd    *exec.Cmd
}

// delivery is an event of dev's, with the time at which it was read here.
type delivery struct {
	Kind      string    `json:"kind"`
	Files     int       `json:"files"`
	Running   int       `json:"running"`
	Ranks     int       `json:"ranks"`
	Adopted   bool      `json:"adopted"`
	SentBytes int64     `json:"sentBytes"`
	Since     time.Time `json:"since"`
	Verified  time.Time `json:"verified"`
	Done      time.Time `json:"done"`
}

func (b *bench) startDev(dir string, args ...string) *dev {
	b.t.Helper()
	d := &dev{b: b, said: newLines(), events: newLines()}
	cmd := exec.Command(b.plugin, append([]string{"dev", dir, "--events", "json"}, args...)...)
	cmd.Stdout, cmd.Stderr = d.said, d.events
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	d.pid, d.cmd = cmd.Process.Pid, cmd
	b.t.Cleanup(d.stop)
	d.delivered()
	return d
}

// stop ends dev, as Ctrl-C does.
func (d *dev) stop() { _ = d.cmd.Process.Signal(os.Interrupt); _ = d.cmd.Wait() }

// event returns the next event of a kind. Times are this machine's: the
// laptop's own, when it heard from all ranks.
func (d *dev) event(kind string) delivery {
	d.b.t.Helper()
	var e delivery
	d.events.await(d.b.t, "an event "+kind, func(line string) bool {
		return json.Unmarshal([]byte(line), &e) == nil && e.Kind == kind
	})
	return e
}

func (d *dev) delivered() delivery {
	for {
		if e := d.event("Delivery"); e.Running == e.Ranks {
			return e
		}
	}
}

// edits: one file is saved, the process starts again.
func (b *bench) edits(d *dev, peers []*peer) {
	verified, running := report{what: "save → verified", bound: 1.0 / 15, at: 0.5}, report{what: "save → new process", bound: 1.0 / 8, at: 0.5}
	verified.theirs, running.theirs = map[string][]time.Duration{}, map[string][]time.Duration{}
	for i := 1; i <= rounds(); i++ {
		text := fmt.Sprintf("generation %d", i)
		start := time.Now()
		b.write(filepath.Join(b.ours, "src"), "generation.txt", text+"\n")
		verified.ours = append(verified.ours, d.delivered().Verified.Sub(start))
		running.ours = append(running.ours, d.said.await(b.t, text, endsWith(text)).at.Sub(start))
		for _, p := range peers {
			start := time.Now()
			b.write(b.theirs, "generation.txt", text+"\n")
			p.copy("generation.txt")
			verified.theirs[p.name] = append(verified.theirs[p.name], time.Since(start))
			p.signal()
			running.theirs[p.name] = append(running.theirs[p.name], p.said.await(b.t, text, endsWith(text)).at.Sub(start))
		}
	}
	verified.print(b.t)
	running.print(b.t)
}

// oneLine: what an edit of one line in a file of 15 KB takes on the wire.
func (b *bench) oneLine(d *dev, _ []*peer) {
	path := filepath.Join(b.ours, "src", "model.py")
	raw, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	edited := bytes.Replace(raw, []byte("layer200 = block("), []byte("layer200 = wide_block(dropout=0.1, "), 1)
	b.write(filepath.Join(b.ours, "src"), "model.py", string(edited))
	e := d.delivered()
	fmt.Printf("%-30s %-22s %d bytes sent for one line of %d bytes, at most 300 wanted\n", "one-line edit", "kubectl ai", e.SentBytes, len(raw))
	if os.Getenv("KUBECTL_AI_BENCH_GATE") != "" && e.SentBytes > 300 {
		b.t.Errorf("%d bytes for a line", e.SentBytes)
	}
}

// burst: 200 files saved one after the other, as a refactoring does.
func (b *bench) burst(d *dev, peers []*peer) {
	r := report{what: "200 files saved → verified", bound: 1.0 / 3, at: 0.95, theirs: map[string][]time.Duration{}}
	save := func(dir string, round int) {
		for i := range 200 {
			b.write(dir, fmt.Sprintf("burst/f%d.py", i), fmt.Sprintf("round = %d\nfile = %d\n%s", round, i, strings.Repeat("# a line of code\n", 100)))
		}
	}
	save(filepath.Join(b.ours, "src"), -1)
	for files := 0; files < 200; {
		files += d.delivered().Files
	}
	save(b.theirs, -1)
	for _, p := range peers {
		p.copy("burst")
	}
	deliveries := 0
	for round := range max(5, rounds()/10) {
		start := time.Now()
		save(filepath.Join(b.ours, "src"), round)
		files := 0
		var e delivery
		for files < 200 {
			e = d.delivered()
			files += e.Files
			deliveries++
		}
		r.ours = append(r.ours, e.Verified.Sub(start))
		for _, p := range peers {
			start := time.Now()
			save(b.theirs, 1000*round+len(p.name))
			p.copy("burst")
			r.theirs[p.name] = append(r.theirs[p.name], time.Since(start))
		}
	}
	r.remarks = fmt.Sprintf("%.1f generations a burst", float64(deliveries)/float64(len(r.ours)))
	r.print(b.t)
}

// large: one byte of a file of 20 MB, with a reader beside.
func (b *bench) large(d *dev, peers []*peer) {
	r := report{what: "20 MB, one byte → verified", bound: 1, at: 0.5, theirs: map[string][]time.Duration{}}
	raw := make([]byte, 20<<20)
	_, _ = rand.Read(raw)
	save := func(dir string, round int) {
		raw[9<<20] = byte(round)
		b.write(dir, "big.bin", string(raw))
	}
	save(filepath.Join(b.ours, "src"), 0)
	d.delivered()
	save(b.theirs, 0)
	for _, p := range peers {
		p.copy("big.bin")
	}
	mine := b.reader("reload", b.pod("reload"), "/app/big.bin")
	readers := map[string]*reader{}
	for _, p := range peers {
		readers[p.name] = b.reader("peer", p.pod, "/code/big.bin")
	}
	sent := int64(0)
	for round := 1; round <= max(5, rounds()/10); round++ {
		start := time.Now()
		save(filepath.Join(b.ours, "src"), round)
		e := d.delivered()
		r.ours = append(r.ours, e.Verified.Sub(start))
		sent = max(sent, e.SentBytes)
		for _, p := range peers {
			start := time.Now()
			save(b.theirs, round)
			p.copy("big.bin")
			r.theirs[p.name] = append(r.theirs[p.name], time.Since(start))
		}
	}
	torn := mine.torn(b.t)
	r.remarks = fmt.Sprintf("%d bytes sent at most (64 KB allowed), %s", sent, torn)
	r.print(b.t)
	for name, reader := range readers {
		fmt.Printf("%-30s %-22s %s\n", "", name, reader.torn(b.t))
	}
	for _, dir := range []string{filepath.Join(b.ours, "src"), b.theirs} {
		_ = os.Remove(filepath.Join(dir, "big.bin"))
	}
	d.delivered()
	if os.Getenv("KUBECTL_AI_BENCH_GATE") != "" && (sent > 64<<10 || !strings.HasPrefix(torn, "0 torn")) {
		b.t.Errorf("%d bytes sent, %s", sent, torn)
	}
}

// first: everything, to a pod that has nothing. Ours is counted from the dial
// to a pod that has just been made, and the scan of the folder is added.
func (b *bench) first(d *dev, peers []*peer) {
	r := report{what: "first sync of all files", bound: 0.5, at: 0.5, theirs: map[string][]time.Duration{}}
	for range 3 {
		start := time.Now()
		if out, err := exec.Command(b.plugin, "digest", b.ours).CombinedOutput(); err != nil {
			b.t.Fatalf("digest: %v\n%s", err, out)
		}
		scan := time.Since(start)
		if out, err := b.kubectl("delete", "pod", "-n", "reload", b.pod("reload"), "--wait=false").CombinedOutput(); err != nil {
			b.t.Fatalf("%v: %s", err, out)
		}
		connected := d.event("Connected")
		r.ours = append(r.ours, scan+d.delivered().Verified.Sub(connected.Since))
		for _, p := range peers {
			p.exec("rm -rf /code/* && echo generation -1 >/code/generation.txt")
			start := time.Now()
			p.copy(".")
			r.theirs[p.name] = append(r.theirs[p.name], time.Since(start))
		}
	}
	r.print(b.t)
}

// deletion: how long after it is Running a pod that takes a deleted one's
// place runs the code. Peers leave it with what is in its image, or with
// nothing, so that there is no ratio.
func (b *bench) deletion(d *dev, _ []*peer) {
	phases := newLines()
	watch := b.kubectl("get", "pods", "-n", "reload", "--watch", "--no-headers", "-o", "custom-columns=NAME:.metadata.name,PHASE:.status.phase")
	watch.Stdout = phases
	if err := watch.Start(); err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = watch.Process.Kill(); _ = watch.Wait() }()
	var took []time.Duration
	for i := range max(5, rounds()/10) {
		text := fmt.Sprintf("deletion %d", i)
		b.write(filepath.Join(b.ours, "src"), "generation.txt", text+"\n")
		d.said.await(b.t, text, endsWith(text))
		old := b.pod("reload")
		if out, err := b.kubectl("delete", "pod", "-n", "reload", old, "--wait=false").CombinedOutput(); err != nil {
			b.t.Fatalf("%v: %s", err, out)
		}
		running := phases.await(b.t, "another pod that is Running", func(line string) bool {
			name, phase, _ := strings.Cut(line, " ")
			return name != old && strings.TrimSpace(phase) == "Running"
		})
		took = append(took, max(0, d.said.await(b.t, text, endsWith(text)).at.Sub(running.at)))
	}
	fmt.Printf("%-30s %-22s n %3d  %16s ms  2,000 wanted in the median\n", "pod deleted: Running → code", "kubectl ai", len(took), spread(took))
	if os.Getenv("KUBECTL_AI_BENCH_GATE") != "" && quantile(took, 0.5) > 2*time.Second {
		b.t.Errorf("%v from Running to the code", quantile(took, 0.5))
	}
}

// pod returns the name of the newest pod in a namespace.
func (b *bench) pod(namespace string) string {
	out, err := b.kubectl("get", "pods", "-n", namespace, "--sort-by=.metadata.creationTimestamp", "-o", "name").Output()
	names := strings.Fields(string(out))
	if err != nil || len(names) == 0 {
		b.t.Fatalf("no pod in %s: %v", namespace, err)
	}
	return strings.TrimPrefix(names[len(names)-1], "pod/")
}
