package smi

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

//go:embed report.txt
var reportFile string

// entry is a line of report.txt with what is below it.
type entry struct {
	label, element string
	drivers        []span
	conditions     []string
	word           string // of -d
	asked          bool   // in text only when the word is given
	value          string
	below          []*entry
}

// Marks of a label or element.
const (
	absent = "-" // not in this form, nor is what is below
	level  = "=" // what is below stands in its place
	blank  = "{blank}"
)

// report is report.txt.
var report = sync.OnceValue(func() []*entry {
	root := &entry{}
	path := []*entry{root} // the last entry of each level
	for line := range strings.Lines(reportFile) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		text := strings.TrimLeft(line, " ")
		depth := (len(line) - len(text)) / 2
		e, err := parseEntry(text)
		if err != nil || depth >= len(path) {
			panic(fmt.Sprintf("report.txt: %s: %v", line, err)) // a file of this package
		}
		above := path[depth]
		above.below = append(above.below, e)
		path = append(path[:depth+1], e)
	}
	return root.below
})

func parseEntry(line string) (*entry, error) {
	columns := append(strings.Split(line, "|"), "", "", "")
	for i := range columns {
		columns[i] = strings.TrimSpace(columns[i])
	}
	e := &entry{label: strings.ReplaceAll(columns[0], blank, " "), element: columns[1], value: columns[3]}
	for word := range strings.FieldsSeq(columns[2]) {
		switch {
		case strings.HasPrefix(word, "?"):
			e.conditions = append(e.conditions, word[1:])
			if conditions[strings.TrimPrefix(word[1:], "!")] == nil {
				return nil, fmt.Errorf("no condition %s", word)
			}
		case strings.HasPrefix(word, "@"):
			e.word, e.asked = strings.TrimPrefix(word[1:], "+"), strings.HasPrefix(word, "@+")
		default:
			s, err := parseSpan(word)
			if err != nil {
				return nil, err
			}
			e.drivers = append(e.drivers, s)
		}
	}
	return e, nil
}

// conditions are those of report.txt.
var conditions = map[string]func(t *tool, d model.Device) bool{
	"tlimit": func(t *tool, d model.Device) bool { return traitsOf(d).tlimit && t.form >= 535 },
	"secded": func(t *tool, d model.Device) bool { return traitsOf(d).rows > 0 && t.form >= 580 },
	"rows":   func(_ *tool, d model.Device) bool { return traitsOf(d).rows > 0 && !d.MIGEnabled },
}

func (e *entry) applies(t *tool, d model.Device) bool {
	if !within(e.drivers, t.form) {
		return false
	}
	for _, c := range e.conditions {
		name, not := strings.CutPrefix(c, "!")
		if conditions[name](t, d) == not {
			return false
		}
	}
	return true
}

// node is an entry as it is printed of one GPU.
type node struct {
	label, element string
	value          string
	block          bool // the value, or nothing, has lines of its own in XML
	narrow         bool // of a process, whose column is narrower in text
	below          []node
}

// nodes are the entries that hold for a GPU. words are those of -d, nil for
// all that are shown unasked.
func (t *tool) nodes(d model.Device, words []string, xml bool) []node {
	var list []node
	for _, e := range report() {
		switch {
		case !e.applies(t, d), xml && e.element == absent, !xml && e.label == absent:
		case xml, words == nil && !e.asked, e.word != "" && slices.Contains(words, e.word):
			list = append(list, t.node(e, d))
		}
	}
	return list
}

func (t *tool) node(e *entry, d model.Device) node {
	n := node{label: e.label, element: e.element}
	if name, ok := strings.CutPrefix(e.value, "%"); ok {
		made(name, t, d, &n)
		return n
	}
	n.value = t.expand(e.value, d)
	n.block = n.value == " "
	for _, b := range e.below {
		if b.applies(t, d) {
			n.below = append(n.below, t.node(b, d))
		}
	}
	return n
}

// expand puts the value of a field in the place of its name.
func (t *tool) expand(text string, d model.Device) string {
	before, rest, ok := strings.Cut(text, "{")
	if !ok {
		return text
	}
	name, after, _ := strings.Cut(rest, "}")
	value := t.value(name, d)
	if standsIn(value) {
		return strings.Trim(value, "[]")
	}
	return before + value + after
}

func leaf(label, element, format string, args ...any) node {
	return node{label: label, element: element, value: fmt.Sprintf(format, args...)}
}

