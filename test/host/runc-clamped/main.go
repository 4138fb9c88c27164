//go:build linux

// runc-clamped stands in for runc on a machine that may not grant all that
// containers ask for. A confined machine lacks capabilities in its bounding
// set, and runc refuses a container that names one of them, as every
// privileged container does. This program takes out of a request what cannot
// be granted anyway, and becomes runc.
//
// test/host/host.sh installs it, on such machines only.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// runcs are the places of the real runc; Debian and Docker differ.
var runcs = []string{"/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"}

func main() {
	args := os.Args[1:]
	err := prepare(args, here())
	if err == nil {
		err = become(args)
	}
	fmt.Fprintln(os.Stderr, "runc-clamped:", err)
	os.Exit(1)
}

// become replaces this process by runc.
func become(args []string) error {
	for _, path := range runcs {
		if _, err := os.Stat(path); err == nil {
			return syscall.Exec(path, append([]string{"runc"}, args...), os.Environ())
		}
	}
	return fmt.Errorf("%w: runc, at %s", exec.ErrNotFound, strings.Join(runcs, ", "))
}

// prepare rewrites the file that holds the request, if the command has one.
func prepare(args []string, m machine) error {
	command, rest := subcommand(args)
	switch command {
	case "create", "run":
		bundle := flagValue(rest, "bundle", "b")
		return rewrite(filepath.Join(bundle, "config.json"), func(doc map[string]json.RawMessage) error {
			raw, ok := doc["process"]
			if !ok {
				return nil
			}
			clamped, err := clampJSON(raw, m)
			doc["process"] = clamped
			return err
		})
	case "exec":
		file := flagValue(rest, "process", "p")
		if file == "" { // a command line, which asks for nothing of its own
			return nil
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		clamped, err := clampJSON(raw, m)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		return replace(file, clamped)
	}
	return nil
}

// rewrite changes a JSON object in a file and leaves alone what it does not
// know.
func rewrite(file string, change func(map[string]json.RawMessage) error) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	doc := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := change(doc); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if raw, err = json.Marshal(doc); err != nil {
		return err
	}
	return replace(file, raw)
}

// replace writes a file anew, whole or not at all, with its mode.
func replace(file string, content []byte) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".clamped", content, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Rename(file+".clamped", file)
}

func clampJSON(raw json.RawMessage, m machine) (json.RawMessage, error) {
	var p specs.Process
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("read the process: %w", err)
	}
	m.clamp(&p)
	return json.Marshal(p)
}

// valued are runc's own flags that take a value; the others are switches.
var valued = []string{"root", "log", "log-format", "criu", "rootless"}

// subcommand finds runc's command behind its own flags.
func subcommand(args []string) (command string, rest []string) {
	for i := 0; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "-")
		if !isFlag {
			return args[i], args[i+1:]
		}
		if slices.Contains(valued, strings.TrimPrefix(name, "-")) {
			i++
		}
	}
	return "", nil
}

// flagValue returns the value of --long V, --long=V or -short V, "" without.
func flagValue(args []string, long, short string) string {
	for i, a := range args {
		if a == "--" {
			break
		}
		name, value, joined := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if !strings.HasPrefix(a, "-") || name != long && name != short {
			continue
		}
		if joined {
			return value
		}
		if i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}
