package smi

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// notAvailable stands in for a value.
const notAvailable = "[N/A]"

// column is a field of a query. Its first name is the header, the others are
// also accepted.
type column struct {
	names   []string
	unit    string // "MiB"; "" for none
	drivers []span // that have it; none: all
	value   func(t *tool, r row) string
}

// row is what a line of a query is about.
type row struct {
	model.Device
	process model.Process
	cause   string // why pages were retired
}

// query is what the --query-… options ask for, and how to print it.
type query struct {
	kind     kind
	fields   []string
	noHeader bool
	noUnits  bool
}

// kind is one of the --query-… options.
type kind struct {
	option  string
	columns func() []column
	rows    func(d model.Device) []row
}

var kinds = []kind{
	{"--query-gpu", gpuColumns, func(d model.Device) []row { return []row{{Device: d}} }},
	{"--query-compute-apps", func() []column { return appColumns }, processRows},
	{"--query-accounted-apps", func() []column { return accountedColumns }, func(model.Device) []row { return nil }},
	{"--query-retired-pages", func() []column { return retiredColumns }, func(d model.Device) []row {
		return []row{{Device: d, cause: "Single Bit ECC"}, {Device: d, cause: "Double Bit ECC"}}
	}},
}

// of returns the columns that a driver has.
func (k kind) of(form int) []column {
	var list []column
	for _, c := range k.columns() {
		if within(c.drivers, form) {
			list = append(list, c)
		}
	}
	return list
}

// showQuery prints a query: fields joined by a comma and a blank, a line a
// GPU or process.
func showQuery(t *tool, o options) error {
	q := o.query
	known := q.kind.of(t.form)
	columns := make([]column, len(q.fields))
	for i, name := range q.fields {
		at := slices.IndexFunc(known, func(c column) bool { return slices.Contains(c.names, name) })
		if at < 0 {
			return usagef("Field \"%s\" is not a valid field to query.\n", name)
		}
		columns[i] = known[at]
	}
	if _, err := t.choose(o.ids); err != nil {
		return err
	}
	cells := make([]string, len(columns))
	if !q.noHeader && !o.again {
		for i, c := range columns {
			cells[i] = c.names[0]
			if c.unit != "" {
				cells[i] += " [" + c.unit + "]"
			}
		}
		t.print(strings.Join(cells, ", ") + "\n")
	}
	return t.each(o.ids, func(d model.Device) {
		for _, r := range q.kind.rows(d) {
			for i, c := range columns {
				cells[i] = c.cell(t, r, !q.noUnits)
			}
			t.print(strings.Join(cells, ", ") + "\n")
		}
	})
}

// cell is a value with its unit; what stands in for a number has none.
func (c column) cell(t *tool, r row, units bool) string {
	value := c.value(t, r)
	if c.unit != "" && units && !standsIn(value) {
		value += " " + c.unit
	}
	return value
}

// standsIn tells whether a value is words in place of one.
func standsIn(value string) bool { return value == "N/A" || strings.HasPrefix(value, "[") }

//go:embed fields.txt
var fieldsFile string

// gpuColumns are the fields of --query-gpu, of all drivers.
var gpuColumns = sync.OnceValue(func() []column {
	var columns []column
	for line := range strings.Lines(fieldsFile) {
		if line = strings.TrimSuffix(line, "\n"); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		c, err := parseColumn(line)
		if err != nil {
			panic(err) // a file of this package
		}
		columns = append(columns, c)
	}
	return columns
})

func parseColumn(line string) (column, error) {
	var c column
	head, value, literal := strings.Cut(line+" ", " = ")
	if head, rest, ok := strings.Cut(head, " ["); ok {
		unit, after, _ := strings.Cut(rest, "]")
		c.unit = unit
		line = head + after
	} else {
		line = head
	}
	for word := range strings.FieldsSeq(line) {
		if !strings.ContainsAny(word, "0123456789") || strings.ContainsAny(word, "abcdefghijklmnopqrstuvwxyz") {
			c.names = append(c.names, word)
			continue
		}
		s, err := parseSpan(word)
		if err != nil {
			return c, fmt.Errorf("%s: %w", line, err)
		}
		c.drivers = append(c.drivers, s)
	}
	value = strings.TrimSpace(value)
	c.value = func(*tool, row) string { return value }
	if !literal {
		f, ok := values[c.names[0]]
		if !ok {
			return c, fmt.Errorf("%s: neither a value nor a function", line)
		}
		c.value = func(t *tool, r row) string { return cmp.Or(f(t, r.Device), notAvailable) }
	}
	return c, nil
}

// processRows are a line a process, those of MIG devices too.
func processRows(d model.Device) []row {
	var rows []row
	for _, p := range d.Processes {
		rows = append(rows, row{Device: d, process: p})
	}
	for _, m := range d.MIG {
		for _, p := range m.Processes {
			rows = append(rows, row{Device: d, process: p})
		}
	}
	return rows
}
