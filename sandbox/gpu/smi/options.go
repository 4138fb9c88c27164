package smi

import (
	"slices"
	"strings"
)

// options are the arguments, checked.
type options struct {
	help      bool
	helpQuery func() string
	version   bool
	list      bool
	ids       []string
	query     *query
}

// query is what the --query-… options ask for, and how to print it.
type query struct {
	columns  []column
	apps     bool // of processes, of which simulated GPUs have none
	noHeader bool
	noUnits  bool
}

// later are options and commands of the real tool that are not simulated.
var later = []string{
	"-q", "--query", "-x", "--xml-format", "-l", "--loop", "-lms", "--loop-ms", "-f", "--filename", "-d", "--display",
	"-u", "--unit", "-B", "--list-excluded-gpus", "-col", "--columns", "--dtd",
	"--query-supported-clocks", "--query-accounted-apps", "--query-retired-pages", "--query-remapped-rows",
	"-pm", "-e", "-p", "-c", "-r", "-pl", "-ac", "-rac", "-mig", "--gpu-reset", "--persistence-mode", "--power-limit",
	"topo", "dmon", "daemon", "replay", "pmon", "nvlink", "clocks", "encodersessions", "fbcsessions", "drain", "vgpu",
	"mig", "compute-policy", "boost-slider", "power-hint", "conf-compute", "power-smoothing", "power-profiles", "gpm", "pci", "c2c",
}

// parse reads arguments as the real tool does: a value follows its option as
// the next argument or after "=".
func parse(args []string) (options, error) {
	var (
		o             options
		fields, apps  string
		format        string
		asked, styled bool
	)
	for len(args) > 0 {
		name, value, inline := strings.Cut(args[0], "=")
		args = args[1:]
		take := func() error {
			if inline {
				return nil
			}
			if len(args) == 0 {
				return usagef("Option %s needs a value. Run 'nvidia-smi -h' for help.", name)
			}
			value, args = args[0], args[1:]
			return nil
		}
		var err error
		switch name {
		case "-h", "--help":
			o.help = true
		case "--help-query-gpu":
			o.helpQuery = func() string { return helpFields("--query-gpu", gpuColumns()) }
		case "--help-query-compute-apps":
			o.helpQuery = func() string { return helpFields("--query-compute-apps", appColumns) }
		case "--version":
			o.version = true
		case "-L", "--list-gpus":
			o.list = true
		case "-i", "--id":
			if err = take(); err == nil {
				o.ids = append(o.ids, splitList(value)...)
			}
		case "--query-gpu":
			err = take()
			fields, asked = value, true
		case "--query-compute-apps":
			err = take()
			apps, asked = value, true
		case "--format":
			err = take()
			format, styled = value, true
		default:
			err = unknown(name)
		}
		if err != nil {
			return o, err
		}
	}
	if !asked && !styled {
		return o, nil
	}
	if !asked {
		return o, usagef("Option --format is for queries such as --query-gpu. Run 'nvidia-smi -h' for help.")
	}
	if fields != "" && apps != "" {
		return o, usagef("Options --query-gpu and --query-compute-apps exclude each other. Run 'nvidia-smi -h' for help.")
	}
	q, err := newQuery(fields, apps, format)
	o.query = q
	return o, err
}

func unknown(name string) error {
	if slices.Contains(later, name) {
		return usagef("%s is an option of nvidia-smi that is not simulated. Run 'nvidia-smi -h' for those that are.", name)
	}
	return usagef("Option %s is not recognized. Run 'nvidia-smi -h' for help.", name)
}

func splitList(s string) []string {
	parts := strings.Split(s, ",")
	for i, p := range parts {
		parts[i] = strings.TrimSpace(p)
	}
	return parts
}

func newQuery(fields, apps, format string) (*query, error) {
	q := &query{}
	csv := false
	for _, word := range splitList(format) {
		switch word {
		case "csv":
			csv = true
		case "noheader":
			q.noHeader = true
		case "nounits":
			q.noUnits = true
		case "":
		default:
			return nil, usagef("%q is not a format. Formats are csv, noheader and nounits.", word)
		}
	}
	if !csv {
		return nil, usagef("A query needs --format=csv. Run 'nvidia-smi -h' for help.")
	}
	known, names := gpuColumns(), fields
	if fields == "" {
		q.apps, known, names = true, appColumns, apps
	}
	for _, name := range splitList(names) {
		i := slices.IndexFunc(known, func(c column) bool { return slices.Contains(c.names, name) })
		if i < 0 {
			return nil, usagef("Field \"%s\" is not a valid field to query.\n", name)
		}
		q.columns = append(q.columns, known[i])
	}
	return q, nil
}

const help = `NVIDIA System Management Interface (simulated by kubectl-ai)

Shows the simulated GPUs of this container or node. They are scheduled and seen,
and compute nothing. Of NVIDIA's tool of this name it has:

nvidia-smi [OPTION1 [ARG1]] [OPTION2 [ARG2]] ...

    -h,   --help                 Print this and exit.
          --version              Print versions and exit.
    -L,   --list-gpus            List the GPUs and their UUIDs.
    <no arguments>               Show a summary.
          --query-gpu=           Show these fields, joined by commas.
                                 --help-query-gpu lists them.
          --query-compute-apps=  Show processes; there are none.
                                 --help-query-compute-apps lists the fields.
          --format=              Of a query: csv, and noheader, nounits.
    -i,   --id=                  Only these GPUs: indices, UUIDs or PCI bus ids.

Exit codes: 0 done, 2 an argument is wrong, 6 no such GPU, 9 no GPU state.
`

func helpFields(option string, columns []column) string {
	var b strings.Builder
	b.WriteString("Fields of " + option + ":\n\n")
	for _, c := range columns {
		b.WriteString(`"` + strings.Join(c.names, `" or "`) + "\"\n")
	}
	return b.String()
}
