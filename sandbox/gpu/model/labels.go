package model

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// Labels of a node with GPUs that something here reads. All of them are those
// of NVIDIA's GPU feature discovery (k8s-device-plugin, internal/lm), so that
// selectors written for real nodes hold.
const (
	LabelPresent   = "nvidia.com/gpu.present"
	LabelProduct   = "nvidia.com/gpu.product"
	LabelCount     = "nvidia.com/gpu.count"
	LabelMemory    = "nvidia.com/gpu.memory" // MiB of one GPU, or of one MIG device under MIGSingle
	LabelFamily    = "nvidia.com/gpu.family"
	LabelSimulated = "kubectl-ai.dev/gpu-simulated" // "true": these GPUs compute nothing
)

// Labels returns the labels of the node that has these GPUs, of which the
// first stands for all, as GPU feature discovery has it. machine is the
// machine's model, and at when the labels were made.
func (s State) Labels(machine string, at time.Time) map[string]string {
	labels := map[string]string{LabelSimulated: strconv.FormatBool(s.Simulated)}
	if len(s.Devices) == 0 {
		return labels
	}
	l := labeller{labels, "nvidia.com/"}
	d := s.Devices[0]
	l.set("gfd.timestamp", strconv.FormatInt(at.Unix(), 10))
	l.set("gpu.present", "true")
	l.set("gpu.machine", labelValue(cmp.Or(machine, "unknown")))
	l.versions(s)
	l.number("gpu.count", len(s.Devices))
	l.set("gpu.family", d.Architecture)
	l.set("gpu.mode", "compute")
	l.set("mig.capable", strconv.FormatBool(d.MIGCapable))
	l.set("mps.capable", strconv.FormatBool(s.mpsCapable()))
	major, minor, _ := strings.Cut(d.ComputeCapability, ".")
	l.set("gpu.compute.major", major)
	l.set("gpu.compute.minor", minor)
	if s.MIGStrategy == MIGSingle || s.MIGStrategy == MIGMixed {
		l.set("mig.strategy", s.MIGStrategy)
	}
	l.resource("gpu.", d.Name, d.MemoryMiB(), s.Sharing)
	switch m, count := d.firstMIG(); {
	case s.MIGStrategy == MIGSingle && count > 0:
		l.number("gpu.count", s.countMIG(m.Profile))
		l.mig("gpu.", d.Name, m, s.Sharing)
	case s.MIGStrategy == MIGMixed:
		if len(s.Units()[Resource]) == 0 {
			l.set("gpu.replicas", "0") // none is given out whole
		}
		for _, d := range s.Devices {
			for _, m := range d.MIG {
				prefix := strings.TrimPrefix(MIGResource(m.Profile), "nvidia.com/") + "."
				l.mig(prefix, d.Name, m, s.Sharing)
				l.number(prefix+"count", s.countMIG(m.Profile))
			}
		}
	}
	return labels
}

// OwnsLabel tells whether a label is one that Labels makes, for whatever GPUs.
func OwnsLabel(key string) bool {
	for _, prefix := range []string{"nvidia.com/gpu.", "nvidia.com/cuda.", "nvidia.com/gfd.", "nvidia.com/mig-", "nvidia.com/mig.", "nvidia.com/mps."} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return key == LabelSimulated
}

type labeller struct {
	labels map[string]string
	prefix string
}

func (l labeller) set(key, value string) { l.labels[l.prefix+key] = value }

func (l labeller) number(key string, n int) { l.set(key, strconv.Itoa(n)) }

// versions adds those of driver and CUDA, each under its old and its new name.
func (l labeller) versions(s State) {
	driver := strings.SplitN(s.DriverVersion, ".", 3)
	for i, names := range [][2]string{{"major", "major"}, {"minor", "minor"}, {"rev", "revision"}} {
		part := ""
		if i < len(driver) {
			part = driver[i]
		}
		l.set("cuda.driver."+names[0], part)
		l.set("cuda.driver-version."+names[1], part)
	}
	l.set("cuda.driver-version.full", s.DriverVersion)
	major, minor, _ := strings.Cut(s.CUDAVersion, ".")
	for key, part := range map[string]string{"major": major, "minor": minor} {
		l.set("cuda.runtime."+key, part)
		l.set("cuda.runtime-version."+key, part)
	}
	l.set("cuda.runtime-version.full", s.CUDAVersion)
}

// resource adds what is said of a resource of either kind.
func (l labeller) resource(prefix, product string, memoryMiB uint64, sharing Sharing) {
	strategy, replicas := SharingNone, 1
	if sharing.Shared() {
		strategy, replicas = sharing.Strategy, sharing.Replicas
		product += "-SHARED"
	}
	l.set(prefix+"product", labelValue(product))
	l.set(prefix+"memory", strconv.FormatUint(memoryMiB, 10))
	l.number(prefix+"replicas", replicas)
	l.set(prefix+"sharing-strategy", strategy)
}

func (l labeller) mig(prefix, board string, m MIGDevice, sharing Sharing) {
	l.resource(prefix, board+"-MIG-"+m.Profile, MiB(m.MemoryBytes), sharing)
	for key, n := range map[string]int{
		"multiprocessors": m.Multiprocessors, "slices.gi": m.GPUSlices, "slices.ci": m.ComputeSlices,
		"engines.copy": m.Engines.Copy, "engines.decoder": m.Engines.Decoder, "engines.encoder": m.Engines.Encoder,
		"engines.jpeg": m.Engines.JPEG, "engines.ofa": m.Engines.OFA,
	} {
		l.number(prefix+key, n)
	}
}

// mpsCapable tells whether NVIDIA's device plugin would run MPS here: from
// Volta on, and not on a GPU that is cut.
func (s State) mpsCapable() bool {
	for _, d := range s.Devices {
		if major, err := strconv.Atoi(strings.SplitN(d.ComputeCapability, ".", 2)[0]); err != nil || major < 7 || d.MIGEnabled {
			return false
		}
	}
	return true
}

func (d Device) firstMIG() (MIGDevice, int) {
	if len(d.MIG) == 0 {
		return MIGDevice{}, 0
	}
	return d.MIG[0], len(d.MIG)
}

func (s State) countMIG(profile string) (n int) {
	for _, d := range s.Devices {
		for _, m := range d.MIG {
			if m.Profile == profile {
				n++
			}
		}
	}
	return n
}

// labelValue makes a product name fit for a label: blanks become dashes and
// what a label must not have goes.
func labelValue(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', r == '.', r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
			return r
		}
		return -1
	}, name)
	return strings.Trim(clean[:min(len(clean), 63)], "-_.")
}
