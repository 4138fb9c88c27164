package command

import (
	"github.com/spf13/cobra"
)

// Completes says whether arguments are a shell's question for completion.
func Completes(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}
