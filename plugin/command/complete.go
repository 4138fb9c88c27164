package command

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Completes says whether arguments are a shell's question for completion.
func Completes(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// namer lists what a flag or an argument may be called: "name", or
// "name\tdescription". What cannot be found out is not offered: a shell has no
// place for an error.
type namer func(ctx context.Context, s *site) []string

// flagNames says what flags take, by their names: one name means the same
// wherever it is. A command whose flag means something else registers that
// itself.
var flagNames = map[string]namer{
	"allow-context":   contextNames,
	"cluster":         environmentClusters,
	"context":         contextNames,
	"environment":     environmentNames,
	"from":            environmentNames,
	"between":         listOf(environmentNames),
	"name":            sandboxNames,
	"namespace":       namespaceNames,
	"node":            nodeParts,
	"production-name": sandboxNames,
	"rank":            rankNumbers,
	"release":         releaseNumbers,
	"releases":        listOf(releaseNumbers),
	"run":             runIDs,
	"stage":           bundleStages,
	"to":              environmentNames,
	"to-release":      releaseNumbers,
	"variant":         variantNames,
	"cronjob":         cronJobNames,
}

// argumentNames says what the words of a usage line stand for.
var argumentNames = map[string]namer{
	"ENVIRONMENT":     environmentNames,
	"GENERATION":      generationNumbers,
	"ID":              runsAndMatrices,
	"POD":             podNames,
	"POD[/CONTAINER]": podsAndContainers,
	"RANK":            rankNumbers,
	"RELEASE":         releaseNumbers,
	"RUN":             runIDs,
	"RUN|POD":         runsAndPods,
}

// fileWords are the words of usage lines that stand for files and folders.
var fileWords = map[string]cobra.ShellCompDirective{
	"DIR":  cobra.ShellCompDirectiveFilterDirs,
	"PATH": cobra.ShellCompDirectiveDefault,
	"FILE": cobra.ShellCompDirectiveDefault,
}

// addCompletion completes every flag and argument of the tree whose name is
// known. It is one pass over all verbs, so that a new verb completes when its
// usage line says what it takes.
func addCompletion(f *Factory, cmd *cobra.Command) {
	add := func(flag *pflag.Flag) {
		names := flagNames[flag.Name]
		if _, has := cmd.GetFlagCompletionFunc(flag.Name); has || names == nil {
			return
		}
		// The flag is there, so this cannot fail.
		_ = cmd.RegisterFlagCompletionFunc(flag.Name, func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			return offered(offer(f, cmd, args, typed, names))
		})
	}
	cmd.LocalFlags().VisitAll(add)
	if cmd.ValidArgsFunction == nil && len(cmd.ValidArgs) == 0 && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			word := argumentAt(cmd, len(args))
			if directive, ok := fileWords[word]; ok {
				return nil, directive
			}
			if names := argumentNames[word]; names != nil {
				return offered(offer(f, cmd, args, typed, names))
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
	for _, verb := range cmd.Commands() {
		addCompletion(f, verb)
	}
}

// offer lists names that begin with what was typed and are no arguments yet.
func offer(f *Factory, cmd *cobra.Command, args []string, typed string, names namer) []string {
	s := &site{f: f, cmd: cmd, args: args, typed: typed}
	var out []string
	for _, entry := range names(cmd.Context(), s) {
		name, _, _ := strings.Cut(entry, "\t")
		if strings.HasPrefix(name, typed) && !slices.Contains(args, name) {
			out = append(out, entry)
		}
	}
	return out
}

// offered adds no blank after a name that goes on, such as profile=.
func offered(names []string) ([]string, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp
	if slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, "=") }) {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	return names, directive
}

// argumentWords are the words of a usage line that stand for arguments, without
// brackets and dots: "compare ID [ID...]" has ID twice. more says that the last
// one may be repeated.
func argumentWords(cmd *cobra.Command) (words []string, more bool) {
	for _, word := range strings.Fields(cmd.Use)[1:] {
		if strings.HasPrefix(word, "(") || strings.HasPrefix(word, "-") || strings.HasPrefix(word, "[-") {
			break // flags that have to be given
		}
		if inner, ok := strings.CutPrefix(word, "["); ok {
			word = strings.TrimSuffix(inner, "]")
		}
		word, more = strings.CutSuffix(word, "...")
		words = append(words, word)
	}
	return words, more
}

// argumentAt is what the argument of a number stands for.
func argumentAt(cmd *cobra.Command, n int) string {
	words, more := argumentWords(cmd)
	switch {
	case n < len(words):
		return words[n]
	case more:
		return words[len(words)-1]
	}
	return ""
}

// listOf completes the last of several names with commas between them.
func listOf(names namer) namer {
	return func(ctx context.Context, s *site) []string {
		before := s.typed[:strings.LastIndex(s.typed, ",")+1]
		var out []string
		for _, entry := range names(ctx, s) {
			if name, _, _ := strings.Cut(entry, "\t"); !slices.Contains(strings.Split(before, ","), name) {
				out = append(out, before+entry)
			}
		}
		return out
	}
}
