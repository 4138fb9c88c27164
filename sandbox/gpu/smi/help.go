package smi

import "strings"

const help = `NVIDIA System Management Interface (simulated by kubectl-ai)

Shows the simulated GPUs of this container or node. They are scheduled and seen,
and compute nothing. Of NVIDIA's tool of this name it has:

nvidia-smi [OPTION1 [ARG1]] [OPTION2 [ARG2]] ...

    -h,   --help                 Print this and exit.
          --version              Print versions and exit.
    -L,   --list-gpus            List the GPUs and their MIG devices.
    <no arguments>               Show a summary.
    -q,   --query                Show all that is known of the GPUs.
    -x,   --xml-format           The same as XML; --dtd describes its elements.
    -d,   --display=             Of -q only these, joined by commas: MEMORY,
                                 UTILIZATION, ECC, TEMPERATURE, POWER, CLOCK,
                                 COMPUTE, PIDS, PERFORMANCE, SUPPORTED_CLOCKS,
                                 PAGE_RETIREMENT, ACCOUNTING, ENCODER_STATS,
                                 SUPPORTED_GPU_TARGET_TEMP, VOLTAGE, FBC_STATS,
                                 ROW_REMAPPER, GSP_FIRMWARE_VERSION,
                                 POWER_SMOOTHING, POWER_PROFILES.

          --query-gpu=           Show these fields, joined by commas.
          --query-compute-apps=  The same of this container's processes,
          --query-accounted-apps=   of processes that have ended (none),
          --query-retired-pages=    of memory pages.
                                 --help-query-gpu and so on list the fields.
          --format=              Of a query: csv, and noheader, nounits.

    -i,   --id=                  Only these GPUs: indices, UUIDs, PCI bus ids, or
                                 UUIDs of MIG devices.
    -f,   --filename=            Write to this file.
    -l,   --loop=                Again every so many seconds (5).
    -lms, --loop-ms=             Again every so many milliseconds.

nvidia-smi mig -lgi | -lci | -lgip | -lgipp
                                 List MIG instances, profiles, placements.
nvidia-smi topo -m               How the GPUs are joined.
nvidia-smi nvlink -s             The state of their NVLinks.
nvidia-smi pmon, dmon [-c N] [-d SECONDS]
                                 A line a process or GPU every second.

Exit codes: 0 done, 2 an argument is wrong, 6 no such GPU, 9 no GPU state,
15 a GPU has fallen off the bus.
`

// showFields lists the fields of a query.
func showFields(t *tool, o options) error {
	t.print("List of valid properties to query for the switch \"" + o.query.kind.option + "\":\n")
	for _, c := range o.query.kind.of(t.form) {
		t.print("\n\"" + strings.Join(c.names, `" or "`) + "\"\n")
		if c.unit != "" {
			t.print("In " + c.unit + ".\n")
		}
	}
	t.print("\n")
	return nil
}
