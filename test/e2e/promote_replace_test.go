//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// replaced is what the record of a release says of earlier runs.
type replaced struct {
	Revision int
	Replaced []struct {
		Object struct{ Name string }
		How    string
	}
}

// An earlier run that has not ended: what becomes of it is asked, shown before
// it is done, recorded, and undone with its release.
func TestPromoteReplacesEarlierRuns(t *testing.T) {
	t.Parallel() // beside others that mostly wait, each in namespaces of its own
	const ns = "replacing"
	program := func(n int) string {
		return fmt.Sprintf("import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nprint(%d, flush=True)\ntime.sleep(3600)\n", n)
	}
	dir, _ := judged(t, ns, program(1))
	promote := func(args ...string) result {
		t.Helper()
		return ai(t, append([]string{"promote", dir, "--to", "production", "--yes", "--unproven"}, args...)...)
	}
	done := func(r result) replaced {
		t.Helper()
		var got replaced
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 0 {
			t.Fatalf("exit %d, %v: %s", r.code, err, r.stderr)
		}
		return got
	}
	jobs := func() []string {
		return strings.Fields(kubectl(t, productionName, "get", "jobs", "-n", ns, "--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[*].metadata.name}"))
	}
	last := func() string { names := jobs(); return names[len(names)-1] }
	running := func() string {
		return strings.TrimSpace(kubectl(t, productionName, "get", "pods", "-n", ns, "--field-selector=status.phase=Running", "-o", `jsonpath={range .items[*]}{.metadata.labels.job-name} {end}`))
	}
	// Room for one run, so that the next one has a place only when the earlier
	// one has given way.
	apply(t, productionName, "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: one, namespace: "+ns+"}\nspec: {hard: {pods: \"1\"}}\n")
	eventually(t, time.Minute, func() error {
		if used := kubectl(t, productionName, "get", "resourcequota", "one", "-n", ns, "-o", "jsonpath={.status.used.pods}"); used != "0" {
			return fmt.Errorf("used are %q", used)
		}
		return nil
	})
	done(promote("-o", "json"))
	first := last()
	save(t, filepath.Join(dir, "src/train.py"), program(2))

	t.Run("unasked the earlier run goes on, and there is no room", func(t *testing.T) {
		if r := promote("--dry-run"); r.code != 3 || !strings.Contains(r.stderr, "1 of 1 is used") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
	})

	t.Run("suspend", func(t *testing.T) {
		if r := promote("--dry-run", "--replace", "suspend"); r.code != 0 || !strings.Contains(r.stdout, "suspend Job/"+first+" in "+ns+" (it still runs") || !strings.Contains(r.stderr, "1 suspended") {
			t.Fatalf("exit %d: %s\n%s", r.code, r.stdout, r.stderr)
		}
		got := done(promote("--replace", "suspend", "-o", "json"))
		if len(got.Replaced) != 1 || got.Replaced[0].Object.Name != first || got.Replaced[0].How != "suspend" {
			t.Errorf("recorded %+v", got)
		}
		if now := running(); now != last() || now == first {
			t.Errorf("%s run", now)
		}
	})
	second := last()

	t.Run("a rollback lets the suspended run go on, as the same Job", func(t *testing.T) {
		uid := kubectl(t, productionName, "get", "job", first, "-n", ns, "-o", "jsonpath={.metadata.uid}")
		r := ai(t, "rollback", dir, "--to", "production", "--to-release", "1", "--yes", "--replace", "kill", "-o", "json")
		got := done(r)
		if len(got.Replaced) != 1 || got.Replaced[0].Object.Name != second || got.Replaced[0].How != "kill" || !strings.Contains(r.stderr, "kill Job/"+second+" in "+ns) {
			t.Errorf("recorded %+v\n%s", got, r.stderr)
		}
		if now := running(); now != first || kubectl(t, productionName, "get", "job", first, "-n", ns, "-o", "jsonpath={.metadata.uid}") != uid {
			t.Errorf("%s run, want %s", now, first)
		}
		if left := jobs(); !slices.Equal(left, []string{first}) {
			t.Errorf("left are %v", left)
		}
		save(t, filepath.Join(dir, "src/train.py"), program(1))
		if r := promote("--replace", "kill"); r.code != 0 || !strings.Contains(r.stderr, "nothing to do") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
	})

	t.Run("with --atomic it goes on when the next one does not come up", func(t *testing.T) {
		for _, how := range []string{"suspend", "kill"} {
			save(t, filepath.Join(dir, "src/train.py"), "raise SystemExit(4) # "+how+"\n")
			if r := promote("--replace", how, "--atomic", "--until", "complete"); r.code != 1 || !strings.Contains(r.stderr, "exit 4") {
				t.Errorf("exit %d: %s", r.code, r.stderr)
			}
			if now := running(); now != first || !slices.Equal(jobs(), []string{first}) {
				t.Errorf("%s: %s run of %v, want %s alone", how, now, jobs(), first)
			}
		}
	})

	t.Run("after-finish writes nothing of the bundle before", func(t *testing.T) {
		save(t, filepath.Join(dir, "src/train.py"), program(3))
		begin := func() (*exec.Cmd, *lockedBuffer, io.Closer) {
			cmd := exec.CommandContext(t.Context(), plugin, "promote", dir, "--to", "production", "--yes", "--unproven", "--replace", "after-finish")
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stderr = write
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = write.Close()
			said := &lockedBuffer{}
			go func() { _, _ = io.Copy(said, read) }()
			eventually(t, time.Minute, func() error {
				if !strings.Contains(said.String(), "Wait until Job/"+first+" has ended") {
					return fmt.Errorf("it says %s", said)
				}
				return nil
			})
			return cmd, said, read
		}
		objects := func() string {
			return kubectl(t, productionName, "get", "jobs,configmaps,services", "-n", ns, "-l", "applyset.kubernetes.io/part-of", "-o", "name")
		}
		before := objects()
		// Ctrl-C ends what reads the output too, as in promote … 2>&1 | head.
		cmd, said, pipe := begin()
		_ = pipe.Close()
		_ = cmd.Process.Signal(os.Interrupt)
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
			t.Errorf("exit %d: %s", cmd.ProcessState.ExitCode(), said)
		}
		if after := objects(); after != before {
			t.Errorf("there are\n%s\nand were\n%s", after, before)
		}
		h := history(t, dir)
		if end := h.Items[len(h.Items)-1]; end.Status != "failed" || h.Current == end.Revision {
			t.Errorf("history = %+v", h)
		}
		cmd, said, pipe = begin()
		defer func() { _ = pipe.Close() }()
		kubectl(t, productionName, "patch", "job", first, "-n", ns, "--type=merge", "-p", `{"spec":{"activeDeadlineSeconds":1}}`)
		if err := cmd.Wait(); err != nil || running() == first || running() != last() {
			t.Errorf("%v, %s runs: %s", err, running(), said)
		}
		if left := jobs(); !slices.Contains(left, first) {
			t.Errorf("the run that ended is gone: %v", left)
		}
	})
}

