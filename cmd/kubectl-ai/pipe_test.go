//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"os/exec"
	"syscall"
	"testing"
)

// A pipe that is closed early ends the program as it ends kubectl, and cat: by
// the signal, without a word.
func TestAPipeThatIsClosedEarly(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"explain"}, {"--help"}, {"completion", "bash"}, {"catalog", "show", "train", "--files"}} {
		cmd := exec.CommandContext(t.Context(), "kubectl-ai", args...)
		var talk bytes.Buffer
		cmd.Stderr = &talk
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		err = cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Errorf("%v: ended well: %v", args, err)
			continue
		}
		if status := exit.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGPIPE || talk.Len() > 0 {
			t.Errorf("%v: %v, and said %q", args, exit, talk.String())
		}
	}
	// head -1 reads a line and goes.
	cmd := exec.CommandContext(t.Context(), "kubectl-ai", "completion", "bash")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReaderSize(out, 16).ReadString('\n'); err != nil || line == "" {
		t.Errorf("%q, %v", line, err)
	}
	_ = out.Close()
	_ = cmd.Wait()
}