func group(label, element string, below ...node) node {
	return node{label: label, element: element, below: below}
}

// made fills an entry that depends on more than a value.
func made(name string, t *tool, d model.Device, n *node) {
	words := strings.Fields(name)
	switch words[0] {
	case "mig":
		n.label = level
		for i, m := range d.MIG {
			n.below = append(n.below, t.migNode(d, i, m))
		}
		if len(d.MIG) == 0 {
			n.value, n.block = "None", true
		}
	case "processes":
		n.below = processNodes(d)
		n.value, n.block = "None", true
		if n.below != nil {
			n.value = ""
		}
	case "accounted":
		n.value, n.block = "None", true
	case "clocks":
		n.below = []node{{label: "Memory", element: "supported_mem_clock", value: fmt.Sprintf("%d MHz", d.MaxMemoryClock), below: clockNodes(d)}}
	case "samples":
		value := t.expand("{"+words[1]+"} "+words[2], d)
		n.below = []node{
			leaf("Duration", absent, "0.00 sec"), leaf("Number of Samples", absent, "1"),
			leaf("Max", absent, "%s", value), leaf("Min", absent, "%s", value), leaf("Avg", absent, "%s", value),
		}
	}
}

func (t *tool) migNode(d model.Device, index int, m model.MIGDevice) node {
	memory, bar1 := "Shared FB Memory Usage", "Shared BAR1 Memory"
	if t.form < 590 {
		memory, bar1 = "FB Memory Usage", "BAR1 Memory"
	}
	share := model.MiB(bar1Share(d, m))
	return group("MIG Device", "mig_device",
		leaf("Index", "index", "%d", index),
		leaf("GPU Instance ID", "gpu_instance_id", "%d", m.GPUInstance),
		leaf("Compute Instance ID", "compute_instance_id", "%d", m.ComputeInstance),
		group("Device Attributes", "device_attributes", group("Shared", "shared",
			leaf("Multiprocessor count", "multiprocessor_count", "%d", m.Multiprocessors),
			leaf("Copy Engine count", "copy_engine_count", "%d", m.Engines.Copy),
			leaf("Encoder count", "encoder_count", "%d", m.Engines.Encoder),
			leaf("Decoder count", "decoder_count", "%d", m.Engines.Decoder),
			leaf("OFA count", "ofa_count", "%d", m.Engines.OFA),
			leaf("JPG count", "jpg_count", "%d", m.Engines.JPEG),
		)),
		group("ECC Errors", "ecc_error_count", group("Volatile", "volatile_count", leaf("SRAM Uncorrectable", "sram_uncorrectable", "0"))),
		group(memory, "fb_memory_usage",
			leaf("Total", "total", "%d MiB", model.MiB(m.MemoryBytes)), leaf("Reserved", "reserved", "0 MiB"),
			leaf("Used", "used", "%d MiB", model.MiB(m.UsedMemoryBytes)), leaf("Free", "free", "%d MiB", model.MiB(m.MemoryBytes-min(m.UsedMemoryBytes, m.MemoryBytes)))),
		group(bar1, "bar1_memory_usage",
			leaf("Total", "total", "%d MiB", share), leaf("Used", "used", "0 MiB"), leaf("Free", "free", "%d MiB", share)),
	)
}

func processNodes(d model.Device) []node {
	var list []node
	for _, p := range processes(d) {
		n := func(label, element, value string, below ...node) node {
			return node{label: label, element: element, value: value, narrow: true, below: below}
		}
		list = append(list, group(level, "process_info",
			n("GPU instance ID", "gpu_instance_id", p.gpuInstance),
			n("Compute instance ID", "compute_instance_id", p.computeInstance),
			n("Process ID", "pid", fmt.Sprint(p.PID),
				n("Type", "type", processType),
				n("Name", "process_name", p.Name),
				n("Used GPU Memory", "used_memory", fmt.Sprintf("%d MiB", model.MiB(p.UsedMemoryBytes))))))
	}
	return list
}

// clockStep is the distance of one clock to the next, of which boards support
// each down to the idle one.
const clockStep = 15

func clockNodes(d model.Device) []node {
	list := []node{leaf(absent, "value", "%d MHz", d.MaxMemoryClock)}
	for c := d.MaxGraphicsClock; c >= max(d.GraphicsClock, clockStep) && c > 0; c -= clockStep {
		list = append(list, leaf("Graphics", "supported_graphics_clock", "%d MHz", c))
	}
	return list
}
