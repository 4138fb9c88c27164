package waves

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var errBroken = errors.New("broken")

// fleet is clusters that write down what they are asked.
type fleet struct {
	mu      sync.Mutex
	calls   []string
	running int
	most    int // at once
}

func (f *fleet) say(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fleet) writes(name string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if c == "execute "+name || c == "restore "+name {
			n++
		}
	}
	return n
}

type cluster struct {
	*fleet
	name                         string
	takes                        time.Duration
	nothing                      bool
	plan, execute, soak, restore error
	untouched                    bool // execute wrote nothing before it failed
	planned                      int
	replan                       error // of the second plan
}

func (c *cluster) Name() string { return c.name }

func (c *cluster) Plan(context.Context) (bool, error) {
	c.say("plan %s", c.name)
	c.planned++
	if c.planned > 1 && c.replan != nil {
		return false, c.replan
	}
	return c.nothing, c.plan
}

func (c *cluster) Execute(ctx context.Context) (bool, error) {
	c.say("execute %s", c.name)
	c.mu.Lock()
	c.running++
	c.most = max(c.most, c.running)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.running--
		c.mu.Unlock()
	}()
	select {
	case <-time.After(c.takes):
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
	return !c.untouched, c.execute
}

func (c *cluster) Soak(_ context.Context, d time.Duration) error {
	c.say("soak %s %v", c.name, d)
	return c.soak
}

func (c *cluster) Restore(context.Context, error) error {
	c.say("restore %s", c.name)
	return c.restore
}

type silent struct{}

func (silent) Start(string)        {}
func (silent) Note(string, ...any) {}
func (silent) End(error)           {}

// run plans and goes through waves of clusters, whose gates are by number.
func run(t *testing.T, rollback bool, gates map[int]error, waves ...[]*cluster) (*fleet, map[string]State, error) {
	t.Helper()
	f := &fleet{}
	r := &Runner{Rollback: rollback, Reporter: silent{}}
	for i, group := range waves {
		w := Wave{Parallelism: 2, Soak: time.Minute, Gate: func(context.Context) error {
			f.say("gate %d", i+1)
			return gates[i+1]
		}}
		for _, c := range group {
			c.fleet = f
			w.Clusters = append(w.Clusters, c)
		}
		r.Waves = append(r.Waves, w)
	}
	err := r.Plan(t.Context())
	if err == nil {
		err = r.Run(t.Context())
	}
	states := map[string]State{}
	for _, o := range r.Outcomes() {
		states[o.Cluster] = o.State
	}
	return f, states, err
}

func TestWavesGoOneAfterTheOther(t *testing.T) {
	f, states, err := run(t, true, nil, []*cluster{{name: "a"}}, []*cluster{{name: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.calls[:2]) // planned at once
	want := []string{"plan a", "plan b", "execute a", "soak a 1m0s", "gate 1", "plan b", "execute b", "soak b 1m0s", "gate 2"}
	if diff := cmp.Diff(want, f.calls); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]State{"a": Deployed, "b": Deployed}, states); diff != "" {
		t.Error(diff)
	}
}

func TestAGateThatRefusesLeavesLaterWavesAlone(t *testing.T) {
	f, states, err := run(t, true, map[int]error{1: errBroken}, []*cluster{{name: "a"}, {name: "b"}}, []*cluster{{name: "c"}})
	var failed *FailedError
	if !errors.As(err, &failed) || failed.Wave != 1 || failed.Cluster != "" || !errors.Is(err, errBroken) {
		t.Errorf("err = %v", err)
	}
	if diff := cmp.Diff(map[string]State{"a": RolledBack, "b": RolledBack, "c": NotBegun}, states); diff != "" {
		t.Error(diff)
	}
	if n := len(f.calls); slices.Index(f.calls, "plan c") > 2 || strings.Count(strings.Join(f.calls, "\n"), " c") != 1 {
		t.Errorf("the second wave was asked something after its plan: %v (%d)", f.calls, n)
	}
}

