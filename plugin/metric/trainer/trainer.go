// Package trainer is the progress endpoint of Kubeflow Trainer for plain Jobs
// (KEP-2779): code posts how far it is and how good, in the form in which it
// posts it to the controller of its TrainJob in production. What knows that
// endpoint, such as the callback of Hugging Face's transformers, reports in a
// sandbox without a change.
//
// The code finds the server's address, the certificate of its authority and a
// token by three environment variables. The server keeps what it was told as
// lines of metrics (package metric) with their times, the log of a pod in all
// but its place: a ConfigMap of the run. So what was reported outlives server
// and pods, and is read by whoever reads logs.
//
// A token is good for one Job: the HMAC-SHA256 of its name by a key that the
// server and who makes runs know. Trainer checks a ServiceAccount's token for
// the TrainJob's audience instead, which takes rights on the whole cluster
// (TokenReview) or a reader of JSON Web Tokens; to the code both are a file.
package trainer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net"
)

// What code is told by, as Trainer names it: the address, and the paths of two
// files.
const (
	URLVariable   = "KUBEFLOW_TRAINER_SERVER_URL"
	CAVariable    = "KUBEFLOW_TRAINER_SERVER_CA_CERT"
	TokenVariable = "KUBEFLOW_TRAINER_SERVER_TOKEN"
)

// MountPath is where containers find the files, and their names.
const (
	MountPath = "/var/run/secrets/kubeflow/trainer"
	CAFile    = "ca.crt"
	TokenFile = "token"
)

// Component is the name of the catalogue's component, and of its objects.
const Component = "progress"

// port is that of the Service.
const port = "8443"

// SecretName is the Secret in which a server keeps its Identity.
const SecretName = "progress-server"

// JobLabel is on the ConfigMap that keeps what a Job reported; its value is
// the Job's name.
const JobLabel = "kubectl-ai.dev/reports-of"

// ReportsKey is the key in it.
const ReportsKey = "reports"

// ReportsName returns the name of the ConfigMap that keeps what a Job reported.
func ReportsName(job string) string { return job + "-reports" }

// Host is the name by which pods of a namespace reach its server.
func Host(namespace string) string { return Component + "." + namespace + ".svc" }

// URL returns where the code of a Job posts to.
func URL(namespace, job string) string {
	return "https://" + net.JoinHostPort(Host(namespace), port) + path(namespace, job)
}

// path is Trainer's own.
func path(namespace, job string) string {
	return "/apis/trainer.kubeflow.org/v1alpha1/namespaces/" + namespace + "/trainjobs/" + job + "/status"
}

// Token returns the token of a Job, by the key of an Identity.
func Token(key []byte, namespace, job string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(namespace + "/" + job)) // neither has a slash
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
