package workload

import "strings"

// ContractVariable tells code what the project says of its data, as JSON.
const ContractVariable = "DATA_CONTRACT"

// TellContract gives containers the contract about the project's data where
// the bundle does not set one; "" gives nothing. What reads as a reference to
// another variable is escaped (core/v1, EnvVar.value).
func TellContract(targets []Target, contract string) {
	if contract == "" {
		return
	}
	for _, t := range targets {
		e := environmentOf(t.Container)
		e.value(ContractVariable, strings.ReplaceAll(contract, "$", "$$"))
		t.Container.fields["env"] = e.list
	}
}
