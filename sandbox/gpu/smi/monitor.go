package smi

import (
	"path"
	"strconv"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// monitor is what dmon and pmon print a line of, and how often.
type monitor struct {
	head string
	line func(t *tool, d model.Device)
}

const deviceHead = "# gpu    pwr  gtemp  mtemp     sm    mem    enc    dec    jpg    ofa   mclk   pclk \n" +
	"# Idx      W      C      C      %      %      %      %      %      %    MHz    MHz \n"

const processHead = "# gpu         pid   type     sm    mem    enc    dec    jpg    ofa    command \n" +
	"# Idx           #    C/G      %      %      %      %      %      %    name \n"

func dmon(a *arguments) (options, error) {
	return watch(a, monitor{head: deviceHead, line: deviceLine})
}

func pmon(a *arguments) (options, error) {
	return watch(a, monitor{head: processHead, line: processLines})
}

func watch(a *arguments, m monitor) (options, error) {
	o := options{action: showMonitor, every: time.Second, monitor: m}
	for a.next() {
		var err error
		switch a.name {
		case "-i", "--id":
			err = o.takeIDs(a)
		case "-d", "--delay":
			o.every, err = a.period(time.Second, time.Second)
		case "-f", "--filename":
			o.file, err = a.take()
		case "-c", "--count":
			var count time.Duration
			count, err = a.period(1, 1)
			o.rounds = int(count)
		default:
			err = unknown(a.name)
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

func showMonitor(t *tool, o options) error {
	if _, err := t.choose(o.ids); err != nil {
		return err
	}
	if !o.again {
		t.print(o.monitor.head)
	}
	return t.each(o.ids, func(d model.Device) { o.monitor.line(t, d) })
}

// dash is an empty cell of a monitor.
const dash = "-"

func deviceLine(t *tool, d model.Device) {
	cells := []string{strconv.Itoa(d.PowerMilliwatts / 1000), strconv.Itoa(d.Temperature)}
	for _, field := range []string{"temperature.memory", "utilization.gpu", "utilization.memory", "utilization.encoder", "utilization.decoder", "utilization.jpeg", "utilization.ofa", "clocks.current.memory", "clocks.current.sm"} {
		value := t.value(field, d)
		if standsIn(value) {
			value = dash
		}
		cells = append(cells, value)
	}
	t.printf("%5d", d.Index)
	for _, c := range cells {
		t.printf(" %6s", c)
	}
	t.print(" \n")
}

// processLines show what each process does as far as that is known: the load
// of a GPU that one process has alone is its own.
func processLines(t *tool, d model.Device) {
	list := processes(d)
	for _, p := range list {
		sm, memory := dash, dash
		if len(list) == 1 && !d.MIGEnabled {
			sm, memory = strconv.Itoa(d.Utilization), strconv.Itoa(d.MemoryUtilization)
		}
		processLine(t, d, strconv.Itoa(p.PID), processType, sm, memory, path.Base(p.Name))
	}
	if len(list) == 0 {
		processLine(t, d, dash, dash, dash, dash, dash)
	}
}

func processLine(t *tool, d model.Device, pid, kind, sm, memory, name string) {
	t.printf("%5d %10s %5s %6s %6s %6s %6s %6s %6s    %-15s\n", d.Index, pid, kind, sm, memory, dash, dash, dash, dash, name)
}
