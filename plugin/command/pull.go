package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/execstream"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/pull"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// PullOptions are the arguments of `pull`.
type PullOptions struct {
	Paths  []string
	Dir    string
	Rank   int
	To     string
	Force  bool
	Output string
}

// pullReport is what `pull -o json` prints.
type pullReport struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Rank       string      `json:"rank"` // pod/container
	To         string      `json:"to"`   // the folder, the full path
	Items      []pull.Item `json:"items"`
}

// NewCmdPull returns `kubectl ai pull`.
func NewCmdPull(f *Factory) *cobra.Command {
	o := &PullOptions{}
	cmd := &cobra.Command{
		Use:   "pull [PATH...]",
		Short: "Bring what a rank's program wrote beside its code to this machine",
		Long: `Copies what programs of a rank wrote below its working directory, such as out/ or
checkpoints, into a folder on this machine: under the paths that the program
used, without the code itself. PATH chooses some of it, in gitignore syntax from
the top of the code; without one everything comes.

A file appears complete or not at all, checked by a digest that the rank took
while it read. Files that are here already, by size and time, do not come again,
so that the same command goes on after a connection that was cut. A file here
that is newer than the rank's is left, and named. Links that lead out of the
folder are left out, and named.

The folder must not be part of the code: what came would be delivered with the
next save. Nothing in the rank is changed; neither a shell nor tar is needed there.`,
		Example: `  kubectl ai pull                          # all of rank 0, into pulled/rank-0
  kubectl ai pull out/ '*.pt' --rank 1
  kubectl ai pull out/ --dir samples/digits --to /tmp/digits -o name`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Paths = args
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addOutput(cmd, &o.Output)
	cmd.Flags().StringVar(&o.Dir, "dir", ".", "the bundle's folder")
	cmd.Flags().IntVar(&o.Rank, "rank", 0, "number of the rank")
	cmd.Flags().StringVar(&o.To, "to", "", "folder to copy into (default: pulled/rank-N)")
	cmd.Flags().BoolVar(&o.Force, "force", false, "copy over newer files, and into a folder that is part of the code")
	_ = cmd.MarkFlagDirname("dir")
	_ = cmd.MarkFlagDirname("to")
	return cmd
}

// Validate checks the command line.
func (o *PullOptions) Validate() error {
	if o.Rank < 0 {
		return explain.Usagef("--rank %d: ranks are numbered from 0", o.Rank)
	}
	if o.To == "" {
		o.To = filepath.Join("pulled", "rank-"+strconv.Itoa(o.Rank))
	}
	return checkOutput(o.Output)
}

// Run brings the files and prints what became of each.
func (o *PullOptions) Run(ctx context.Context, f *Factory) error {
	t, err := openTarget(ctx, f, o.Dir, project.Sandbox, &allowance{reads: true})
	if err != nil {
		return err
	}
	if err := o.outside(ctx, t.project.Code[0]); err != nil {
		return err
	}
	rank, err := o.rank(ctx, t)
	if err != nil {
		return err
	}
	to, err := filepath.Abs(o.To)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o777); err != nil {
		return fmt.Errorf("make the folder to copy into: %w", err)
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return fmt.Errorf("open the folder to copy into: %w", err)
	}
	defer func() { _ = root.Close() }()
	items, err := o.fetch(ctx, f, t, rank, root)
	report := pullReport{APIVersion: outputVersion, Kind: "PullReport", Rank: rank.Name, To: to, Items: append([]pull.Item{}, items...)}
	var names []string
	for _, item := range items {
		if item.State == pull.Pulled || item.State == pull.Same {
			names = append(names, filepath.Join(to, filepath.FromSlash(item.Path)))
		}
	}
	if err == nil && len(items) == 0 {
		f.Streams.Talk("%s has written nothing that was asked for", rankName(rank))
	}
	return errors.Join(err, printAs(f.Streams.Out, o.Output, report, names, report.table))
}

