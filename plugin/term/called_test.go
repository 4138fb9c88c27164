package term

import (
	"bytes"
	"slices"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func TestCalledAs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		argv0, underscore string
		words, file       string
		args              []string
	}{
		"kubectl starts it by its path":            {"/home/me/.krew/bin/kubectl-ai", "/usr/bin/kubectl", "kubectl ai", "kubectl-ai", nil},
		"a shell that sets no variable":            {"/home/me/.krew/bin/kubectl-ai", "", "kubectl ai", "kubectl-ai", nil},
		"typed by name":                            {"kubectl-ai", "/home/me/.krew/bin/kubectl-ai", "kubectl-ai", "kubectl-ai", nil},
		"typed by a path":                          {"/opt/kubectl-ai", "/opt/kubectl-ai", "kubectl-ai", "kubectl-ai", nil},
		"typed by a short path":                    {"bin/kubectl-ai", "bin/kubectl-ai", "kubectl-ai", "kubectl-ai", nil},
		"under krew's other name":                  {"/home/me/.krew/bin/kubectl-ai_bundle", "", "kubectl ai-bundle", "kubectl-ai_bundle", nil},
		"the other name, typed":                    {"kubectl-ai_bundle", "", "kubectl-ai_bundle", "kubectl-ai_bundle", nil},
		"on Windows":                               {"/c/krew/kubectl-ai.EXE", "", "kubectl ai", "kubectl-ai", nil},
		"a name that is no plugin's":               {"/opt/kai", "", "kai", "kai", nil},
		"a verb's link":                            {"/usr/bin/kubectl-ai-run", "", "kubectl ai", "kubectl-ai", []string{"run"}},
		"a verb's link, typed":                     {"kubectl-ai-why_ignored", "", "kubectl ai", "kubectl-ai", []string{"why-ignored"}},
		"completion":                               {"/usr/bin/kubectl_complete-ai", "", "kubectl ai", "kubectl-ai", []string{"__complete"}},
		"completion of a verb":                     {"/usr/bin/kubectl_complete-ai-runs", "", "kubectl ai", "kubectl-ai", []string{"__complete", "runs"}},
		"completion of a verb under another name":  {"/usr/bin/kubectl_complete-ai_bundle-runs", "", "kubectl ai-bundle", "kubectl-ai_bundle", []string{"__complete", "runs"}},
		"completion of nothing is a file's name":   {"/usr/bin/kubectl_complete-", "", "kubectl_complete-", "kubectl_complete-", nil},
		"a plugin without a name is a file's name": {"/usr/bin/kubectl-", "", "kubectl-", "kubectl-", nil},
	} {
		got := CalledAs(c.argv0, c.underscore)
		if got.Words != c.words || got.File != c.file || !slices.Equal(got.Args, c.args) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What people read names the program as they called it; what programs read,
// such as the lines of --events, does so where it is a command to type.
func TestTheNameThatIsPrinted(t *testing.T) {
	t.Parallel()
	var talk bytes.Buffer
	s := Streams{IOStreams: genericiooptions.IOStreams{ErrOut: &talk}, Called: Called{Words: "kubectl ai-bundle"}}
	s.Talk("next: kubectl ai %s", "sandbox create")
	if n, err := s.Voice().Write([]byte("next: kubectl ai doctor\n")); err != nil || n != 24 {
		t.Errorf("%d, %v", n, err)
	}
	const want = "next: kubectl ai-bundle sandbox create\nnext: kubectl ai-bundle doctor\n"
	if talk.String() != want {
		t.Errorf("%q", talk.String())
	}
	if got := (Called{}).Say("kubectl ai dev"); got != "kubectl ai dev" {
		t.Errorf("%q", got)
	}
}
