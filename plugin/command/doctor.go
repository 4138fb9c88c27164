package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/doctor"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/registry"
)

// DoctorOptions are the flags of `doctor`.
type DoctorOptions struct {
	Fix      bool
	Pre      bool
	Yes      bool
	Contexts bool
	Output   string

	cmd *cobra.Command
}

// NewCmdDoctor returns `kubectl ai doctor`.
func NewCmdDoctor(f *Factory) *cobra.Command {
	o := &DoctorOptions{}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine, kubectl, the kubeconfig and the bundle, and say what to do",
		Long: `Checks what sandboxes need of this machine: the container engine, control groups,
CPUs, memory, disk, limits of watching files, the NVIDIA driver, the node image, the
registry's port, what is left of sandboxes that were cut short. Then how kubectl finds
this plugin and completes it, kubectl's version, folders to write to, a proxy of the
environment, the contexts of the kubeconfig and whether they answer, the clock and
certificates, what the cluster permits, and whether the bundle in this folder renders.

Each finding is OK, WARN or FAIL, with an ID that kubectl ai explain knows and the
command that helps. With FAIL no sandbox can be made. All contexts are asked where they
are few and none runs a program for credentials, or with --contexts; else the current
one and that of the default sandbox.

Changes nothing, except with --fix: that writes the links of kubectl ai setup, and
offers to delete sandboxes whose making was cut short. --pre is for scripts: it checks
only what sandbox create needs, and prints nothing where all is well.

Exit codes: 0 no FAIL, 2 usage, 3 one at least.`,
		Example: `  kubectl ai doctor
  kubectl ai doctor --fix
  kubectl ai doctor --pre && kubectl ai sandbox create
  kubectl ai doctor -o json | jq '.findings[] | select(.status != "OK")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOneOf("output", o.Output, "", "json", "yaml"); err != nil {
				return err
			}
			if o.Pre && o.Fix {
				return explain.Usagef("--pre and --fix exclude each other: --pre changes nothing")
			}
			if o.Yes && !o.Fix {
				return explain.Usagef("--yes goes with --fix")
			}
			o.cmd = cmd
			return o.Run(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.Fix, "fix", false, "do what is safe: write links, offer to delete what is left of sandboxes that were cut short")
	flags.BoolVar(&o.Pre, "pre", false, "check only what sandbox create needs, and print only what fails")
	flags.BoolVarP(&o.Yes, "yes", "y", false, "with --fix: do not ask")
	flags.BoolVar(&o.Contexts, "contexts", false, "ask the clusters of all contexts, even those that run a program for credentials")
	flags.StringVarP(&o.Output, "output", "o", "", "output format: json or yaml (default: a table)")
	completeWords(cmd, "output", "json", "yaml")
	return cmd
}

// Run examines, mends where it is asked to, and prints.
func (o *DoctorOptions) Run(ctx context.Context, f *Factory) error {
	var findings []doctor.Finding
	if o.Pre {
		findings = append(examineHost(ctx, f), examineKubeconfig(f))
	} else {
		if o.Fix {
			if err := o.mend(ctx, f); err != nil {
				return err
			}
		}
		findings = o.examine(ctx, f)
	}
	unfit := &explain.UnfitError{Failed: doctor.Failed(findings)}
	if !o.Pre || o.Output != "" {
		if err := printFindings(f.Streams, o.Output, findings); err != nil {
			return err
		}
	}
	if unfit.Failed == 0 {
		return nil
	}
	for _, found := range findings {
		if o.Pre && o.Output == "" && found.Status == doctor.Fail {
			unfit.Why = append(unfit.Why, fmt.Sprintf("%s: %s; fix: %s", found.Check, found.Detail, found.Fix))
		}
	}
	return unfit
}

// examine asks everything at once: what takes long is the engine, and
// clusters that do not answer.
func (o *DoctorOptions) examine(ctx context.Context, f *Factory) []doctor.Finding {
	var host, plugin, clusters, bundle []doctor.Finding
	var g errgroup.Group
	g.Go(func() error { host = examineHost(ctx, f); return nil })
	g.Go(func() error {
		seen := o.askClusters(ctx, f)
		plugin = o.examinePlugin(ctx, f, seen.server())
		clusters = seen.findings()
		return nil
	})
	g.Go(func() error { bundle = examineBundle(f); return nil })
	_ = g.Wait()
	return slices.Concat(host, plugin, clusters, bundle)
}

// examineHost finds out what the checks of sandboxes judge. Without an engine,
// what is asked of it is left out.
func examineHost(ctx context.Context, f *Factory) []doctor.Finding {
	s, err := openSandboxes(ctx, f)
	found, driverErr := driver.Find("/")
	if err != nil {
		return []doctor.Finding{doctor.Engine(nil, err), inotify(), doctor.Driver(found, driverErr, false)}
	}
	e := s.Engine
	built, imagesErr := e.Images(ctx, cluster.LocalImages)
	ref, here, imageErr := s.NodeImage(ctx)
	free, spaceErr := doctor.FreeSpace(e.Root)
	findings := []doctor.Finding{
		doctor.Engine(e, nil),
		doctor.Cgroups(e, imagesErr == nil && len(built) > 0),
		doctor.Resources(e.CPUs, e.MemoryBytes),
		doctor.Disk(e.Root, free, spaceErr),
		inotify(),
		doctor.Driver(found, driverErr, e.Rootless),
		doctor.Image(ref, here, imageErr),
		doctor.Port(registry.DefaultPort, s.registries.Check(ctx, registry.Endpoint{Port: registry.DefaultPort})),
	}
	left, err := s.Leftovers(ctx)
	if err != nil {
		return append(findings, doctor.Finding{Check: "leftovers", Status: doctor.Warn, Detail: err.Error()})
	}
	return append(findings, doctor.Leftovers(left)...)
}

// inotify reads the kernel's limits, which are to be seen on Linux alone.
func inotify() doctor.Finding {
	limit := func(name string) int {
		content, err := os.ReadFile("/proc/sys/fs/inotify/" + name)
		if err != nil || runtime.GOOS != "linux" {
			return 0
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(content)))
		if err != nil {
			return 0
		}
		return n
	}
	return doctor.Inotify(limit("max_user_instances"), limit("max_user_watches"))
}

// findingList is what `doctor -o json` prints.
type findingList struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Findings   []findingView `json:"findings"`
}

// findingView is a finding with the ID that explain knows.
type findingView struct {
	ID string `json:"id"`
	doctor.Finding
}

func printFindings(s term.Streams, output string, findings []doctor.Finding) error {
	list := findingList{APIVersion: outputVersion, Kind: "Doctor", Findings: []findingView{}}
	for _, f := range findings {
		f.Detail, f.Fix = s.Called.Say(f.Detail), s.Called.Say(f.Fix)
		list.Findings = append(list.Findings, findingView{explain.FindingID(f.Check), f})
	}
	return printAs(s.Out, output, list, nil, func(w io.Writer) error { return list.table(w, term.Width(s.Out)) })
}

// leastDetail is how narrow the last column may be; a narrower terminal gets
// it below the others.
const leastDetail = 30

// table prints a row a finding, wrapped at a width; 0 is none.
func (l findingList) table(w io.Writer, width int) error {
	checks := 0
	for _, f := range l.Findings {
		checks = max(checks, len(f.Check))
	}
	var errs []error
	for _, f := range l.Findings {
		head := fmt.Sprintf("%-5s %s  %-*s  ", f.Status, f.ID, checks, f.Check)
		indent := len(head)
		if width > 0 && width-indent < leastDetail {
			indent = len("FAIL  ")
			head = strings.TrimRight(head, " ") + "\n" + strings.Repeat(" ", indent)
		}
		lines := []string{wrapped(f.Detail, width, indent)}
		if f.Fix != "" {
			lines = append(lines, wrapped("fix: "+f.Fix, width, indent))
		}
		_, err := fmt.Fprintln(w, head+strings.Join(lines, "\n"+strings.Repeat(" ", indent)))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func wrapped(text string, width, indent int) string {
	if width > 0 {
		text = ansi.Wrap(text, width-indent, "")
	}
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", indent))
}

// environmentNamesOf are the environments of a bundle, in order.
func environmentNamesOf[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// currentContext is the one that a command without --context means to kubectl.
func currentContext(f *Factory) string {
	raw, err := f.Flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return ""
	}
	given := ""
	if f.Flags.Context != nil {
		given = *f.Flags.Context
	}
	return cmp.Or(given, raw.CurrentContext)
}
