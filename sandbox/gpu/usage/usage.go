// Package usage finds out what the containers that hold simulated GPUs do, so
// that a GPU is as busy as its program is. Nothing is computed on these GPUs;
// what stands in for it is the processor: a GPU is 100 % busy when the
// processes that hold it keep one CPU busy, and has as much memory in use as
// they have resident. A container with several GPUs spreads its work over all
// of them, but for processes that torchrun has given one (LOCAL_RANK).
package usage

import (
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Use is what is done with one GPU or MIG device.
type Use struct {
	Utilization int // %
	Processes   []model.Process
}

// Load is the use of a node's GPUs and MIG devices, by UUID. One that is not
// there is idle.
type Load map[string]Use

// Sampler looks at the processes of a node. Use it from one goroutine.
type Sampler struct {
	Proc string // "/proc"

	at    time.Time
	cpu   map[identity]time.Duration // when last seen
	holds map[identity][]string
}

// Sample returns what was done since the last call, the first of which knows
// no more than who is there.
func (s *Sampler) Sample(now time.Time) (Load, error) {
	pids, err := s.pids()
	if err != nil {
		return nil, err
	}
	var (
		elapsed = now.Sub(s.at)
		first   = s.at.IsZero()
		busy    = map[string]float64{} // CPUs
		load    = Load{}
		cpu     = map[identity]time.Duration{}
		holds   = map[identity][]string{}
	)
	for _, pid := range pids {
		p, err := s.process(pid)
		if err != nil {
			continue // it is gone
		}
		uuids, known := s.holds[p.identity]
		if !known {
			uuids = s.devices(pid)
		}
		holds[p.identity] = uuids
		if len(uuids) == 0 {
			continue
		}
		cpu[p.identity] = p.cpu
		before, seen := s.cpu[p.identity]
		if (seen || p.since(elapsed)) && !first && elapsed > 0 {
			for _, uuid := range uuids {
				busy[uuid] += float64(p.cpu-before) / float64(elapsed) / float64(len(uuids))
			}
		}
		shown := s.show(p)
		for _, uuid := range uuids {
			use := load[uuid]
			use.Processes = append(use.Processes, shown)
			load[uuid] = use
		}
	}
	for uuid, use := range load {
		use.Utilization = min(100, int(100*busy[uuid]+0.5))
		load[uuid] = use
	}
	s.at, s.cpu, s.holds = now, cpu, holds
	return load, nil
}

// Reset forgets what was seen: the next sample is the first one again.
func (s *Sampler) Reset() { s.at, s.cpu, s.holds = time.Time{}, nil, nil }
