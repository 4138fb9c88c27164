package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/dashboard"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// DashboardOptions are the arguments of `dashboard`.
type DashboardOptions struct {
	Dir         string
	Environment string
	Port        int
	Open        bool
	Output      string

	allow allowance
}

// dashboardAddress is what `dashboard -o json` prints.
type dashboardAddress struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	URL        string `json:"url"` // with the token
}

// NewCmdDashboard returns `kubectl ai dashboard`.
func NewCmdDashboard(f *Factory) *cobra.Command {
	o := &DashboardOptions{allow: allowance{reads: true}}
	cmd := &cobra.Command{
		Use:   "dashboard [DIR]",
		Short: "Show runs, GPUs, generations, releases and drift on a page in the browser",
		Long: `Serves a page that follows a bundle's environment: runs with their curves and ranks,
a map of the GPUs with their faults, the generations of code with what changed, and
of the other environments the releases and the drift. Prints its address, and
serves until Ctrl-C.

The page is part of this program and fetches nothing from elsewhere. Only this machine
reaches it (127.0.0.1), and only with the token that the address has. It changes
nothing: a run that waits is let go by whoever waits for it, such as run --wait.`,
		Example: `  kubectl ai dashboard samples/digits
  kubectl ai dashboard --open
  kubectl ai dashboard --port 3100 -o json`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.Environment, "environment", "e", project.Sandbox, "environment of the bundle whose runs are shown")
	flags.IntVar(&o.Port, "port", 0, "port on 127.0.0.1 (0: one that is free)")
	flags.BoolVar(&o.Open, "open", false, "open the page in the browser")
	addOutput(cmd, &o.Output)
	return cmd
}

// Validate checks the arguments.
func (o *DashboardOptions) Validate() error {
	if o.Port < 0 || o.Port > 65535 {
		return explain.Usagef("--port %d: want a port from 1 to 65535, or 0", o.Port)
	}
	return checkOutput(o.Output)
}

// Run serves until ctx ends.
func (o *DashboardOptions) Run(ctx context.Context, f *Factory) error {
	t, err := openTarget(ctx, f, o.Dir, o.Environment, &o.allow)
	if err != nil {
		return err
	}
	watcher, err := t.watcher(ctx, f, true)
	if err != nil {
		return err
	}
	listener, err := dashboard.Listen(ctx, o.Port)
	if err != nil {
		return err
	}
	server, err := dashboard.New(listener.Addr(), watcher.Diff)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx, listener) })
	group.Go(func() error { return watcher.Run(ctx, server.Publish) })
	group.Go(func() error {
		address := dashboardAddress{APIVersion: outputVersion, Kind: "Dashboard", URL: server.URL()}
		err := printAs(f.Streams.Out, o.Output, address, []string{"dashboard/" + t.project.Name}, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, address.URL)
			return err
		})
		if err != nil {
			return err
		}
		f.Streams.Talk("the dashboard of %s is at this address until Ctrl-C; the token in it is its key", t.project.Name)
		if o.Open {
			if err := browse(ctx, server.URL()); err != nil {
				f.Streams.Talk("no browser could be opened: %v", err)
			}
		}
		return nil
	})
	return group.Wait()
}

// browse opens an address as a click on it would.
func browse(ctx context.Context, url string) error {
	opener := []string{"xdg-open"}
	switch runtime.GOOS {
	case "darwin":
		opener = []string{"open"}
	case "windows":
		opener = []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), opener[0], append(opener[1:], url)...)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // some openers stay as long as the browser does
	return nil
}
