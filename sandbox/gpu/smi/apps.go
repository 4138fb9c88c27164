package smi

import (
	"strconv"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

func names(list ...string) []string { return list }

// gpuOf takes the value of a field of --query-gpu.
func gpuOf(field string) func(t *tool, r row) string {
	return func(t *tool, r row) string { return values[field](t, r.Device) }
}

// boardColumns are the first fields of each query that is not of GPUs.
var boardColumns = []column{
	{names: names("timestamp"), value: gpuOf("timestamp")},
	{names: names("gpu_name"), value: gpuOf("name")},
	{names: names("gpu_bus_id"), value: gpuOf("pci.bus_id")},
	{names: names("gpu_serial"), value: gpuOf("serial")},
	{names: names("gpu_uuid"), value: gpuOf("uuid")},
}

func withBoard(more ...column) []column {
	return append(append([]column(nil), boardColumns...), more...)
}

func noValue(*tool, row) string { return notAvailable }

// appColumns are the fields of --query-compute-apps.
var appColumns = withBoard(
	column{names: names("pid"), value: func(_ *tool, r row) string { return strconv.Itoa(r.process.PID) }},
	column{names: names("process_name", "name"), value: func(_ *tool, r row) string { return r.process.Name }},
	column{names: names("used_gpu_memory", "used_memory"), unit: "MiB", value: func(_ *tool, r row) string {
		return strconv.FormatUint(model.MiB(r.process.UsedMemoryBytes), 10)
	}},
)

// accountedColumns are the fields of --query-accounted-apps; accounting is off,
// so there is never a line.
var accountedColumns = withBoard(
	column{names: names("vgpu_instance"), value: noValue},
	column{names: names("pid"), value: noValue},
	column{names: names("gpu_utilization", "gpu_util"), unit: "%", value: noValue},
	column{names: names("mem_utilization", "mem_util"), unit: "%", value: noValue},
	column{names: names("max_memory_usage"), unit: "MiB", value: noValue},
	column{names: names("time"), unit: "ms", value: noValue},
)

// retiredColumns are the fields of --query-retired-pages: boards that remap
// rows retire none, and have a line a cause all the same.
var retiredColumns = withBoard(
	column{names: names("retired_pages.address"), value: noValue},
	column{names: names("retired_pages.timestamp"), value: noValue},
	column{names: names("retired_pages.cause"), value: func(_ *tool, r row) string { return r.cause }},
)
