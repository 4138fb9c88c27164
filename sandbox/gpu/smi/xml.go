package smi

import (
	"encoding/xml"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// dtdOf names the document type of a driver's report.
func dtdOf(form int) string {
	switch {
	case form <= 515:
		return "nvsmi_device_v11.dtd"
	case form <= 535:
		return "nvsmi_device_v12.dtd"
	}
	return "nvsmi_device_v13.dtd"
}

// xml prints -q -x. It stays a document when a GPU is lost: that one's
// elements say so.
func (t *tool) xml(o options) error {
	devices, err := t.choose(o.ids)
	if err != nil {
		return err
	}
	t.print("<?xml version=\"1.0\" ?>\n")
	if o.dtd {
		t.print("<!DOCTYPE nvidia_smi_log [\n" + t.dtd() + "]>\n")
	} else {
		t.printf("<!DOCTYPE nvidia_smi_log SYSTEM \"%s\">\n", dtdOf(t.form))
	}
	t.print("<nvidia_smi_log>\n")
	t.elements(t.header(), 1)
	for _, d := range devices {
		nodes := t.nodes(d, nil, true)
		if d.Fault.Lost {
			lose(nodes)
			err = &silent{exitLost}
		}
		t.printf("\t<gpu id=\"%s\">\n", escape(d.PCIBusID))
		t.elements(nodes, 2)
		t.print("\t</gpu>\n\n")
	}
	t.print("</nvidia_smi_log>\n")
	return err
}

// lose puts what the driver says of a lost GPU in place of all values.
func lose(nodes []node) {
	for i := range nodes {
		if len(nodes[i].below) == 0 {
			nodes[i].value, nodes[i].block = "GPU is lost", false
		}
		lose(nodes[i].below)
	}
}

func (t *tool) header() []node {
	return []node{
		leaf("", "timestamp", "%s", t.now.Format(logTime)), leaf("", "driver_version", "%s", t.state.DriverVersion),
		leaf("", "cuda_version", "%s", t.state.CUDAVersion), leaf("", "attached_gpus", "%d", len(t.devices)),
	}
}

func (t *tool) elements(nodes []node, depth int) {
	indent := strings.Repeat("\t", depth)
	for _, n := range nodes {
		open, end := "<"+n.element+">", "</"+n.element+">"
		switch below := elementsOf(n); {
		case n.element == absent:
		case len(below) > 0 && n.element == "pid":
			// A process' attributes lie beside its number here.
			t.print(indent + open + escape(n.value) + end + "\n")
			t.elements(below, depth)
		case len(below) > 0:
			t.print(indent + open + "\n")
			t.elements(below, depth+1)
			t.print(indent + end + "\n")
		case n.block:
			t.print(indent + open + "\n")
			if value := strings.TrimSpace(n.value); value != "" && n.element == "mig_devices" {
				t.print(indent + "\t" + value + "\n")
			}
			t.print(indent + end + "\n")
		default:
			t.print(indent + open + escape(xmlValue(n)) + end + "\n")
		}
	}
}

// elementsOf are the nodes below one that XML has.
func elementsOf(n node) []node {
	var list []node
	for _, b := range n.below {
		if b.element != absent {
			list = append(list, b)
		}
	}
	return list
}

// xmlValue is a value in XML, where numbers of the bus have no prefix.
func xmlValue(n node) string {
	if strings.HasPrefix(n.element, "pci_") {
		return strings.TrimPrefix(n.value, "0x")
	}
	return n.value
}

func escape(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return "" // a strings.Builder takes all
	}
	return b.String()
}

// dtd declares the elements that a report of this driver may have: their
// children in any order and number, since elements of one name differ by where
// they are.
func (t *tool) dtd() string {
	var b strings.Builder
	declared := map[string]bool{absent: true, level: true}
	declare := func(element string) {
		if !declared[element] {
			declared[element] = true
			b.WriteString("<!ELEMENT " + element + " ANY>\n")
		}
	}
	declare("nvidia_smi_log")
	eachNode(t.header(), declare)
	declare("gpu")
	b.WriteString("<!ATTLIST gpu id CDATA #REQUIRED>\n")
	t.eachEntry(report(), declare)
	// What depends on the GPU: one that has all of it.
	all := model.Device{MIG: []model.MIGDevice{{}}, Processes: []model.Process{{}}, MaxGraphicsClock: clockStep}
	eachNode(t.nodes(all, nil, true), declare)
	return b.String()
}

func eachNode(nodes []node, do func(element string)) {
	for _, n := range nodes {
		do(n.element)
		eachNode(n.below, do)
	}
}

func (t *tool) eachEntry(entries []*entry, do func(element string)) {
	for _, e := range entries {
		if e.element != absent && within(e.drivers, t.form) {
			do(e.element)
			t.eachEntry(e.below, do)
		}
	}
}

// showDTD prints the document type of -q -x.
func showDTD(t *tool, _ options) error {
	t.print(t.dtd())
	return nil
}
