// nvidia-smi shows the simulated GPUs of a container or a sandbox node, in
// the words of NVIDIA's tool of this name.
package main

import (
	"os"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/smi"
)

func main() {
	os.Exit(smi.Run(os.Args[1:], smi.System{
		Now:       time.Now(),
		LookupEnv: os.LookupEnv,
		StateDirs: []string{model.PodDir, model.NodeDir},
	}, os.Stdout))
}
