package command

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

func TestWhatIsLeftOutIsSaidOnce(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a.py", "server.pem"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(root, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	out, talk := &bytes.Buffer{}, &bytes.Buffer{}
	f := &Factory{Streams: term.Streams{IOStreams: genericiooptions.IOStreams{Out: out, ErrOut: talk}}}
	s, said := tree.NewScanner(root, treeOptions(project.Code{Path: root})), leftOut{}
	look := func() {
		if _, err := s.Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		said.say(f, s)
	}
	look()
	look()
	if err := os.WriteFile(filepath.Join(root, ".env"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	look()
	want := `s is a socket and was left out
server.pem is held back: it may hold a private key; to send it, put !/server.pem into .kubectl-ai-ignore
.env is held back: it may hold a password or a token; to send it, put !/.env into .kubectl-ai-ignore
`
	if d := cmp.Diff(want, talk.String()); d != "" || out.Len() > 0 {
		t.Errorf("%s%s", d, out)
	}
}