func TestNothingIsWrittenWhenOneClusterCannotWork(t *testing.T) {
	f, states, err := run(t, true, nil, []*cluster{{name: "a"}}, []*cluster{{name: "b", plan: errBroken}, {name: "c", plan: errBroken}})
	if err == nil || !strings.Contains(err.Error(), "cluster b: broken") || !strings.Contains(err.Error(), "cluster c: broken") {
		t.Errorf("err = %v: both are to be named", err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if f.writes(name) > 0 || states[name] != NotBegun {
			t.Errorf("%s: %d writes, %s", name, f.writes(name), states[name])
		}
	}
}

func TestAFailureInALaterWave(t *testing.T) {
	for _, c := range []struct {
		name     string
		rollback bool
		b        *cluster
		want     map[string]State
	}{
		{"all that was changed goes back", true, &cluster{name: "b", execute: errBroken}, map[string]State{"a": RolledBack, "b": RolledBack, "c": NotBegun, "d": NotBegun}},
		{"all stays where that is wanted", false, &cluster{name: "b", execute: errBroken}, map[string]State{"a": Deployed, "b": Failed, "c": NotBegun, "d": NotBegun}},
		{"what was not written to is not rolled back", true, &cluster{name: "b", execute: errBroken, untouched: true}, map[string]State{"a": RolledBack, "b": NotBegun, "c": NotBegun, "d": NotBegun}},
		{"what cannot work any more", true, &cluster{name: "b", replan: errBroken}, map[string]State{"a": RolledBack, "b": NotBegun, "c": NotBegun, "d": NotBegun}},
		{"what does not stay well", true, &cluster{name: "b", soak: errBroken}, map[string]State{"a": RolledBack, "b": RolledBack, "c": RolledBack, "d": NotBegun}},
		{"what cannot go back is said", true, &cluster{name: "b", execute: errBroken, restore: errors.New("gone")}, map[string]State{"a": RolledBack, "b": Failed, "c": NotBegun, "d": NotBegun}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				other := &cluster{name: "c", takes: time.Second}
				f := []*cluster{{name: "a"}}
				second := []*cluster{c.b}
				if c.b.soak == nil {
					// A wave that does one after the other shows what is not begun.
					second = append(second, &cluster{name: "x", takes: time.Second})
				}
				_, states, err := run(t, c.rollback, nil, f, append(second, other), []*cluster{{name: "d"}})
				if !errors.Is(err, errBroken) {
					t.Errorf("err = %v", err)
				}
				if c.b.restore != nil && !strings.Contains(err.Error(), "cluster b: gone") {
					t.Errorf("err = %v", err)
				}
				delete(states, "x")
				if diff := cmp.Diff(c.want, states); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestNoMoreAtOnceThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var group []*cluster
		for i := range 5 {
			group = append(group, &cluster{name: fmt.Sprint(i), takes: time.Second})
		}
		began := time.Now()
		f, _, err := run(t, true, nil, group)
		if err != nil || f.most != 2 || time.Since(began) != 3*time.Second {
			t.Errorf("err = %v, %d at once, took %v", err, f.most, time.Since(began))
		}
	})
}

func TestARepeatedRunDoesWhatIsMissingAndAsksTheGatesAgain(t *testing.T) {
	f, states, err := run(t, true, nil, []*cluster{{name: "a", nothing: true}}, []*cluster{{name: "b", nothing: true}, {name: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]State{"a": Unchanged, "b": Unchanged, "c": Deployed}, states); diff != "" {
		t.Error(diff)
	}
	if f.writes("a")+f.writes("b") > 0 || f.writes("c") != 1 || !slices.Contains(f.calls, "gate 1") || slices.Contains(f.calls, "soak a 1m0s") {
		t.Errorf("%v", f.calls)
	}
}

func TestAnInterruptedRunRollsNothingBack(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	f := &fleet{}
	stops := errors.New("Ctrl-C")
	a, b := &cluster{fleet: f, name: "a"}, &cluster{fleet: f, name: "b"}
	r := &Runner{Rollback: true, Reporter: silent{}, Waves: []Wave{
		{Clusters: []Cluster{a}, Parallelism: 1, Gate: func(context.Context) error { cancel(stops); return stops }},
		{Clusters: []Cluster{b}, Parallelism: 1},
	}}
	if err := r.Plan(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(ctx); !errors.Is(err, stops) {
		t.Errorf("err = %v", err)
	}
	if f.writes("a") != 1 || f.writes("b") != 0 {
		t.Errorf("%v", f.calls)
	}
}
