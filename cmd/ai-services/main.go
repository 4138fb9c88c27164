// ai-services is what runs in pods as the sandbox's twin of the services that
// a bundle needs: each a subcommand, all in one image without a shell.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// services are the subcommands. Each reads its own flags, runs until ctx ends
// and returns nil then.
var services = map[string]func(ctx context.Context, args []string, logger *log.Logger) error{
	"broker":   runBroker,
	"drift":    runDrift,
	"overlap":  runOverlap,
	"progress": runProgress,
	"retrain":  runRetrain,
	"router":   runRouter,
	"store":    runStore,
}

// errUsage says that the command line was wrong; what was wrong is printed.
var errUsage = errors.New("usage")

func main() {
	names := strings.Join(slices.Sorted(maps.Keys(services)), ", ")
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "ai-services: want a service:", names)
		os.Exit(2)
	}
	run, ok := services[os.Args[1]]
	if !ok {
		fmt.Fprintf(os.Stderr, "ai-services: no service %q: want %s\n", os.Args[1], names)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := log.New(os.Stderr, os.Args[1]+": ", log.LstdFlags|log.LUTC)
	switch err := run(ctx, os.Args[2:], logger); {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		logger.Fatal(err)
	}
}

// parse reads flags that take no further arguments.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage // flag has printed it
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "%s: takes no arguments, got %q\n", flags.Name(), flags.Args())
		return errUsage
	}
	return nil
}

// env is a flag's default: pods configure services by their environment too.
func env(name, otherwise string) string {
	if value, ok := os.LookupEnv(name); ok {
		return value
	}
	return otherwise
}
