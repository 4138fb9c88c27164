package smi

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the arguments, checked.
type options struct {
	action   func(t *tool, o options) error
	help     bool
	anywhere bool // the action needs no GPU
	ids      []string
	query    query
	words    []string // of -d, nil: all
	xml      bool
	dtd      bool
	file     string
	every    time.Duration // 0: once
	rounds   int           // that are left; 0 or less: until interrupted
	again    bool          // not the first one
	monitor  monitor
}

// later are options and commands of the real tool that are not simulated.
var later = []string{
	"-u", "--unit", "-B", "--list-excluded-gpus", "-col", "--columns", "--query-supported-clocks", "--query-remapped-rows",
	"-pm", "--persistence-mode", "-e", "--ecc-config", "-p", "--reset-ecc-errors", "-c", "--compute-mode", "--gom", "-r", "--gpu-reset",
	"-pl", "--power-limit", "-ac", "--applications-clocks", "-rac", "-lgc", "--lock-gpu-clocks", "-rgc", "-lmc", "-rmc", "-am", "-caa", "-mig", "--multi-instance-gpu",
	"daemon", "replay", "clocks", "encodersessions", "fbcsessions", "drain", "vgpu", "c2c", "rusd", "prm", "soc", "base-clocks", "event-log", "cper",
	"compute-policy", "boost-slider", "power-hint", "conf-compute", "power-smoothing", "power-profiles", "gpm", "pci",
}

// displayWords are those of -d.
var displayWords = []string{
	"MEMORY", "UTILIZATION", "ECC", "TEMPERATURE", "POWER", "CLOCK", "COMPUTE", "PIDS", "PERFORMANCE", "SUPPORTED_CLOCKS",
	"PAGE_RETIREMENT", "ACCOUNTING", "ENCODER_STATS", "SUPPORTED_GPU_TARGET_TEMP", "VOLTAGE", "FBC_STATS", "ROW_REMAPPER",
	"GSP_FIRMWARE_VERSION", "POWER_SMOOTHING", "POWER_PROFILES",
}

// defaultLoop is the period of -l without a number.
const defaultLoop = 5 * time.Second

// arguments are the words that are not read yet.
type arguments struct {
	left        []string
	name, value string
	inline      bool // the value came with the name, behind "="
}

// next reads an option; a value may follow it as the next argument or after
// "=".
func (a *arguments) next() bool {
	if len(a.left) == 0 {
		return false
	}
	a.name, a.value, a.inline = strings.Cut(a.left[0], "=")
	a.left = a.left[1:]
	return true
}

func (a *arguments) take() (string, error) {
	if !a.inline {
		if len(a.left) == 0 {
			return "", usagef("ERROR: Option %s is missing its value. Please run 'nvidia-smi -h' for help.", a.name)
		}
		a.value, a.left = a.left[0], a.left[1:]
	}
	return a.value, nil
}

// period takes a number of so long units, or what is usual when none is there.
func (a *arguments) period(unit, usual time.Duration) (time.Duration, error) {
	if !a.inline {
		if len(a.left) == 0 || strings.HasPrefix(a.left[0], "-") {
			return usual, nil
		}
		a.value, a.left = a.left[0], a.left[1:]
	}
	n, err := strconv.Atoi(a.value)
	if err != nil || n < 1 {
		return 0, usagef("ERROR: Option %s: \"%s\" is not a positive number. Please run 'nvidia-smi -h' for help.", a.name, a.value)
	}
	return time.Duration(n) * unit, nil
}

// parse reads arguments as the real tool does.
func parse(args []string) (options, error) {
	if len(args) > 0 {
		if command, ok := commands[args[0]]; ok {
			return command(&arguments{left: args[1:]})
		}
	}
	o := options{action: showTable}
	a := &arguments{left: args}
	var (
		format string
		styled bool
		err    error
	)
	for err == nil && a.next() {
		switch a.name {
		case "-h", "--help":
			o.help = true
		case "--version":
			o.action = showVersion
		case "-L", "--list-gpus":
			o.action = showList
		case "-q", "--query":
			o.action = showReport
		case "-x", "--xml-format":
			o.xml = true
		case "--dtd":
			o.dtd = true
		case "--format":
			format, err = a.take()
			styled = true
		default:
			err = o.option(a)
		}
	}
	if err != nil || o.help {
		return o, err
	}
	return o, o.check(format, styled)
}

// option reads the options that take values.
func (o *options) option(a *arguments) (err error) {
	switch a.name {
	case "-i", "--id":
		err = o.takeIDs(a)
	case "-f", "--filename":
		o.file, err = a.take()
	case "-d", "--display":
		var text string
		if text, err = a.take(); err == nil {
			err = o.display(text)
		}
	case "-l", "--loop":
		o.every, err = a.period(time.Second, defaultLoop)
	case "-lms", "--loop-ms":
		o.every, err = a.period(time.Millisecond, defaultLoop)
	default:
		return o.ask(a)
	}
	return err
}

func (o *options) takeIDs(a *arguments) error {
	value, err := a.take()
	o.ids = append(o.ids, splitList(value)...)
	return err
}

func (o *options) display(text string) error {
	o.words = []string{}
	for _, word := range splitList(text) {
		if !slices.Contains(displayWords, strings.ToUpper(word)) {
			return usagef("ERROR: \"%s\" is not a display type. Please run 'nvidia-smi -h' for help.", word)
		}
		o.words = append(o.words, strings.ToUpper(word))
	}
	return nil
}

// ask reads --query-… and --help-query-….
func (o *options) ask(a *arguments) error {
	name, helped := strings.CutPrefix(a.name, "--help-")
	if helped {
		name = "--" + name
	}
	at := slices.IndexFunc(kinds, func(k kind) bool { return k.option == name })
	switch {
	case at < 0:
		return unknown(a.name)
	case helped:
		o.action, o.anywhere, o.query.kind = showFields, true, kinds[at]
		return nil
	case o.query.fields != nil:
		return usagef("ERROR: Options %s and %s exclude each other. Please run 'nvidia-smi -h' for help.", o.query.kind.option, a.name)
	}
	fields, err := a.take()
	o.action, o.query.kind, o.query.fields = showQuery, kinds[at], splitList(fields)
	return err
}

func (o *options) check(format string, styled bool) error {
	switch {
	case o.query.fields != nil:
		return o.query.style(format)
	case styled:
		return usagef("ERROR: Option --format is for queries such as --query-gpu. Please run 'nvidia-smi -h' for help.")
	case o.dtd && !o.xml:
		o.action, o.anywhere = showDTD, true
	case o.xml:
		o.action = showReport
	}
	return nil
}

func unknown(name string) error {
	if slices.Contains(later, name) {
		return usagef("%s is an option of nvidia-smi that is not simulated. Run 'nvidia-smi -h' for those that are.", name)
	}
	return usagef("ERROR: Option %s is not recognized. Please run 'nvidia-smi -h' for help.", name)
}

func splitList(s string) []string {
	parts := strings.Split(s, ",")
	for i, p := range parts {
		parts[i] = strings.TrimSpace(p)
	}
	return parts
}

// style reads --format.
func (q *query) style(format string) error {
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
			return usagef("ERROR: \"%s\" is not a format. Formats are csv, noheader and nounits.", word)
		}
	}
	if !csv {
		return usagef("ERROR: A query needs --format=csv. Please run 'nvidia-smi -h' for help.")
	}
	return nil
}
