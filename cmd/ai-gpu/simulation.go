//go:build !hardware

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/agent"
)

// errSimulates is asking this build for GPUs that it cannot see: NVML is a
// library of the driver, which a static program does not open.
var errSimulates = errors.New("this build of ai-gpu simulates GPUs; real ones need the build with the tag hardware")

func hardware(context.Context, *agent.Agent) error { return errSimulates }

func claim(*agent.Agent) error { return errSimulates }

func hook(_ context.Context, _ []string, stderr io.Writer) int {
	_, _ = fmt.Fprintln(stderr, errSimulates)
	return 1
}
