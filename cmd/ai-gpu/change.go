package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/agent"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/fault"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/holders"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// list prints the node's GPUs and who holds them.
func list(ctx context.Context, o options, w io.Writer) error {
	state, err := model.Read(o.state)
	if err != nil {
		return err
	}
	held, err := holders.List(ctx, o.resources)
	if err != nil {
		return err
	}
	return report(w, model.Report{State: state, Holders: held})
}

func report(w io.Writer, r model.Report) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// effect is what a command does to the fault of a GPU.
type effect func(model.Device) (model.Fault, error)

func fail(k fault.Kind) effect {
	return func(d model.Device) (model.Fault, error) {
		// As precise as the file, so that it is found again there.
		return fault.Inject(d, k, time.Now().UTC().Truncate(time.Millisecond))
	}
}

func heal(model.Device) (model.Fault, error) { return model.Fault{}, nil }

func set(r model.Readings) effect {
	return func(d model.Device) (model.Fault, error) { return fault.Set(d, r) }
}

// change makes the effect on one GPU, or on all where none is named, and
// prints the state in which it shows.
func change(ctx context.Context, o options, w io.Writer, do effect) error {
	state, err := model.Read(o.state)
	if err != nil {
		return err
	}
	devices := state.Devices
	if o.gpu != "" {
		d, err := fault.Find(state, o.gpu)
		if err != nil {
			return err
		}
		devices = []model.Device{d}
	} else if !state.Simulated {
		return &fault.RealError{Node: state.Node}
	}
	want := agent.Faults{}
	err = agent.ChangeFaults(o.state, func(all agent.Faults) error {
		for _, d := range devices {
			d.Fault = all[d.UUID] // as it is now
			if want[d.UUID], err = do(d); err != nil {
				return err
			}
			if all[d.UUID] = want[d.UUID]; reflect.ValueOf(want[d.UUID]).IsZero() {
				delete(all, d.UUID)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	state, err = await(ctx, o.state, want)
	if err != nil {
		return err
	}
	return report(w, model.Report{State: state})
}

const (
	takeLimit = 10 * time.Second
	takePoll  = 5 * time.Millisecond
)

var errNotTaken = fmt.Errorf("the agent has not taken it up within %v: systemctl status kubectl-ai-gpu", takeLimit)

// await returns the state once it shows the faults.
func await(ctx context.Context, dir string, want agent.Faults) (model.State, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, takeLimit, errNotTaken)
	defer cancel()
	tick := time.NewTicker(takePoll)
	defer tick.Stop()
	for {
		state, err := model.Read(dir)
		if err != nil {
			return state, err
		}
		shown := true
		for _, d := range state.Devices {
			if f, ok := want[d.UUID]; ok && !reflect.DeepEqual(f, d.Fault) {
				shown = false
			}
		}
		if shown {
			return state, nil
		}
		select {
		case <-ctx.Done():
			return state, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// readings are flags of numbers that may be left out.
type readings struct{ model.Readings }

func (r *readings) add(flags *flag.FlagSet) {
	number := func(target **int) func(string) error {
		return func(text string) error {
			n, err := strconv.Atoi(text)
			if err != nil {
				return errors.New("not a number")
			}
			*target = &n
			return nil
		}
	}
	flags.Func("temperature", "degrees Celsius", number(&r.Temperature))
	flags.Func("power", "watts", number(&r.Power))
	flags.Func("utilization", "per cent", number(&r.Utilization))
}
