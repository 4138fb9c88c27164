package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
	"github.com/kubectl-ai/kubectl-ai/plugin/report"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// ReportOptions are the arguments of `report`.
type ReportOptions struct {
	Run         string
	File        string
	Dir         string
	Environment string
	Tail        int64
	Timeout     time.Duration
	DryRun      bool
	Output      string

	cmd *cobra.Command
	now time.Time
}

// toStdout is the file that stands for stdout.
const toStdout = "-"

// NewCmdReport returns `kubectl ai report`.
func NewCmdReport(f *Factory) *cobra.Command {
	o := &ReportOptions{}
	cmd := &cobra.Command{
		Use:   "report [RUN]",
		Short: "Write one archive for a bug report: what is known here, without secrets",
		Long: `Writes a .tar.gz that can be attached to a bug report: what doctor finds, versions,
the contexts of the kubeconfig without credentials, sandboxes and their GPUs, the bundle
in this folder as it is rendered, with the code as digest and list of files; and of the
namespace the records of runs and what why says of them, pods, jobs, events, quotas,
volume claims, nodes, the ends of containers' logs, what the agents of dev hold, the last
generations, and an outline of releases. With RUN it has the pods and logs of that run.

What cannot be read (no cluster, no permission, no engine) is a line of README.txt in it,
and on stderr. Values of Secrets are read to be looked for, and never written: they are
masked wherever they are, as are passwords in URLs, signatures, headers, private keys,
tokens of known issuers, and what fields and variables hold whose names say that it is
secret. Equal values have equal masks within one report. Where Secrets may not be read,
the logs of containers that are given any are left out. Home folder and user name become
~ and USER. Read it before you hand it on: nobody can know every form of a secret.

Nothing is sent, and nothing is changed. Limits: 1 MiB a file, 256 KiB of the end of a
log, 20 MiB in all.`,
		Example: `  kubectl ai report
  kubectl ai report k7x2mq --file digits.tar.gz
  kubectl ai report --dry-run
  kubectl ai report -f - | tar tz
  kubectl ai report --dry-run -o json | jq -r '.missing[] | .part + ": " + .reason'`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.cmd, o.now = cmd, time.Now().UTC()
			if len(args) == 1 {
				o.Run = strings.TrimPrefix(args[0], "run/")
			}
			if err := o.Validate(); err != nil {
				return err
			}
			return o.write(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.File, "file", "f", "", "file to write, - for stdout (default: kubectl-ai-report-<UTC time>.tar.gz in this folder)")
	_ = cmd.MarkFlagFilename("file", "tar.gz", "tgz")
	flags.StringVar(&o.Dir, "dir", ".", "folder of the bundle, if there is one")
	flags.StringVarP(&o.Environment, "environment", "e", project.Sandbox, "environment of the bundle that is looked at")
	flags.Int64Var(&o.Tail, "tail", 500, "of each log the last lines, so many (0: none)")
	flags.DurationVar(&o.Timeout, "timeout", 20*time.Second, "how long each part may take")
	flags.BoolVar(&o.DryRun, "dry-run", false, "list the files and their sizes, and write none")
	addOutput(cmd, &o.Output)
	flags.Lookup("output").Usage = "print the manifest as json or yaml, or the name of the file"
	return cmd
}

// Validate refuses what cannot be meant.
func (o *ReportOptions) Validate() error {
	switch {
	case o.Tail < 0:
		return explain.Usagef("--tail %d: 0 or more, please", o.Tail)
	case o.Timeout <= 0:
		return explain.Usagef("--timeout %v: more than 0, please", o.Timeout)
	case o.File == toStdout && o.Output != "" && !o.DryRun:
		return explain.Usagef("-f - and -o exclude each other: both want stdout")
	}
	return checkOutput(o.Output)
}

// write collects, masks and writes.
func (o *ReportOptions) write(ctx context.Context, f *Factory) error {
	file := o.File
	if file == "" {
		file = report.FileName(o.now)
	}
	if !o.DryRun && file != toStdout {
		if err := report.Absent(file); err != nil {
			return err
		}
	}
	mask := redact.New()
	if home, err := os.UserHomeDir(); err == nil {
		name := ""
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
		mask.Person(home, name)
	}
	mask.LearnEnvironment(os.Environ())
	progress := term.NewProgress(f.Streams)
	progress.Start("collect what is known")
	found, manifest, err := o.collect(ctx, f, mask)
	progress.End(err)
	if err != nil {
		return err
	}
	switch {
	case o.DryRun:
		// Nothing is written.
	case file == toStdout:
		err = found.Write(f.Streams.Out, manifest)
	default:
		manifest.File = file
		err = report.Save(file, func(w io.Writer) error { return found.Write(w, manifest) })
	}
	if err != nil {
		return err
	}
	for _, m := range manifest.Missing {
		first, _, _ := strings.Cut(m.Reason, "\n")
		f.Streams.Talk("not collected: %s: %s", m.Part, first)
	}
	masked := 0
	for _, n := range manifest.Masked {
		masked += n
	}
	f.Streams.Talk("%s, %s; %s masked", plural(len(manifest.Files), "file"), size(manifest.Files), plural(masked, "value"))
	if o.DryRun {
		return printAs(f.Streams.Out, o.Output, manifest, nil, manifest.Table)
	}
	if file == toStdout {
		return nil
	}
	f.Streams.Talk("read it before you hand it on: tar xzf %s", file)
	return printAs(f.Streams.Out, o.Output, manifest, []string{file}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, file)
		return err
	})
}

// collect reads all that there is and masks it.
func (o *ReportOptions) collect(ctx context.Context, f *Factory, mask *redact.Masker) (*report.Report, report.Manifest, error) {
	b := &reporter{ReportOptions: o, f: silenced(f), mask: mask}
	b.findPlace()
	b.learnKubeconfig()
	parts := b.local()
	err := b.connect(ctx)
	if ctx.Err() != nil {
		return nil, report.Manifest{}, context.Cause(ctx)
	}
	if err == nil {
		if err := b.findRun(ctx); err != nil {
			return nil, report.Manifest{}, err
		}
		parts = append(parts, b.cluster()...)
	} else {
		parts = append(parts, report.Part{Name: "cluster", Read: func(context.Context, *report.Files) error {
			return fmt.Errorf("pods, logs, runs and all else that it knows: context %s: %w", dash(b.context), err)
		}})
	}
	r, err := report.Collect(ctx, parts, o.Timeout)
	if err != nil {
		return nil, report.Manifest{}, err
	}
	r.Redact(mask)
	return r, report.Manifest{
		APIVersion: report.APIVersion, Kind: report.Kind, Created: o.now, Version: f.Version,
		Context: mask.Text(b.context), Namespace: b.namespace, Run: o.Run,
		Files: append([]report.File{}, r.Files...), Missing: append([]report.Missing{}, r.Missing...), Masked: mask.Counts(),
	}, nil
}

// silenced is a factory whose commands say nothing: what they cannot do is an
// error of their part.
func silenced(f *Factory) *Factory {
	quiet := *f
	quiet.Streams.Out, quiet.Streams.ErrOut = io.Discard, io.Discard
	return &quiet
}

func size(files []report.File) string {
	all := 0
	for _, f := range files {
		all += f.Bytes
	}
	return fmt.Sprintf("%.1f KiB", float64(all)/1024)
}
