package gate

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// What a gate's command started ends with it.
func TestACommandThatTakesTooLongIsKilledWithItsChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "child")
	found, err := keeper().Check(t.Context(), []project.Gate{{
		Command: []string{"sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $! > " + file + "; wait"}, Timeout: time.Second,
	}})
	if err == nil || !strings.Contains(found[0].Detail, "longer than") {
		t.Fatalf("%+v, %v", found, err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if !alive(child) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = syscall.Kill(child, syscall.SIGKILL)
	t.Error("what it started lives on")
}

// alive says whether a process runs; one that was killed and that nobody has
// waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
