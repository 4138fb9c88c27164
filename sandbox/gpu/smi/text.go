package smi

import (
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Columns in which a value of -q begins, less the colon.
const (
	reportColumn  = 55
	processColumn = 42
)

// showReport prints -q: as text, or as XML with -x.
func showReport(t *tool, o options) error {
	if o.xml {
		return t.xml(o)
	}
	if _, err := t.choose(o.ids); err != nil {
		return err
	}
	line := func(label, value string) { t.print(reportLine(0, label, value, reportColumn)) }
	t.print("\n==============NVSMI LOG==============\n\n")
	line("Timestamp", t.now.Format(logTime))
	for _, v := range t.versions() {
		line(v.label, v.value)
	}
	t.print("\n")
	line("Attached GPUs", t.value("count", model.Device{}))
	return t.each(o.ids, func(d model.Device) {
		t.print("GPU " + d.PCIBusID + "\n")
		t.text(t.nodes(d, o.words, false), 1)
		t.print("\n")
	})
}

const logTime = "Mon Jan _2 15:04:05 2006"

// versions are the first lines of a report. From 610 on, the old names are on
// their way out.
func (t *tool) versions() []node {
	list := []node{{label: "Driver Version", value: t.state.DriverVersion}, {label: "CUDA Version", value: t.state.CUDAVersion}}
	if t.form < 610 {
		return list
	}
	for i, newer := range []string{"KMD Version", "CUDA UMD Version"} {
		list = append(list, node{label: newer, value: list[i].value})
		list[i].value += " [Deprecated; will be removed in CUDA 14.0. Use " + newer + " instead]"
	}
	return list
}

func (t *tool) text(nodes []node, depth int) {
	for _, n := range nodes {
		column := reportColumn
		if n.narrow {
			column = processColumn
		}
		switch {
		case n.label == absent:
			continue
		case n.label == level:
			if n.below != nil {
				t.text(n.below, depth)
			}
			continue
		case n.value != "":
			t.print(reportLine(depth, n.label, n.value, column))
		default:
			t.print(strings.Repeat("    ", depth) + n.label + "\n")
		}
		t.text(n.below, depth+1)
	}
}

func reportLine(depth int, label, value string, column int) string {
	label = strings.Repeat("    ", depth) + label
	return label + strings.Repeat(" ", max(0, column-len(label))) + ": " + value + "\n"
}
