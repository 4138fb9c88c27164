package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/doctor"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/registry"
)

// NewCmdDoctor returns `kubectl ai doctor`.
func NewCmdDoctor(f *Factory) *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check whether this machine can have sandboxes, and say what to do where not",
		Long: `Check what sandboxes need of this machine: the container engine, control groups,
CPUs, memory, disk, limits of watching files, the NVIDIA driver, the node image,
the registry's port, and what is left of sandboxes that were cut short. Each
finding is OK, WARN or FAIL, with the command that helps. Changes nothing.

Exit codes: 0 no FAIL, 3 one at least.`,
		Example: `  kubectl ai doctor
  kubectl ai doctor -o json | jq '.findings[] | select(.status != "OK")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOneOf("output", output, "", "json", "yaml"); err != nil {
				return err
			}
			findings := examine(cmd.Context(), f)
			if err := printFindings(f.Streams.Out, output, findings); err != nil {
				return err
			}
			if n := doctor.Failed(findings); n > 0 {
				return &explain.UnfitError{Failed: n}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "output format: json or yaml (default: a table)")
	completeWords(cmd, "output", "json", "yaml")
	return cmd
}

// examine finds out what the checks judge. Without an engine, what is asked of
// it is left out.
func examine(ctx context.Context, f *Factory) []doctor.Finding {
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
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Findings   []doctor.Finding `json:"findings"`
}

func printFindings(w io.Writer, output string, findings []doctor.Finding) error {
	list := findingList{APIVersion: outputVersion, Kind: "Doctor", Findings: findings}
	return printAs(w, output, list, nil, func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		var errs []error
		for _, f := range findings {
			_, err := fmt.Fprintf(t, "%s\t%s\t%s\n", f.Status, f.Check, f.Detail)
			errs = append(errs, err)
			if f.Fix != "" {
				_, err := fmt.Fprintf(t, "\t\tfix: %s\n", f.Fix)
				errs = append(errs, err)
			}
		}
		return errors.Join(append(errs, t.Flush())...)
	})
}
