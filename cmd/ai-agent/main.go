// ai-agent runs in a pod: it receives generations of code and runs the
// container's command in them. `kubectl ai dev` puts it there.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/agent"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/pull"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubectl-ai:", err)
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	if len(args) == 0 {
		return 2, fmt.Errorf("want a command: install, run, connect, ready, pull or attach")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	socket := flags.String("socket", "", "unix socket of the agent")
	switch args[0] {
	case "install":
		if len(args) != 2 {
			return 2, fmt.Errorf("install: want the path to install to")
		}
		return result(install(args[1]))
	case "connect":
		if err := flags.Parse(args[1:]); err != nil {
			return 2, err
		}
		return result(connect(*socket))
	case "ready":
		if err := flags.Parse(args[1:]); err != nil {
			return 2, err
		}
		_, err := os.Stat(agent.ReadyFile(*socket))
		return result(err)
	case "pull":
		if err := flags.Parse(args[1:]); err != nil {
			return 2, err
		}
		mount, err := os.ReadFile(agent.MountFile(*socket))
		if err != nil {
			return 1, fmt.Errorf("find the code: %w", err)
		}
		return result(pull.Serve(string(mount), os.Stdin, os.Stdout))
	case "run":
		mount := flags.String("mount", "", "where the container expects the code")
		stop := flags.String("stop-signal", "TERM", "signal that ends a process")
		grace := flags.Duration("grace", 10*time.Second, "from that signal to SIGKILL")
		preload := flags.String("preload", "", "Python modules to import once, separated by commas")
		freshPort := flags.Bool("fresh-port", false, "give MASTER_PORT another value for each run")
		checkpoint := flags.String("checkpoint", "", "file or folder that a process is asked to write before it is stopped")
		ask := flags.String("checkpoint-signal", "USR1", "signal that asks for it")
		patience := flags.Duration("checkpoint-timeout", time.Minute, "how long it may take")
		if err := flags.Parse(args[1:]); err != nil {
			return 2, err
		}
		if flags.NArg() == 0 || *mount == "" || *socket == "" {
			return 2, fmt.Errorf("run: want --mount, --socket and a command after --")
		}
		sig, err := supervise.Signal(*stop)
		if err != nil {
			return 2, err
		}
		var saves *agent.Checkpoint
		if *checkpoint != "" {
			asks, err := supervise.Signal(*ask)
			if err != nil {
				return 2, err
			}
			saves = &agent.Checkpoint{Path: *checkpoint, Signal: asks, Name: *ask, Timeout: *patience}
		}
		a, err := agent.New(agent.Config{
			Checkpoint: saves,
			Mount:      *mount, Socket: *socket, Argv: flags.Args(), StopSignal: sig, Grace: *grace, Env: os.Environ(),
			Preload:   strings.FieldsFunc(*preload, func(r rune) bool { return r == ',' }),
			FreshPort: *freshPort,
			Log:       log.New(os.Stderr, "kubectl-ai: ", 0),
			Pod:       os.Getenv("KUBECTL_AI_POD"), PodUID: os.Getenv("KUBECTL_AI_POD_UID"), Container: os.Getenv("KUBECTL_AI_CONTAINER"),
		})
		if err != nil {
			return 1, err
		}
		ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer cancel()
		return a.Run(ctx), nil
	}
	if args[0] == "attach" {
		return attach(args[1:])
	}
	return 2, fmt.Errorf("unknown command %q", args[0])
}

func result(err error) (int, error) {
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// install copies this program to where the pod's containers see it.
func install(to string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	in, err := os.Open(self)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(filepath.Dir(to), ".ai-agent")
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := out.Chmod(0o755); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}

// connect joins this process's streams with the agent. It ends when either
// side does: the agent hangs up on a client that is silent.
func connect(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return fmt.Errorf("no agent listens: %w", err)
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.Close()
	}()
	_, err = io.Copy(os.Stdout, conn)
	if err != nil && !isClosed(err) {
		return err
	}
	return nil
}

func isClosed(err error) bool {
	op, ok := err.(*net.OpError) //nolint:errorlint // io.Copy returns it bare
	return ok && op.Err != nil
}