// An uninstall that may not delete all it would says so before it deletes.
func TestUninstallAsksForItsRightsFirst(t *testing.T) {
	const ns = "uninstall-rights"
	dir, _ := judged(t, ns, "print('done')\n")
	must(t, "promote", dir, "--to", "production", "--yes", "--unproven")
	kubectl(t, productionName, "create", "serviceaccount", "-n", ns, "deployer")
	kubeconfig := inProduction(t, ns, "deployer")
	as := func(args ...string) result {
		return ai(t, append(args, dir, "--to", "production", "--kubeconfig", kubeconfig)...)
	}
	role := ai(t, "rbac", dir, "--to", "production", "--for", "system:serviceaccount:"+ns+":deployer").stdout
	less, n := without(t, role, "jobs", "delete")
	if n == 0 {
		t.Fatalf("no right to delete jobs in\n%s", role)
	}
	apply(t, productionName, less)
	objects := func() string {
		return kubectl(t, productionName, "get", "jobs,services,configmaps", "-n", ns, "-o", "name")
	}
	before := objects()
	eventually(t, 20*time.Second, func() error {
		r := as("uninstall", "--yes")
		if r.code != 4 || !strings.Contains(r.stderr, "not permitted: delete jobs.batch in namespace "+ns) || strings.Count(r.stderr, "not permitted") != 1 {
			return fmt.Errorf("exit %d: %s", r.code, r.stderr)
		}
		return nil
	})
	if after := objects(); after != before {
		t.Errorf("there are\n%s\nand were\n%s", after, before)
	}
	apply(t, productionName, role)
	eventually(t, 20*time.Second, func() error {
		if r := as("uninstall", "--yes"); r.code != 0 {
			return fmt.Errorf("exit %d: %s", r.code, r.stderr)
		}
		return nil
	})
}
