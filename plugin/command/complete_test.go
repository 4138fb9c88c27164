package command

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// liveFlags are names of flags whose values are there to be listed. A new verb
// that has one of them completes it.
var liveFlags = []string{
	"allow-context", "between", "cluster", "component", "container", "context", "cronjob", "environment", "from", "generation",
	"gpu", "into-context", "mig", "mig-strategy", "allocation", "name", "namespace", "node", "output", "pod", "production-name", "profile", "rank", "release",
	"releases", "replace", "run", "sandbox", "shell", "signal", "stage", "template", "to", "to-release", "until", "variant",
}

// liveWords are words of usage lines that stand for something that can be
// listed.
var liveWords = []string{
	"CONTEXT", "COMPONENT", "DIR", "ENVIRONMENT", "GENERATION", "GPU", "ID", "NAME", "NAMESPACE", "PATH", "POD", "POD[/CONTAINER]",
	"PROFILE", "RANK", "RELEASE", "RUN", "RUN|POD", "SANDBOX", "SHELL", "STAGE", "TEMPLATE",
}

// Every flag and argument whose name belongs to something that is there
// completes.
func TestWhatHasANameCompletes(t *testing.T) {
	root := NewRoot(term.Streams{}, fs.FS(fstest.MapFS{}), "v0")
	seen := map[string]bool{}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			if !slices.Contains(liveFlags, flag.Name) || flag.Value.Type() == "bool" {
				return
			}
			seen[flag.Name] = true
			_, names := cmd.GetFlagCompletionFunc(flag.Name)
			if !names && flag.Annotations[cobra.BashCompSubdirsInDir] == nil {
				t.Errorf("%s --%s completes nothing", cmd.CommandPath(), flag.Name)
			}
		})
		words, _ := argumentWords(cmd)
		for _, word := range words {
			if slices.Contains(liveWords, word) {
				seen[word] = true
				_, file := fileWords[word]
				own := argumentNames[word] == nil && !file
				if own && cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 {
					t.Errorf("%s: %s completes nothing", cmd.CommandPath(), word)
				}
			} else if word == strings.ToUpper(word) && !slices.Contains([]string{"REGISTRY/PATH[:TAG]", "IMAGE"}, word) {
				t.Errorf("%s: nothing is known of %s: add it to argumentNames or fileWords", cmd.CommandPath(), word)
			}
		}
		for _, verb := range cmd.Commands() {
			walk(verb)
		}
	}
	walk(root)
	for _, want := range []string{"context", "namespace", "name", "environment", "to", "rank", "profile", "release", "to-release", "stage", "GENERATION", "ID", "NAME", "RUN|POD", "POD[/CONTAINER]", "SHELL"} {
		if !seen[want] {
			t.Errorf("no verb has %s any more", want)
		}
	}
}

func TestArgumentWords(t *testing.T) {
	t.Parallel()
	for use, want := range map[string]struct {
		words []string
		more  bool
	}{
		"why RUN|POD":                               {[]string{"RUN|POD"}, false},
		"attach POD[/CONTAINER] [DIR]":              {[]string{"POD[/CONTAINER]", "DIR"}, false},
		"compare ID [ID...]":                        {[]string{"ID", "ID"}, true},
		"pull [PATH...]":                            {[]string{"PATH"}, true},
		"diff [DIR] (--to ENVIRONMENT | --between)": {[]string{"DIR"}, false},
		"history [DIR] --to ENVIRONMENT":            {[]string{"DIR"}, false},
		"version":                                   {nil, false},
	} {
		cmd := &cobra.Command{Use: use}
		words, more := argumentWords(cmd)
		if !slices.Equal(words, want.words) || more != want.more {
			t.Errorf("%s: %q, %v", use, words, more)
		}
	}
}

func TestListOfNames(t *testing.T) {
	t.Parallel()
	names := listOf(func(_ context.Context, _ *site) []string { return []string{"sandbox", "staging\tkind-ai"} })
	if got := names(t.Context(), &site{typed: "sandbox,st"}); !slices.Equal(got, []string{"sandbox,staging\tkind-ai"}) {
		t.Errorf("%q", got)
	}
	if got := names(t.Context(), &site{typed: "s"}); len(got) != 2 {
		t.Errorf("%q", got)
	}
}
