package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Catches tells whether a process has a handler for a signal (proc(5)).
func Catches(pid int, sig syscall.Signal) (bool, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "SigCgt:"); ok {
			caught, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			if err != nil {
				return false, fmt.Errorf("read which signals process %d catches: %w", pid, err)
			}
			return caught&(1<<(sig-1)) != 0, nil
		}
	}
	return false, nil
}

// Ask sends a signal to those of the group that catch it, and returns how many
// there are: most signals end a process that does not, and beside a program
// that does there may be a shell or a launcher.
func (p *Process) Ask(sig syscall.Signal) (asked int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// pid (name) state ppid pgrp …; the name may hold anything.
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		if len(fields) < 3 || fields[2] != strconv.Itoa(p.PID) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if catches, err := Catches(pid, sig); err == nil && catches && syscall.Kill(pid, sig) == nil {
			asked++
		}
	}
	return asked
}
