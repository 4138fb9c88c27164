package command

import (
	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
)

// addEvents offers --events json: what happens as JSON lines on stderr, the
// error that ends it among them.
func addEvents(cmd *cobra.Command, f *Factory) {
	var events string
	cmd.Flags().StringVar(&events, "events", "", "json: what happens as JSON lines on stderr, in place of words")
	completeWords(cmd, "events", "json")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOneOf("events", events, "", "json"); err != nil {
			return err
		}
		f.Streams.Events = events == "json"
		err := run(cmd, args)
		if f.Streams.Events {
			return explain.Tell(f.Streams, err)
		}
		return err
	}
}
