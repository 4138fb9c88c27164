//go:build linux

package main

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// machine is what processes here can have at most.
type machine struct {
	capabilities map[string]bool   // by name: CAP_CHOWN
	limits       map[string]uint64 // hard limits by name: RLIMIT_NOFILE
}

// capabilityNames are in the order of their numbers, from CAP_CHOWN = 0
// (linux/capability.h).
var capabilityNames = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
	"CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP",
	"CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
}

// limitNames are the limits that containers may ask for.
var limitNames = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
	"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE,
	"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME": unix.RLIMIT_RTTIME, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

const sysResource = "CAP_SYS_RESOURCE"

// here asks the kernel. Limits count only without CAP_SYS_RESOURCE, with
// which they can be raised.
func here() machine {
	m := machine{capabilities: map[string]bool{}, limits: map[string]uint64{}}
	for number, name := range capabilityNames {
		held, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(number), 0, 0, 0)
		m.capabilities[name] = err == nil && held == 1
	}
	if m.capabilities[sysResource] {
		return m
	}
	for name, resource := range limitNames {
		var limit unix.Rlimit
		if unix.Getrlimit(resource, &limit) == nil {
			m.limits[name] = limit.Max
		}
	}
	return m
}

// clamp lowers what a process asks for to what it can have.
func (m machine) clamp(p *specs.Process) {
	if c := p.Capabilities; c != nil {
		for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Inheritable, &c.Permitted, &c.Ambient} {
			*set = slices.DeleteFunc(*set, func(name string) bool { return !m.capabilities[name] })
		}
	}
	if !m.capabilities[sysResource] && p.OOMScoreAdj != nil && *p.OOMScoreAdj < 0 {
		p.OOMScoreAdj = new(int)
	}
	for i := range p.Rlimits {
		if most, ok := m.limits[p.Rlimits[i].Type]; ok {
			p.Rlimits[i].Hard = min(p.Rlimits[i].Hard, most)
			p.Rlimits[i].Soft = min(p.Rlimits[i].Soft, most)
		}
	}
}
