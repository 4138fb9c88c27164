package workload

import "strings"

// What code is told of the project it belongs to, as JSON.
const (
	DataContract    = "DATA_CONTRACT"    // what a sample is, and how samples are split
	MetricsContract = "METRICS_CONTRACT" // what has to be reached
)

// TellContract gives containers one of the project's contracts where the
// bundle does not set it; "" gives nothing. What reads as a reference to
// another variable is escaped (core/v1, EnvVar.value).
func TellContract(targets []Target, variable, contract string) {
	if contract == "" {
		return
	}
	for _, t := range targets {
		e := environmentOf(t.Container)
		e.value(variable, strings.ReplaceAll(contract, "$", "$$"))
		t.Container.fields["env"] = e.list
	}
}
