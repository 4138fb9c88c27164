package command

import (
	"context"
	"io/fs"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/install"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// hostDriver returns the version of this machine's NVIDIA driver, "" for none.
func hostDriver() string {
	content, err := os.ReadFile("/proc/driver/nvidia/version")
	if err != nil {
		return ""
	}
	return driverVersion(string(content))
}

var driverNumber = regexp.MustCompile(`Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)`)

// driverVersion reads the driver's own description of itself.
func driverVersion(description string) string {
	if m := driverNumber.FindStringSubmatch(description); m != nil {
		return m[1]
	}
	return "of an unknown version"
}

// completeProfiles completes --profile.
func completeProfiles(cmd *cobra.Command) { completeWords(cmd, "profile", model.ProfileNames()...) }

// checkGPUs checks --profile, which it spells as the model does, and
// --gpus-per-node. It returns *model.UnknownProfileError and
// *model.CountError.
func checkGPUs(profile *string, perNode int) []error {
	var errs []error
	if p, err := model.LookupProfile(*profile); err != nil {
		errs = append(errs, err)
	} else {
		*profile = p.Name
	}
	if err := model.CheckCount(perNode); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// provisionGPUs is the step of Create that gives nodes their GPUs.
func provisionGPUs(programs fs.FS) func(context.Context, cluster.Cluster, []cluster.Node, cluster.Reporter) error {
	return func(ctx context.Context, c cluster.Cluster, nodes []cluster.Node, r cluster.Reporter) error {
		control, ok := cluster.Primary(nodes)
		if !ok {
			return &cluster.StoppedError{Name: c.Name}
		}
		targets := make([]install.Node, len(nodes))
		for i, n := range nodes {
			targets[i] = n
		}
		return install.Install(ctx, targets, programs, install.Options{
			Cluster: c.Name,
			Profile: c.Mark.GPUs.Profile,
			PerNode: c.Mark.GPUs.PerNode,
			Kubectl: control.Kubectl,
		}, r)
	}
}
