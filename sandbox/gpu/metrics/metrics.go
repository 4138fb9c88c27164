// Package metrics shows a node's GPUs as NVIDIA's DCGM exporter does, so that
// dashboards and alerts that were written for real nodes find what they look
// for: the names, labels and help of its default counters, as exporters of
// the 3.1 series have them.
//
// The page is written by hand: the exporter's labels have an order of their
// own, which Prometheus' client library would sort.
package metrics

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// DefaultAddress is where the exporter answers /metrics.
const DefaultAddress = ":9400"

// ContentType is that of a page.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Page is what is shown.
type Page struct {
	State   model.State
	Holders []model.Holder
	Host    string            // the label Hostname
	Energy  map[string]uint64 // mJ since boot, by UUID of the GPU
}

// Write writes the page.
func (p Page) Write(w io.Writer) error {
	var b strings.Builder
	samples := p.samples()
	for _, f := range fields {
		shown := slices.DeleteFunc(slices.Clone(samples), func(s sample) bool {
			return s.d.Fault.Lost && !f.lost || f.shown != nil && !f.shown(s)
		})
		if len(shown) == 0 {
			continue
		}
		_, _ = fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %[1]s %[3]s\n", f.name, f.help, f.kind)
		for _, s := range shown {
			_, _ = fmt.Fprintf(&b, "%s{%s} %s\n", f.name, s.labels, f.value(s))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// sample is one GPU or MIG device with one container that holds it.
type sample struct {
	d      model.Device
	m      *model.MIGDevice // nil for a GPU
	energy uint64
	labels string
}

// cut tells whether the sample is of a GPU in MIG mode, or a part of one.
func (s sample) cut() bool { return s.d.MIGEnabled }

// active is the part of time in which the device works.
func (s sample) active() float64 {
	if s.m != nil {
		return float64(s.m.Utilization) / 100
	}
	return float64(s.d.Utilization) / 100
}

// samples returns one for each GPU, or for each of its MIG devices, and
// several where containers share one.
func (p Page) samples() (samples []sample) {
	add := func(d model.Device, m *model.MIGDevice, uuid string) {
		of := model.HoldersOf(p.Holders, uuid)
		if len(of) == 0 {
			of = []model.Holder{{}} // empty labels, as the exporter has them
		}
		for _, h := range of {
			samples = append(samples, sample{d: d, m: m, energy: p.Energy[d.UUID], labels: p.labels(d, m, h)})
		}
	}
	for _, d := range p.State.Devices {
		for i := range d.MIG {
			add(d, &d.MIG[i], d.MIG[i].UUID)
		}
		if len(d.MIG) == 0 {
			add(d, nil, d.UUID)
		}
	}
	return samples
}

func (p Page) labels(d model.Device, m *model.MIGDevice, h model.Holder) string {
	pairs := []string{
		"gpu", strconv.Itoa(d.Index), "UUID", d.UUID, "device", fmt.Sprint("nvidia", d.Minor), "modelName", d.Name,
	}
	if m != nil {
		pairs = append(pairs, "GPU_I_PROFILE", m.Profile, "GPU_I_ID", strconv.Itoa(m.GPUInstance))
	}
	pairs = append(pairs, "Hostname", p.Host, "DCGM_FI_DRIVER_VERSION", p.State.DriverVersion,
		"container", h.Container, "namespace", h.Namespace, "pod", h.Pod)
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		_, _ = fmt.Fprintf(&b, "%s=%q", pairs[i], pairs[i+1])
	}
	return b.String()
}
