package smi

import (
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// column is a field of a query. Its first name is the header, the others are
// also accepted.
type column struct {
	names []string
	unit  string // "MiB"; "" for none
	value func(t *tool, d model.Device) string
}

// notAvailable stands in for a value.
const notAvailable = "[N/A]"

// csv prints a query: fields joined by a comma and a blank, a line a GPU.
func (t *tool) csv(q query, devices []model.Device) {
	cells := make([]string, len(q.columns))
	if !q.noHeader {
		for i, c := range q.columns {
			cells[i] = c.names[0]
			if c.unit != "" {
				cells[i] += " [" + c.unit + "]"
			}
		}
		t.print(strings.Join(cells, ", ") + "\n")
	}
	if q.apps {
		return
	}
	for _, d := range devices {
		for i, c := range q.columns {
			cells[i] = c.value(t, d)
			if c.unit != "" && !q.noUnits && !strings.HasPrefix(cells[i], "[") {
				cells[i] += " " + c.unit
			}
		}
		t.print(strings.Join(cells, ", ") + "\n")
	}
}
