package passthrough

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
)

// ErrNoCDI says that containerd would start containers without their GPUs, and
// say nothing of it.
var ErrNoCDI = errors.New("containerd in this node does not do CDI: a node image with containerd 1.7 or newer, please")

var cdiEnabled = regexp.MustCompile(`(?m)^\s*enable_cdi\s*=\s*true`)

// CheckRuntime returns ErrNoCDI if containerd's settings are without CDI.
func CheckRuntime(ctx context.Context) error {
	settings, err := exec.CommandContext(ctx, "containerd", "config", "dump").Output()
	if err != nil {
		return fmt.Errorf("read containerd's settings: %w", err)
	}
	if !cdiEnabled.Match(settings) {
		return ErrNoCDI
	}
	return nil
}
