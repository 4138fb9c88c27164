package command

import (
	"cmp"
	"context"
	"os"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/mlflow"
)

// exportPatience is how long a server may take with a run: others wait behind
// it to be let go. Chosen.
const exportPatience = 30 * time.Second

// export writes a run that ended to MLflow where MLFLOW_TRACKING_URI says so,
// once. That the server does not take it changes nothing of the run: the next
// command that reads the record tries again.
func (r *runSet) export(ctx context.Context, record run.Record) run.Record {
	uri := os.Getenv("MLFLOW_TRACKING_URI")
	if uri == "" || !record.Done() || record.Exported != "" || ctx.Err() != nil {
		return record
	}
	r.passing.Lock()
	defer r.passing.Unlock()
	if r.unexported {
		return record // a server that is not there is not asked for each run
	}
	server := &mlflow.Server{
		URI: uri, Experiment: cmp.Or(os.Getenv("MLFLOW_EXPERIMENT_NAME"), record.Project), Token: os.Getenv("MLFLOW_TRACKING_TOKEN"),
		Username: os.Getenv("MLFLOW_TRACKING_USERNAME"), Password: os.Getenv("MLFLOW_TRACKING_PASSWORD"),
	}
	exporting, cancel := context.WithTimeout(ctx, exportPatience)
	defer cancel()
	id, err := server.Export(exporting, record)
	if err == nil {
		var written run.Record
		if written, err = r.store.Update(ctx, record.ID, func(record *run.Record) error { record.Exported = id; return nil }); err == nil {
			return written
		}
	}
	r.unexported = true
	r.f.Streams.Talk("run %s is not in MLflow: %v", record.ID, err)
	return record
}