// outside refuses a folder from which dev would send what was pulled.
func (o *PullOptions) outside(ctx context.Context, code project.Code) error {
	rel, inCode := inside(code.Path, o.To)
	if !inCode || o.Force {
		return nil
	}
	if rel != "." {
		found, err := tree.Explain(ctx, code.Path, treeOptions(code), []string{strings.TrimSuffix(rel, "/") + "/"})
		if err != nil {
			return err
		}
		if len(found.Paths) == 1 && !found.Paths[0].Included {
			return nil
		}
	}
	return explain.Usagef("%s is part of the code, %s: what is pulled there would be delivered with the next save\nignore it (echo '/%s/' >> %s), or name another folder with --to",
		o.To, code.Path, strings.TrimSuffix(rel, "/"), filepath.Join(code.Path, tree.IgnoreFile))
}

// rank finds the rank of that number. A lone one needs no number.
func (o *PullOptions) rank(ctx context.Context, t *target) (session.Rank, error) {
	ranks, err := t.ranks(ctx)
	if err != nil {
		return session.Rank{}, err
	}
	var names []string
	for _, r := range ranks {
		if r.Index == o.Rank || (len(ranks) == 1 && r.Index < 0) {
			return r, nil
		}
		names = append(names, rankName(r))
	}
	return session.Rank{}, explain.Usagef("no rank %d runs, but %s", o.Rank, strings.Join(names, ", "))
}

func (o *PullOptions) fetch(ctx context.Context, f *Factory, t *target, rank session.Rank, root *os.Root) ([]pull.Item, error) {
	progress := term.NewProgress(f.Streams)
	progress.Start("Pull from " + rankName(rank))
	stream, err := t.outputs(ctx, rank)
	if err != nil {
		progress.End(err)
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	said := time.Now()
	options := pull.Options{Force: o.Force, Progress: func(done, total int64) {
		if time.Since(said) >= progressEvery {
			said = time.Now()
			progress.Note("%d of %d MiB", done>>20, total>>20)
		}
	}}
	if len(o.Paths) > 0 {
		options.Only = chosen(o.Paths).Match
	}
	items, err := pull.Fetch(stream, root, options)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	progress.End(err)
	return items, err
}

// outputs opens a stream to what a rank's programs wrote.
func (t *target) outputs(ctx context.Context, rank session.Rank) (io.ReadWriteCloser, error) {
	d := &execstream.Dialer{Config: t.config, Client: t.client, Namespace: t.namespace}
	pod, container, _ := strings.Cut(rank.Name, "/")
	return speaking(ctx, func() (io.ReadWriteCloser, error) {
		return d.Dial(ctx, pod, container, inject.AgentPath, "pull", "--socket", inject.SocketPath(container))
	})
}

// speaking dials until an agent answers, which speaks first: that a container
// cannot be reached, a stream tells only when it is read.
func speaking(ctx context.Context, dial func() (io.ReadWriteCloser, error)) (io.ReadWriteCloser, error) {
	var stream struct {
		io.Reader
		io.WriteCloser
	}
	err := session.Retry(ctx, func() error {
		s, err := dial()
		if err != nil {
			return err
		}
		in := bufio.NewReader(s)
		if _, err := in.Peek(1); err != nil {
			_ = s.Close()
			if errors.Is(err, io.EOF) {
				err = &pull.CutError{Err: err}
			}
			return err
		}
		stream.Reader, stream.WriteCloser = in, s
		return nil
	})
	if err != nil {
		return nil, err
	}
	return stream, nil
}

// progressEvery is how often a long copy says how far it is.
const progressEvery = 5 * time.Second

// chosen makes patterns from the top of the code of what a user names.
func chosen(paths []string) tree.Patterns {
	patterns := make([]string, len(paths))
	for i, p := range paths {
		patterns[i] = "/" + strings.TrimPrefix(strings.TrimPrefix(filepath.ToSlash(p), "./"), "/")
	}
	return tree.ParsePatterns(patterns)
}

func (r pullReport) table(w io.Writer) error {
	if len(r.Items) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "PATH\tBYTES\tSTATE")
	for _, i := range r.Items {
		state := i.State
		if i.Reason != "" {
			state += ": " + i.Reason
		}
		_, _ = fmt.Fprintf(t, "%s\t%d\t%s\n", i.Path, i.SizeBytes, state)
	}
	return t.Flush()
}
