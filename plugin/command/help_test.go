package command

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// widest is how many columns help takes; a page of 80 has room for most of it.
const widest = 100

// program is the program with all its commands.
func program() *cobra.Command { return NewRoot(term.Streams{}, fstest.MapFS{}, "v0") }

// commands are a command and all below it.
func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, verb := range cmd.Commands() {
		all = append(all, commands(verb)...)
	}
	return all
}

// programs are the command lines of a line of shell, one a program: what pipes
// and && put beside each other, without redirections, comments and variables.
func programs(t *testing.T, line string) (lines [][]string) {
	t.Helper()
	file, err := syntax.NewParser().Parse(strings.NewReader(line), "")
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return nil
	}
	syntax.Walk(file, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok {
			return true
		}
		words, err := expand.Fields(nil, call.Args...)
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		lines = append(lines, words)
		return true
	})
	return lines
}

// ours are the arguments of a command line that calls this program, alone or
// by another one such as sudo.
func ours(words []string) ([]string, bool) {
	for i, word := range words {
		switch {
		case word == "kubectl-ai":
			return words[i+1:], true
		case word == "kubectl" && i+1 < len(words) && words[i+1] == "ai":
			return words[i+2:], true
		}
	}
	return nil, false
}

// Every command has an example, of itself, and each is a command line that the
// program takes.
func TestExamplesAreCommandLines(t *testing.T) {
	for _, cmd := range commands(program()) {
		if cmd.HasSubCommands() || cmd.Name() == "help" || cmd.IsAdditionalHelpTopicCommand() {
			continue
		}
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			shown := false
			for line := range strings.Lines(cmd.Example) {
				if !strings.HasPrefix(line, "  ") {
					t.Errorf("not indented like the others: %q", line)
				}
				for _, words := range programs(t, line) {
					if args, ok := ours(words); ok {
						found := accept(t, args)
						shown = shown || found == cmd.CommandPath()
					}
				}
			}
			if !shown {
				t.Errorf("no example calls it:\n%s", cmd.Example)
			}
		})
	}
}

// accept has the program read arguments as far as it does without doing
// anything, and returns the path of the command that they call.
func accept(t *testing.T, args []string) string {
	t.Helper()
	cmd, rest, err := program().Find(args)
	if err != nil {
		t.Errorf("%q: %v", args, err)
		return ""
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("%q: %v", args, err)
		return ""
	}
	words := cmd.Flags().Args()
	for _, check := range []func() error{
		func() error { return cmd.ValidateArgs(words) }, cmd.ValidateRequiredFlags, cmd.ValidateFlagGroups,
	} {
		if err := check(); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
	// What the program itself lists as values, it takes. Names of what is in a
	// cluster are listed in the one table that flagNames is.
	cmd.SetContext(t.Context())
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		complete, own := cmd.GetFlagCompletionFunc(flag.Name)
		if !own || flagNames[flag.Name] != nil {
			return
		}
		offers, _ := complete(cmd, words, "")
		for value := range strings.SplitSeq(strings.Trim(flag.Value.String(), "[]"), ",") {
			if len(offers) > 0 && !slices.ContainsFunc(offers, func(o string) bool { return strings.HasPrefix(o+"\t", value+"\t") }) {
				t.Errorf("%q: --%s %s is none of %q", args, flag.Name, value, offers)
			}
		}
	})
	return cmd.CommandPath()
}

// Help fits a terminal, and says in one line what a command is for.
func TestHelpFitsATerminal(t *testing.T) {
	for _, cmd := range commands(program()) {
		var help bytes.Buffer
		cmd.SetOut(&help)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(help.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > widest {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
		if first, _ := utf8.DecodeRuneInString(cmd.Short); strings.HasSuffix(cmd.Short, ".") || cmd.Short == "" || first < 'A' || first > 'Z' {
			t.Errorf("%s: %q is no headline", cmd.CommandPath(), cmd.Short)
		}
	}
}
