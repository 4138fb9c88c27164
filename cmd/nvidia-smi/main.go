// nvidia-smi shows the simulated GPUs of a container or a sandbox node, in
// the words of NVIDIA's tool of this name.
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/smi"
)

func main() {
	os.Exit(smi.Run(os.Args[1:], smi.System{
		Now: time.Now,
		Wait: func(d time.Duration) bool {
			time.Sleep(d)
			return true
		},
		LookupEnv:    os.LookupEnv,
		StateDirs:    []string{model.PodDir, model.NodeDir},
		PIDNamespace: pidNamespace(),
		CPUs:         fmt.Sprintf("0-%d", runtime.NumCPU()-1),
		Terminal:     terminal(),
	}, os.Stdout))
}

// pidNamespace returns the inode of this process' PID namespace; 0 where there
// is none.
func pidNamespace() (inode uint64) {
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscanf(link, "pid:[%d]", &inode); err != nil {
		return 0
	}
	return inode
}

func terminal() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
