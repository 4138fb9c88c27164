package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// keyHelp is what ? says.
const keyHelp = `r  restart all ranks on the code they run
p  pause: save without delivering; p again delivers the newest save
v  verify: every rank hashes its files
b  back to the code before; b again goes further back
q  detach, as Ctrl-C does; the workload runs on`

// errQuit ends the loop on q.
var errQuit = errors.New("quit")

// askWithin is how long the ranks may take over what a key asks.
const askWithin = time.Minute

// keys does what is asked by single keys, until ctx ends.
func (l *loop) keys(ctx context.Context) error {
	if l.line == nil {
		return nil
	}
	var asked sync.WaitGroup
	defer asked.Wait()
	turn := make(chan string, 1) // what is under way: one at a time
	begin := func(name string, do func(context.Context) error) {
		select {
		case turn <- name:
		default:
			busy := <-turn
			turn <- busy
			l.f.Streams.Talk("%s is not finished yet", busy)
			return
		}
		asked.Go(func() {
			defer func() { <-turn }()
			ctx, cancel := context.WithTimeoutCause(ctx, askWithin, fmt.Errorf("the ranks have not answered within %v", askWithin))
			defer cancel()
			if err := do(ctx); err != nil && !errors.Is(context.Cause(ctx), errQuit) {
				l.f.Streams.Talk("%s: %v", name, err)
			}
		})
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case key := <-l.line.Keys():
			switch key {
			case 'r':
				begin("restart", l.restart)
			case 'v':
				begin("verify", l.verify)
			case 'b':
				begin("back", l.backOnce)
			case 'p':
				l.pause(ctx)
			case 'q':
				l.cancel(errQuit)
			case '?', 'h':
				l.f.Streams.Talk("%s", keyHelp)
			}
		}
	}
}

// errNothingRuns says that no generation has been delivered yet.
var errNothingRuns = errors.New("no rank runs any code yet")

// restart has all ranks start anew in the tree they run, as a new generation.
func (l *loop) restart(ctx context.Context) error {
	l.mu.Lock()
	v, number := l.current, l.status.generation
	l.mu.Unlock()
	if v == nil {
		return errNothingRuns
	}
	l.f.Streams.Talk("restarting generation %d's code", number)
	return l.again(ctx, v.Restarted())
}

// verify compares all ranks with the folder and prints what `verify` prints.
func (l *loop) verify(ctx context.Context) error {
	code := l.t.project.Code[0]
	index, err := tree.NewScanner(code.Path, treeOptions(code)).Scan(ctx)
	if err != nil {
		return err
	}
	report, err := l.t.verify(ctx, index.Digest())
	if err != nil {
		return err
	}
	var table bytes.Buffer // in one piece: ranks go on talking
	if err := report.write(&table, tree.Digest.Short); err != nil {
		return err
	}
	if _, err := l.f.Streams.Out.Write(table.Bytes()); err != nil {
		return err
	}
	return report.err()
}

// backOnce returns to the code before, and from there to the one before that.
func (l *loop) backOnce(ctx context.Context) error {
	all, err := l.journal.List()
	if err != nil {
		return err
	}
	l.mu.Lock()
	v, from := l.current, l.backTo
	l.mu.Unlock()
	if v == nil {
		return errNothingRuns
	}
	number, ok := before(all, v.Digest, from)
	if !ok {
		return errors.New("the journal has no other code before this")
	}
	_, err = l.back(ctx, number)
	return err
}

// before finds the latest generation whose code is not now's; with from, which
// is where an earlier step back led, the latest before that one.
func before(all []journal.Generation, now tree.Digest, from uint64) (uint64, bool) {
	end := len(all)
	for i := len(all) - 1; i >= 0 && from != 0; i-- {
		if all[i].Generation == from {
			end = i
			break
		}
	}
	for i := end - 1; i >= 0; i-- {
		if all[i].TreeDigest != now {
			return all[i].Generation, true
		}
	}
	return 0, false
}
