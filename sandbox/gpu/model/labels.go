package model

import (
	"strconv"
	"strings"
)

// Labels of a node with GPUs. The nvidia.com ones are those of NVIDIA's GPU
// feature discovery, so that selectors written for real nodes hold.
const (
	LabelPresent   = "nvidia.com/gpu.present"
	LabelProduct   = "nvidia.com/gpu.product"
	LabelCount     = "nvidia.com/gpu.count"
	LabelMemory    = "nvidia.com/gpu.memory" // MiB of one GPU
	LabelFamily    = "nvidia.com/gpu.family"
	LabelSimulated = "kubectl-ai.dev/gpu-simulated" // "true": these GPUs compute nothing
)

// Labels returns the labels of the node that has these GPUs.
func (s State) Labels() map[string]string {
	labels := map[string]string{LabelSimulated: strconv.FormatBool(s.Simulated)}
	if len(s.Devices) == 0 {
		return labels
	}
	d := s.Devices[0]
	labels[LabelPresent] = "true"
	labels[LabelProduct] = labelValue(d.Name)
	labels[LabelCount] = strconv.Itoa(len(s.Devices))
	labels[LabelMemory] = strconv.FormatUint(d.MemoryMiB(), 10)
	labels[LabelFamily] = d.Architecture
	return labels
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
	return strings.Trim(clean, "-_.")
}
