package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	// kubectl starts a plugin by its path, and so do scripts; one that writes
	// bin/kubectl-ai types it. testscript leaves only the name of it.
	called := os.Args[0]
	program := func() {
		if path, err := exec.LookPath(called); err == nil && filepath.Base(called) == called {
			called = path
		}
		os.Args[0] = called
		main()
	}
	// The names that the plugin answers to: links decide what it does.
	programs := map[string]func(){}
	for _, name := range []string{"kubectl-ai", "kubectl_complete-ai", "kubectl-ai_bundle", "kubectl-ai-explain"} {
		programs[name] = program
	}
	testscript.Main(m, programs)
}

// The command line as transcripts, without a cluster.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, Setup: func(e *testscript.Env) error {
		plugin, err := exec.LookPath("kubectl-ai")
		if err != nil {
			return err
		}
		e.Setenv("PLUGIN", plugin)
		e.Setenv("HOME", e.WorkDir)
		e.Setenv("KUBECONFIG", e.WorkDir+"/kubeconfig")
		return nil
	}})
}
