package python

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

// heavy are modules of the standard library that take their time together.
// KUBECTL_AI_PRELOAD names others, to be found as the environment says.
const heavy = "asyncio,email.message,http.client,xml.dom.minidom,unittest,multiprocessing.pool"

// BenchmarkStart compares a cold start with a forked one, interleaved: from
// the call until the program has its imports; it ends there and then. It prints
// medians.
func BenchmarkStart(b *testing.B) {
	interpreter := python(b)
	if interpreter == "" {
		return
	}
	modules, env := strings.Split(heavy, ","), environment()
	if names := os.Getenv("KUBECTL_AI_PRELOAD"); names != "" {
		modules, env = strings.Split(names, ","), os.Environ()
	}
	dir := tree(b, map[string]string{"train.py": "import " + strings.Join(modules, ", ") + "\nimport os\nos._exit(0)\n"})
	f := newBench(b, dir, []string{interpreter, "train.py"}, env, modules).settled()
	spec := f.spec(interpreter, "train.py")
	c, err := parse(spec)
	if err != nil {
		b.Fatal(err)
	}
	timed := func(start func() *supervise.Process) time.Duration {
		begun := time.Now()
		p := start()
		<-p.Done
		if p.Exit().Code != 0 {
			b.Fatalf("exit = %+v", p.Exit())
		}
		return time.Since(begun)
	}
	var cold, warm []time.Duration
	for b.Loop() {
		cold = append(cold, timed(func() *supervise.Process { return supervise.Start(spec) }))
		s, err := f.warm.take() // it is there when a save comes
		if err != nil {
			b.Fatal(err)
		}
		warm = append(warm, timed(func() *supervise.Process {
			if err := s.begin(c, spec); err != nil {
				b.Fatal(err)
			}
			return s.process
		}))
	}
	median := func(all []time.Duration) float64 {
		slices.Sort(all)
		return all[len(all)/2].Seconds() * 1e3
	}
	b.ReportMetric(median(cold), "cold-ms")
	b.ReportMetric(median(warm), "forked-ms")
	b.ReportMetric(median(cold)/median(warm), "ratio")
	b.ReportMetric(0, "ns/op")
}
