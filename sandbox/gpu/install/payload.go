package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nvmllib"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// file is a program: its name in the payload, its path in the node.
type file struct{ name, path string }

// programs are what a node with these GPUs gets. Real GPUs come with their
// driver's nvidia-smi and NVML.
func programs(g spec.GPUs) []file {
	if g.Real() {
		return []file{{"ai-gpu-real", model.AgentPath}}
	}
	return []file{{"ai-gpu", model.AgentPath}, {"nvidia-smi", model.SMIPath}, {nvmllib.Name, model.NVMLPath}}
}

// Check says before anything is made whether the payload has the programs that
// these nodes need, for an architecture as Go names it. It returns
// *NoPayloadError.
func Check(payload fs.FS, arch string, nodes []spec.GPUs) error {
	for _, g := range nodes {
		if g.None() {
			continue
		}
		for _, p := range programs(g) {
			if _, err := program(payload, arch, p.name); err != nil {
				return err
			}
		}
	}
	return nil
}

func program(payload fs.FS, arch, name string) ([]byte, error) {
	content, err := fs.ReadFile(payload, "linux-"+arch+"/"+name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NoPayloadError{Program: name, Arch: arch}
	}
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return content, nil
}

// architecture asks the node, which need not be of this machine's kind.
func architecture(ctx context.Context, n Node) (string, error) {
	out, err := n.Run(ctx, nil, "uname", "-m")
	if err != nil {
		return "", fmt.Errorf("ask %s for its architecture: %w", n, err)
	}
	machine := strings.TrimSpace(string(out))
	switch machine {
	case "x86_64":
		return "amd64", nil
	case "aarch64":
		return "arm64", nil
	}
	return "", &NoPayloadError{Program: "ai-gpu", Arch: machine}
}

const (
	unitName = "kubectl-ai-gpu.service"
	unitPath = "/etc/systemd/system/" + unitName
)

// unit is the service. At boot it starts before the kubelet: pods that hold
// GPUs are admitted again as soon as the kubelet is there, and fail for good
// if the plugin is not. For the same reason it goes before others when the
// machine is busy.
const unit = `[Unit]
Description=GPUs of a kubectl-ai sandbox
Before=kubelet.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=` + model.AgentPath + ` serve
Restart=always
RestartSec=200ms
CPUWeight=1000

[Install]
WantedBy=multi-user.target
`
