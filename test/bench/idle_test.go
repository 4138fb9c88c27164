//go:build bench

package bench

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What a connected dev may cost when nothing is saved.
const (
	idleFiles  = 50_000
	idleFor    = 150 * time.Second // so long that two looks at all files are in it
	idleShare  = 0.005             // of a processor
	agentRSS   = 30 << 20          // bytes
	agentGzip  = 3 << 20           // bytes
	settledIn  = 15 * time.Second
	perFolder  = 50
	tickSecond = 100 // USER_HZ of Linux
)

// TestIdle measures dev and its agent while nothing happens in a tree of
// 50,000 files.
func TestIdle(t *testing.T) {
	b := newBench(t)
	b.bundle(b.ours, python, 1)
	src := filepath.Join(b.ours, "src")
	for i := range idleFiles {
		name := fmt.Sprintf("pkg%d/sub%d/m%d.py", i/perFolder%40, i/perFolder/40, i)
		b.write(src, name, fmt.Sprintf("n = %d\n", i))
	}
	b.program(src)
	d := b.startDev(b.ours)
	// The volume is made ready for the next save, and everything is looked at
	// once more.
	time.Sleep(settledIn)

	pod := b.pod("reload")
	began, start, agent := time.Now(), cpu(t, d.pid), b.agentCPU(pod)
	time.Sleep(idleFor)
	took := time.Since(began)
	used := cpu(t, d.pid) - start
	agentUsed := b.agentCPU(pod) - agent
	status := b.inPod(pod, "cat", "/proc/1/status")
	rss, peak := inBytes(t, status, "VmRSS:"), inBytes(t, status, "VmHWM:")
	mine, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.pid))
	if err != nil {
		t.Fatal(err)
	}
	gz := compressed(t, "../../bin/ai-agent")
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%d files, nothing saved for %v; load average %s", idleFiles, took.Round(time.Second), load)
	limit := func(what string, got, most float64, format string) {
		verdict := "met"
		if got > most {
			verdict = "missed"
			if os.Getenv("KUBECTL_AI_BENCH_GATE") != "" {
				t.Errorf("%s: "+format+", at most "+format+" wanted", what, got, most)
			}
		}
		fmt.Printf("%-30s "+format+", at most "+format+" wanted: %s\n", what, got, most, verdict)
	}
	limit("processor time of dev", 100*used.Seconds()/took.Seconds(), 100*idleShare, "%.2f %%")
	limit("memory of the agent (RSS)", float64(rss)/(1<<20), agentRSS>>20, "%.1f MiB")
	limit("the agent, compressed", float64(gz)/(1<<20), agentGzip>>20, "%.2f MiB")
	fmt.Printf("%-30s %.2f %% of a processor, %.1f MiB at its peak\n", "beside that, the agent", 100*agentUsed.Seconds()/took.Seconds(), float64(peak)/(1<<20))
	fmt.Printf("%-30s %.1f MiB, %.1f MiB at its peak\n", "beside that, dev", float64(inBytes(t, string(mine), "VmRSS:"))/(1<<20), float64(inBytes(t, string(mine), "VmHWM:"))/(1<<20))
}

// cpu returns what a process and the children it has waited for have used.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return ticks(t, string(raw))
}

// agentCPU is the same for the agent of a pod.
func (b *bench) agentCPU(pod string) time.Duration {
	b.t.Helper()
	return ticks(b.t, b.inPod(pod, "cat", "/proc/1/stat"))
}

// ticks adds up utime, stime, cutime and cstime of a line of /proc/PID/stat
// (proc(5)); the name before them may hold blanks.
func ticks(t *testing.T, stat string) time.Duration {
	t.Helper()
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		t.Fatalf("stat %q", stat)
	}
	total := 0
	for _, text := range fields[11:15] {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("stat %q: %v", stat, err)
		}
		total += n
	}
	return time.Duration(total) * time.Second / tickSecond
}

func (b *bench) inPod(pod string, command ...string) string {
	b.t.Helper()
	out, err := b.kubectl(append([]string{"exec", "-n", "reload", pod, "--"}, command...)...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%v: %v\n%s", command, err, bytes.TrimSpace(out))
	}
	return string(out)
}

// inBytes reads a field of /proc/PID/status, in bytes.
func inBytes(t *testing.T, status, field string) int64 {
	t.Helper()
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return n << 10
		}
	}
	t.Fatalf("no %s in %s", field, status)
	return 0
}

// compressed returns the size of a file as gzip -9 leaves it, in bytes.
func compressed(t *testing.T, path string) int {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Len()
}
