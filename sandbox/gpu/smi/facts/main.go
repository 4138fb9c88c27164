// facts writes the form of a real nvidia-smi's output, without the values, as
// the tests of package smi keep it in testdata/facts:
//
//	go run ./sandbox/gpu/smi/facts <capture >sandbox/gpu/smi/testdata/facts/h100-590.48.01.txt
//
// A capture is a document of `nvidia-smi -q -x`, or the output of several
// commands in sections, as nvidia_gpu_exporter's internal/captures/collect.sh
// writes it.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/smi/form"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "facts:", err)
		os.Exit(1)
	}
}

func run() error {
	capture, err := io.ReadAll(os.Stdin)
	if err != nil {
		return fmt.Errorf("read the capture: %w", err)
	}
	facts, err := form.Of(string(capture))
	if err != nil {
		return err
	}
	return facts.Write(os.Stdout)
}
