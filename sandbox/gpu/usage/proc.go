package usage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// identity is a process that runs one program: its number is used again, and
// it may become another program.
type identity struct {
	pid     int
	started uint64 // ticks since the machine's boot
	name    string
}

type process struct {
	identity
	cpu      time.Duration
	resident uint64
	age      func() time.Duration
}

// tick is the unit of times in /proc, which Linux fixes for all programs
// (USER_HZ).
const tick = time.Second / 100

// beside are programs that stand by in containers and use no GPU: shells, what
// keeps a container running, kubectl ai's own agent, and nvidia-smi.
var beside = []string{"sh", "bash", "dash", "ash", "zsh", "fish", "sleep", "tail", "pause", "tini", "dumb-init", "ai-agent", "nvidia-smi"}

func (s *Sampler) pids() ([]int, error) {
	entries, err := os.ReadDir(s.Proc)
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

func (s *Sampler) read(pid int, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.Proc, strconv.Itoa(pid), name))
}

var errStat = errors.New("not the form of /proc/PID/stat")

// process reads /proc/PID/stat (proc_pid_stat(5)). The name stands in
// parentheses and may hold some.
func (s *Sampler) process(pid int) (p process, err error) {
	content, err := s.read(pid, "stat")
	if err != nil {
		return p, err
	}
	open, end := bytes.IndexByte(content, '('), bytes.LastIndexByte(content, ')')
	if open < 0 || end < open {
		return p, errStat
	}
	fields := strings.Fields(string(content[end+1:])) // from the third on
	if len(fields) < 22 {
		return p, errStat
	}
	number := func(field int) uint64 {
		n, e := strconv.ParseUint(fields[field-3], 10, 64)
		err = errors.Join(err, e)
		return n
	}
	p.pid, p.name, p.started = pid, string(content[open+1:end]), number(22)
	p.cpu = time.Duration(number(14)+number(15)) * tick
	p.resident = number(24) * uint64(os.Getpagesize())
	p.age = func() time.Duration { return s.uptime() - time.Duration(p.started)*tick }
	return p, err
}

// since tells whether a process that was not seen before began after the last
// sample, so that all its work counts. One tick more is rounding.
func (p process) since(elapsed time.Duration) bool { return p.age() <= elapsed+tick }

// uptime is the age of the machine.
func (s *Sampler) uptime() time.Duration {
	content, err := os.ReadFile(filepath.Join(s.Proc, "uptime"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(content), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

// devices returns the UUIDs that a process has been given, none for a process
// that does not use a GPU.
func (s *Sampler) devices(pid int) []string {
	content, err := s.read(pid, "environ")
	if err != nil {
		return nil
	}
	var uuids []string
	rank := -1
	for variable := range bytes.SplitSeq(content, []byte{0}) {
		name, value, _ := strings.Cut(string(variable), "=")
		switch name {
		case model.VisibleDevices:
			uuids = strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
		case "LOCAL_RANK":
			if n, err := strconv.Atoi(value); err == nil {
				rank = n
			}
		}
	}
	uuids = slices.DeleteFunc(uuids, func(id string) bool {
		return !strings.HasPrefix(id, "GPU-") && !strings.HasPrefix(id, "MIG-")
	})
	if len(uuids) == 0 || slices.Contains(beside, path.Base(s.name(pid))) {
		return nil
	}
	if rank >= 0 && rank < len(uuids) {
		return uuids[rank : rank+1]
	}
	return uuids
}

// name is how the process was called, without arguments.
func (s *Sampler) name(pid int) string {
	content, err := s.read(pid, "cmdline")
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(string(content), "\x00")
	return strings.TrimPrefix(name, "-") // a login shell
}

// show makes of a process what nvidia-smi shows of it.
func (s *Sampler) show(p process) model.Process {
	shown := model.Process{PID: p.pid, Name: s.name(p.pid), UsedMemoryBytes: p.resident}
	if shown.Name == "" {
		shown.Name = p.identity.name
	}
	if status, err := s.read(p.pid, "status"); err == nil {
		for line := range strings.SplitSeq(string(status), "\n") {
			if numbers, ok := strings.CutPrefix(line, "NSpid:"); ok {
				inner := strings.Fields(numbers)
				if n, err := strconv.Atoi(inner[len(inner)-1]); err == nil {
					shown.PID = n
				}
			}
		}
	}
	if link, err := os.Readlink(filepath.Join(s.Proc, strconv.Itoa(p.pid), "ns", "pid")); err == nil {
		_, _ = fmt.Sscanf(link, "pid:[%d]", &shown.Namespace)
	}
	return shown
}
