package command

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/doctor"
)

func TestDoctorWithoutAnEngine(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "config"))
	var out, talk bytes.Buffer
	f := &Factory{
		Streams: term.Streams{IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &talk}},
		Flags:   genericclioptions.NewConfigFlags(true),
	}
	cmd := NewCmdDoctor(f)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetArgs([]string{"-o", "json"})
	err := cmd.ExecuteContext(t.Context())
	if e := explain.Find(err); e.ID != "DOC-001" || e.Exit != explain.ExitPrecondition {
		t.Errorf("%v is %s, exit %d", err, e.ID, e.Exit)
	}
	var list findingList
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if list.Kind != "Doctor" || list.Findings[0].Check != "engine" || list.Findings[0].Status != doctor.Fail || list.Findings[0].Fix == "" || list.Findings[0].ID != "DOC-010" {
		t.Errorf("%+v", list)
	}
}

func TestFindingsAsATable(t *testing.T) {
	t.Parallel()
	list := findingList{Findings: []findingView{
		{"DOC-010", doctor.Finding{Check: "engine", Status: doctor.OK, Detail: "docker"}},
		{"DOC-014", doctor.Finding{Check: "inotify", Status: doctor.Warn, Detail: "128 instances and 8192 watches: enough for a node or two", Fix: "sudo sysctl fs.inotify.max_user_instances=8192"}},
	}}
	for width, want := range map[int]string{
		0: `OK    DOC-010  engine   docker
WARN  DOC-014  inotify  128 instances and 8192 watches: enough for a node or two
                        fix: sudo sysctl fs.inotify.max_user_instances=8192
`,
		60: `OK    DOC-010  engine   docker
WARN  DOC-014  inotify  128 instances and 8192 watches:
                        enough for a node or two
                        fix: sudo sysctl
                        fs.inotify.max_user_instances=8192
`,
		40: `OK    DOC-010  engine
      docker
WARN  DOC-014  inotify
      128 instances and 8192 watches:
      enough for a node or two
      fix: sudo sysctl
      fs.inotify.max_user_instances=8192
`,
	} {
		var out bytes.Buffer
		if err := list.table(&out, width); err != nil || out.String() != want {
			t.Errorf("%d columns: %v\n%s", width, err, cmp.Diff(want, out.String()))
		}
	}
}

// Every check has an ID that explain knows, and no two have the same.
func TestEveryFindingIsExplained(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, check := range []string{
		"engine", "cgroups", "resources", "disk", "inotify", "NVIDIA driver", "node image", "registry port", "leftovers",
		"PATH", "completion", "kubectl", "cache", "kubeconfig", "contexts", "clock", "certificates", "proxy", "bundle", "permissions",
	} {
		id := explain.FindingID(check)
		if _, known := explain.ByID(id); !known || seen[id] != "" {
			t.Errorf("%s has the ID %q, as has %q", check, id, seen[id])
		}
		seen[id] = check
	}
}
