package command

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/doctor"
)

func TestDoctorWithoutAnEngine(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
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
	if list.Kind != "Doctor" || list.Findings[0].Check != "engine" || list.Findings[0].Status != doctor.Fail || list.Findings[0].Fix == "" {
		t.Errorf("%+v", list)
	}
}

func TestFindingsAsATable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := printFindings(&out, "", []doctor.Finding{
		{Check: "engine", Status: doctor.OK, Detail: "docker"},
		{Check: "inotify", Status: doctor.Warn, Detail: "128 instances", Fix: "sudo sysctl"},
	})
	const want = "OK     engine    docker\nWARN   inotify   128 instances\n                 fix: sudo sysctl\n"
	if err != nil || out.String() != want {
		t.Errorf("%v\n%q, want\n%q", err, out.String(), want)
	}
}
