package session_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
)

// codeTree writes n files of 10 KB that compress as code does.
func codeTree(b *testing.B, n int) string {
	b.Helper()
	dir := b.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"self", "return ", "import ", "def ", "    ", "loss", " = ", "(x", "):\n", "torch.", "for i in range", "\n"}
	for i := range n {
		var text bytes.Buffer
		for text.Len() < 10<<10 {
			text.WriteString(words[r.IntN(len(words))])
			fmt.Fprint(&text, r.IntN(1000))
		}
		sub := filepath.Join(dir, fmt.Sprintf("pkg%d/sub%d", i%50, i%4))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("m%d.py", i)), text.Bytes(), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// BenchmarkSave is the engine without a cluster: from a scan to the receipt
// of one rank with a tree of 5,000 files.
func BenchmarkSave(b *testing.B) {
	pods := map[string]*pod{"0": startAgent(b, 0, b.TempDir())}
	l := startLaptop(b, codeTree(b, 5000), pods)
	l.save("generation", "0\n")
	l.delivered(1)
	var staged, done time.Duration
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		time.Sleep(100 * time.Millisecond) // between saves the agent makes ready for the next
		b.StartTimer()
		if err := os.WriteFile(filepath.Join(l.dir, "generation"), fmt.Appendf(nil, "%d\n", i+1), 0o644); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		index, err := l.scanner.Rescan(l.ctx, []string{"."})
		if err != nil {
			b.Fatal(err)
		}
		l.gang.Publish(l.ctx, session.NewVersion(l.dir, index, l.cache))
		d := (<-l.outcomes).(session.Delivery)
		staged += d.Staged.Sub(start)
		done += d.Done.Sub(start)
	}
	b.ReportMetric(float64(staged.Microseconds())/1000/float64(b.N), "ms-staged/op")
	b.ReportMetric(float64(done.Microseconds())/1000/float64(b.N), "ms-running/op")
}

// BenchmarkFirst brings 5,000 files to an empty volume.
func BenchmarkFirst(b *testing.B) {
	dir := codeTree(b, 5000)
	for b.Loop() {
		b.StopTimer()
		pods := map[string]*pod{"0": startAgent(b, 0, b.TempDir())}
		b.StartTimer()
		l := startLaptop(b, dir, pods)
		l.save("generation", "0\n")
		l.delivered(1)
	}
}
