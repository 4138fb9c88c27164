package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// BackOptions are the arguments of `back`.
type BackOptions struct {
	Generation uint64
	Dir        string
	Output     string
	Timeout    time.Duration

	allow allowance
}

// receiptList is what `back -o json` prints.
type receiptList struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Items      []wire.Receipt `json:"items"`
}

// NewCmdBack returns `kubectl ai back`.
func NewCmdBack(f *Factory) *cobra.Command {
	o := &BackOptions{}
	cmd := &cobra.Command{
		Use:   "back GENERATION [DIR]",
		Short: "Return all ranks to the code of an earlier generation",
		Long: `Delivers the tree of an earlier generation to all ranks at once, as a new
generation, and restarts them in it. The contents come from the journal on this
machine, byte for byte as they ran, whatever was saved or written to in the pods
since. kubectl ai generations lists what there is.

The folder on this machine is not changed: the next save delivers the folder's
code again. It may be called while dev runs, which then does it.`,
		Example: `  kubectl ai generations
  kubectl ai back 39`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Generation, err = strconv.ParseUint(args[0], 10, 64); err != nil || o.Generation == 0 {
				return explain.Usagef("%q is no generation: want a number such as 39", args[0])
			}
			o.Dir = dirArg(args[1:])
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addOutput(cmd, &o.Output)
	o.allow.addFlag(cmd)
	cmd.Flags().DurationVar(&o.Timeout, "timeout", time.Minute, "how long all ranks may take")
	return cmd
}

// Run asks the dev that runs, else delivers the generation itself.
func (o *BackOptions) Run(ctx context.Context, f *Factory) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	r, err := render(f, o.Dir, "sandbox")
	if err != nil {
		return err
	}
	socket, err := controlSocket(f, r, sandboxContext(f, r.env))
	if err != nil {
		return err
	}
	answer, err := askDev(ctx, socket, controlRequest{Back: o.Generation, Timeout: o.Timeout})
	switch {
	case errors.Is(err, errNoDev):
		if answer.Receipts, err = o.deliver(ctx, f); err != nil {
			return err
		}
	case err != nil:
		return err
	case answer.Error != "":
		return errors.New(answer.Error)
	}
	return printReceipts(f, o.Output, answer.Receipts)
}

// deliver brings the generation to the ranks that run, all together.
func (o *BackOptions) deliver(ctx context.Context, f *Factory) ([]wire.Receipt, error) {
	t, err := openTarget(ctx, f, o.Dir, project.Sandbox, &o.allow)
	if err != nil {
		return nil, err
	}
	j, err := openJournal(f, t.rendered, t.context)
	if err != nil {
		return nil, err
	}
	v, err := restored(j, o.Generation, session.NewCache(cacheBytes))
	if err != nil {
		return nil, err
	}
	ranks, err := t.ranks(ctx)
	if err != nil {
		return nil, err
	}
	return deliverOnce(ctx, t.dial(), ranks, v)
}

// deliverOnce brings a version to ranks and returns their receipts.
func deliverOnce(ctx context.Context, dial session.Dial, ranks []session.Rank, v *session.Version) ([]wire.Receipt, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	connected := make(chan string, len(ranks))
	delivered := make(chan session.Delivery, len(ranks))
	host, _ := os.Hostname()
	gang := session.NewGang(dial, fmt.Sprintf("pid %d on %s", os.Getpid(), host), session.Events{
		Connected: func(c session.Connection) { connected <- c.Rank.ID },
		Delivered: func(d session.Delivery) { delivered <- d },
		Refused:   func(_ *session.Version, err error) { cancel(err) },
		Lost:      func(r session.Rank, err error) { cancel(&session.RankError{Rank: r, Err: err}) },
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := gang.Run(ctx); err != nil {
			cancel(err)
		}
	}()
	defer func() { cancel(nil); <-done }()
	for _, r := range ranks {
		gang.Add(ctx, r)
	}
	for range ranks {
		select {
		case <-connected:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	gang.Publish(ctx, v)
	var receipts []wire.Receipt
	for len(receipts) < len(ranks) {
		select {
		case d := <-delivered:
			receipts = append(receipts, d.Receipts...)
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d ranks run it: %w", len(receipts), len(ranks), context.Cause(ctx))
		}
	}
	slices.SortFunc(receipts, func(a, b wire.Receipt) int { return a.Rank - b.Rank })
	return receipts, nil
}

func printReceipts(f *Factory, output string, receipts []wire.Receipt) error {
	list := receiptList{APIVersion: outputVersion, Kind: "ReceiptList", Items: receipts}
	names := make([]string, len(receipts))
	for i, r := range receipts {
		names[i] = "rank/" + r.Pod + "/" + r.Container
	}
	return printAs(f.Streams.Out, output, list, names, func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(t, "RANK\tGENERATION\tDIGEST\tPID")
		for _, r := range receipts {
			_, _ = fmt.Fprintf(t, "%s\t%d\t%s\t%d\n", rankName(session.Rank{Name: r.Pod + "/" + r.Container, Index: r.Rank}), r.Generation, r.TreeDigest, r.PID)
		}
		return t.Flush()
	})
}
