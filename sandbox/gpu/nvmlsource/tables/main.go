// tables prints go-nvml's MIG profiles as package mig embeds them:
//
//	go run ./sandbox/gpu/nvmlsource/tables >sandbox/gpu/mig/tables.json
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nvmlsource"
)

func main() {
	tables, err := nvmlsource.Tables()
	if err == nil {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", " ")
		err = e.Encode(tables)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tables:", err)
		os.Exit(1)
	}
}
