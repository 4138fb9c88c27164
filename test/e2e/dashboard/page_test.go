//go:build e2e

// Package dashboard looks at the dashboard's page in Chromium, with a live
// state that the test makes up: no cluster is needed.
package dashboard

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/kubectl-ai/kubectl-ai/plugin/dashboard"
	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
	"github.com/kubectl-ai/kubectl-ai/plugin/drift/exporter"
	"github.com/kubectl-ai/kubectl-ai/plugin/live"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/test/browser"
)

// feed is a dashboard that shows what the test publishes.
type feed struct {
	*dashboard.Server
	stop func()
}

func newFeed(t *testing.T) *feed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := dashboard.Listen(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dashboard.New(l.Addr(), func(id string) (live.Diff, error) {
		if id != "7-a" {
			return live.Diff{}, &live.GenerationError{ID: id}
		}
		return live.Diff{ID: id, Files: []live.FileDiff{
			{Change: live.Change{Path: "train.py", What: "changed"}, Text: "--- \n+++ \n@@ -12,3 +12,3 @@\n def step(batch):\n-    lr = 0.1 * warmup(batch.index, total=len(loader), floor=0.01)  # a line that is longer than a phone is wide\n+    lr = 0.05\n     return lr\n"},
			{Change: live.Change{Path: "data/samples.bin", What: "added"}, Note: "20480 bytes that are no text"},
		}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ctx, l)
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return &feed{s, stop}
}

func (f *feed) show(t *testing.T, s live.State) {
	t.Helper()
	if err := f.Publish(s); err != nil {
		t.Fatal(err)
	}
}

func curve(name, goal string, n int, at func(int) float64) live.Curve {
	c := live.Curve{Name: name, Goal: goal}
	for i := range n {
		c.Steps, c.Values = append(c.Steps, i), append(c.Values, run.Number(at(i)))
	}
	c.Last, c.Best = c.Values[n-1], c.Values[n-1]
	return c
}

func loss(i int) float64 { return 2.3*math.Exp(-float64(i)/18) + 0.06*math.Sin(float64(i)*1.7) + 0.12 }

// full is a state with something of everything, as long as it gets.
func full(points int) live.State {
	now := time.Now().UTC()
	eta, progress := now.Add(95*time.Second), run.Number(62)
	metrics := []live.Curve{curve("loss", "minimize", points, loss), curve("accuracy", "maximize", points, func(i int) float64 { return 1 - loss(i)/2.6 }), curve("tokens_per_second", "", points, func(i int) float64 { return 8000 + 300*math.Sin(float64(i)/3) })}
	rank := func(i int) live.Rank {
		v := metrics[0].Last
		return live.Rank{Index: i, Pod: fmt.Sprintf("train-k7x2mq-%d-x8v2p", i), Container: "main", Node: fmt.Sprintf("kai-dev-worker%d", i/2+1), Phase: "Running", Step: points, Value: &v, Generation: 7, GPUs: 1, Devices: []int{i}}
	}
	ranks := []live.Rank{rank(0), rank(1), rank(2), rank(3)}
	ranks[3].Phase, ranks[3].Trouble, ranks[3].Restarts = "Pending", "container main: ImagePullBackOff: Back-off pulling image registry.example.com/team/with-a-long-name/python:3.11-slim", 2
	board := func(i int) live.GPU {
		g := live.GPU{Index: i, UUID: fmt.Sprintf("GPU-%d", i), Product: "NVIDIA H100 80GB HBM3", Simulated: true, Healthy: true, Utilization: 90 - 9*i, Memory: 80 << 30, MemoryUsed: uint64(61-i) << 30, Temperature: 61, Power: 512}
		if i < 4 {
			g.Holders = []live.Holder{{Namespace: "digits", Pod: ranks[i].Pod, Container: "main", Run: "k7x2mq"}}
		} else {
			g.Utilization, g.MemoryUsed = 0, 0
		}
		return g
	}
	var boards []live.GPU
	for i := range 8 {
		boards = append(boards, board(i))
	}
	psi := 0.31
	return live.State{
		APIVersion: live.APIVersion, Kind: live.Kind, Time: now, Project: "digits", Environment: "sandbox", Context: "kind-ai", Namespace: "digits",
		Runs: []live.Run{
			{ID: "k7x2mq", Stage: "train", Phase: "Running", Code: "9c1f0e5a77aa", Generation: 7, Parameters: map[string]string{"lr": "0.05", "depth": "3"}, Created: now, Started: now.Add(-150 * time.Second), Progress: &progress, ETA: &eta, Step: points, Metric: "loss", Metrics: metrics, Wanted: 4, Ranks: ranks},
			{ID: "q5zt8n", Stage: "tune", Phase: "Queued", Reason: "waits for 4 nvidia.com/gpu (free: 0 nvidia.com/gpu on 2 nodes, 4 short; held by run k7x2mq)", Created: now, Wanted: 4, Ranks: []live.Rank{}},
			{ID: "b2wvcx", Stage: "train", Phase: "Failed", Done: true, Reason: "rank 1 ended with exit 137 (OOMKilled)", Created: now, Started: now.Add(-time.Hour), Finished: now.Add(-55 * time.Minute), Metric: "loss", Metrics: []live.Curve{curve("loss", "minimize", 9, loss)}, Step: 9, Wanted: 2, Ranks: []live.Rank{}},
			{ID: "m4npq7", Stage: "train", Phase: "Complete", Done: true, Created: now, Started: now.Add(-2 * time.Hour), Finished: now.Add(-119 * time.Minute), Metric: "loss", Metrics: []live.Curve{curve("loss", "minimize", 60, loss)}, Step: 60, Code: "77aa01b2c3d4", Wanted: 2, Ranks: []live.Rank{}},
		},
		Nodes: []live.Node{{Name: "kai-dev-worker", Ready: true, Capacity: 8, Allocatable: 8, GPUs: boards}},
		Generations: []live.Generation{
			{ID: "7-a", Number: 7, Digest: "9c1f0e5a77aa", Time: now, Ranks: 4, Proved: 4, Changes: []live.Change{{Path: "data/samples.bin", What: "added"}, {Path: "train.py", What: "changed"}}},
			{ID: "6-9", Number: 6, Digest: "51bb9e02aa10", Time: now.Add(-time.Minute), Ranks: 4, Proved: 3, Changes: []live.Change{}},
			{ID: "5-8", Number: 5, Digest: "0f0f0f0f0f0f", Time: now.Add(-time.Hour), Ranks: 4, Proved: 4, First: true, Changes: []live.Change{}},
		},
		Releases: []live.Releases{{Environment: "production", Context: "gke_team_europe-west4_prod", Current: 12, Items: []release.Record{
			{Revision: 13, Status: release.Failed, Reason: "Deployment/serve: 1 of 3 pods is Ready after 5m0s", TreeDigest: "sha256:9c1f0e5a77aa01b2", Who: "mira", When: now},
			{Revision: 12, Status: release.Deployed, TreeDigest: "sha256:51bb9e02aa1001b2", Who: "continuous-integration@example.com", When: now.Add(-26 * time.Hour)},
			{Revision: 11, Status: release.Deployed, TreeDigest: "sha256:0f0f0f0f0f0f01b2", Who: "mira", When: now.Add(-80 * time.Hour), RollbackTo: 9},
		}}},
		Drift: []live.Drift{{Environment: "production", Status: exporter.Status{Model: "sha256:ab", Targets: 3, WindowSeconds: 600, Report: &drift.Report{
			Samples: 1840, PSIMean: psi, PSIMax: 0.9, KSMax: 0.4, Features: []drift.Feature{{Name: "pixel_07_03", PSI: 0.9, KS: 0.4}, {Name: "pixel_02_04", PSI: 0.42, KS: 0.2}, {Name: "pixel_05_05", PSI: 0.08, KS: 0.1}},
		}}}},
		Unread: []live.Unread{},
	}
}

var widths = []int64{1280, 390}

func TestThePageIsReadableAtEveryWidthAndInBothSchemes(t *testing.T) {
	f := newFeed(t)
	s := full(60)
	s.Nodes[0].GPUs[2].Healthy, s.Nodes[0].GPUs[2].Lost, s.Nodes[0].GPUs[2].Fault, s.Nodes[0].Allocatable = false, true, "XID 79: GPU has fallen off the bus", 7
	s.Nodes[0].GPUs[5].Fault = "throttled: it is hot, and clocks are lowered"
	s.Runs[0].Ranks[2].Faulty = true
	s.Unread = []live.Unread{{Part: "releases of staging", Reason: "the server of context staging does not answer: dial tcp 10.1.2.3:6443: i/o timeout"}}
	f.show(t, s)
	p := browser.Open(t)
	p.See(1280, "light")
	p.Go(f.URL())
	p.Until(`document.querySelectorAll(".run").length === 4`)
	p.Click(`[data-generation="7-a"] summary`)
	p.Click(`[data-run="b2wvcx"]`)
	p.Until(`document.querySelectorAll(".diff .add").length > 0`)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range widths {
			name := fmt.Sprintf("%d-%s", width, scheme)
			p.See(width, scheme)
			p.Shot(name)
			p.Judge(name)
			browser.Value[bool](p, `document.getElementById("help").showModal(), true`)
			p.Judge(name + " with help")
			browser.Value[bool](p, `document.getElementById("help").close(), true`)
		}
	}
	// Nothing at all is a page too.
	f.show(t, live.State{Project: "new", Environment: "sandbox", Context: "kind-ai", Namespace: "new", Runs: []live.Run{}, Nodes: []live.Node{}, Generations: []live.Generation{}, Releases: []live.Releases{}, Drift: []live.Drift{}, Unread: []live.Unread{}})
	p.Until(`document.querySelectorAll(".empty").length === 5`)
	for _, width := range widths {
		p.See(width, "light")
		p.Shot(fmt.Sprintf("%d-empty", width))
		p.Judge(fmt.Sprintf("%d, empty", width))
	}
}

func TestThePageFollowsWhatHappens(t *testing.T) {
	f := newFeed(t)
	s := full(10)
	all := s.Runs
	s.Runs = []live.Run{}
	f.show(t, s)
	p := browser.Open(t)
	for _, width := range widths {
		p.See(width, "light")
		s.Runs = []live.Run{}
		f.show(t, s)
		p.Go(f.URL())
		p.Until(`document.querySelector("#run-list .empty") !== null && document.getElementById("link").textContent === "Live"`)

		s.Runs = all[:1] // a run appears
		f.show(t, s)
		p.Until(`document.querySelector('[data-run="k7x2mq"] .phase').textContent === "Running"`)
		p.Click(`[data-run="k7x2mq"]`)
		p.Until(`document.querySelector(".plot path.curve") !== null`)

		before := browser.Value[string](p, `document.querySelector(".plot path.curve").getAttribute("d")`) // its curve moves
		moved := full(40)
		s.Runs = moved.Runs[:1]
		f.show(t, s)
		p.Until(fmt.Sprintf(`document.querySelector(".plot path.curve").getAttribute("d") !== %q`, before))

		well := browser.Value[string](p, `getComputedStyle(document.querySelector('[data-gpu="2"]')).backgroundColor`) // a GPU fails
		s.Nodes = full(1).Nodes
		s.Nodes[0].GPUs[2].Healthy, s.Nodes[0].GPUs[2].Fault = false, "XID 79: GPU has fallen off the bus"
		f.show(t, s)
		p.Until(`document.querySelector('[data-gpu="2"]').innerText.includes("Failed") && document.querySelector('[data-gpu="2"]').innerText.includes("XID 79")`)
		p.Until(`(() => { const [r, g, b] = getComputedStyle(document.querySelector('[data-gpu="2"]')).backgroundColor.match(/\d+/g).map(Number); return r > g + 10 && r > b + 10; })()`)
		if well == browser.Value[string](p, `getComputedStyle(document.querySelector('[data-gpu="2"]')).backgroundColor`) {
			t.Errorf("a failed GPU has the colour of a healthy one: %s", well)
		}
		s.Nodes = full(1).Nodes
		f.show(t, s)
		p.Until(`!document.querySelector('[data-gpu="2"]').innerText.includes("Failed")`)

		p.Click(`[data-generation="7-a"] summary`) // a diff opens, and stays open
		p.Until(`[...document.querySelectorAll(".diff .add")].some((e) => e.textContent === "+    lr = 0.05")`)
		s.Runs[0].Step++
		f.show(t, s)
		p.Until(`[...document.querySelectorAll("[data-label=Step]")].length > 0 && document.querySelector('[data-generation="7-a"]').open`)
	}
}

func TestThePageIsUsedByKeyboard(t *testing.T) {
	f := newFeed(t)
	f.show(t, full(20))
	p := browser.Open(t)
	p.See(1280, "dark")
	p.Go(f.URL())
	p.Until(`document.querySelectorAll(".run").length === 4`)
	focused := func(id string) { p.Until(fmt.Sprintf(`document.activeElement.dataset.run === %q`, id)) }
	p.Type("j")
	focused("k7x2mq")
	if style := browser.Value[string](p, `getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth`); style != "solid2px" {
		t.Errorf("where the focus is cannot be seen: %s", style)
	}
	p.Type("j")
	focused("q5zt8n")
	f.show(t, full(21)) // a new state does not take the focus away
	p.Until(`document.querySelector("[data-label=Step]").textContent === "21"`)
	focused("q5zt8n")
	p.Type(kb.Enter)
	p.Until(`document.activeElement.getAttribute("aria-expanded") === "true" && document.querySelector("#run-q5zt8n-body .reason").textContent.startsWith("waits for 4")`)
	p.Type(kb.ArrowUp)
	focused("k7x2mq")
	p.Type("/")
	p.Until(`document.activeElement.id === "filter"`)
	p.Type("failed")
	p.Until(`document.querySelectorAll(".run").length === 1 && document.querySelector("[data-run]").dataset.run === "b2wvcx"`)
	p.Type(kb.Escape)
	p.Until(`document.querySelectorAll(".run").length === 4 && document.activeElement.id !== "filter"`)
	p.Type("?")
	p.Until(`document.getElementById("help").open`)
	p.Type(kb.Escape)
	p.Until(`!document.getElementById("help").open`)
}

func TestThePageSaysThatItIsStale(t *testing.T) {
	f := newFeed(t)
	f.show(t, full(20))
	p := browser.Open(t)
	p.See(390, "light")
	p.Go(f.URL())
	p.Until(`document.getElementById("link").textContent === "Live"`)
	f.stop()
	p.Until(`document.getElementById("link").textContent.startsWith("Stale since")`)
	p.Judge("stale")
}

// A page without the cookie of this browser, such as another user's, is not
// answered.
func TestAnotherBrowserIsRefused(t *testing.T) {
	f := newFeed(t)
	f.show(t, full(20))
	p := browser.Open(t)
	p.Go(f.URL())
	p.Until(`document.querySelectorAll(".run").length === 4`)
	if at := browser.Value[string](p, `location.href + document.cookie`); at != browser.Value[string](p, `location.origin + "/"`) {
		t.Errorf("the token stays in the address, or scripts see it: %s", at)
	}
	other := browser.Open(t)
	if status := other.Go(browser.Value[string](p, `location.origin + "/"`)); status != 401 {
		t.Errorf("answered with %d", status)
	}
}
