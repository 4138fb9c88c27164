package explain

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubectl-ai/kubectl-ai/plugin/run/why"
)

// admissionEntries are what a server says of objects that it does not take.
// It says most of that as "forbidden", which is not about who asks.
var admissionEntries = []Entry{
	{
		ID: "APPLY-009", Exit: ExitFailed,
		Match: func(err error) bool { _, is := refusal(err); return is },
		Next:  func(err error) string { cause, _ := refusal(err); return cause.Next },
		Long: `The API server knows you and lets you make the object, and something in it refuses this
one: a quota, a LimitRange, Pod Security, an admission policy or a webhook. The message
names it.`,
	},
	{
		ID: "APPLY-010", Exit: ExitPrecondition,
		Match: func(err error) bool {
			return As[*TerminatingError]()(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
		},
		Next: Text("wait until it is gone, or see what holds it: kubectl get namespace NAMESPACE -o jsonpath={.status.conditions}; or name another one with -n"),
		Long: `The namespace was deleted and is not gone yet, so that nothing new can be made there. Mostly
an object in it has a finalizer whose controller does not run any more; the conditions
of the namespace name it.`,
	},
	{
		ID: "APPLY-011", Exit: ExitFailed,
		Match: func(err error) bool { return apierrors.IsInvalid(err) || apierrors.IsRequestEntityTooLargeError(err) },
		Next:  Text("correct the field that is named in the bundle; kubectl ai render shows what is applied, kubectl explain KIND what may be there"),
		Long:  "The API server read the object and finds a value in it that cannot be: a field out of its range, a name that is none, a Secret or ConfigMap above 1 MiB.",
	},
}

// refusal is what refuses an object that its maker may make.
func refusal(err error) (why.Cause, bool) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return why.Cause{}, false
	}
	namespace := "NAMESPACE"
	return why.Denial(status.Status().Message, namespace)
}

// connectionEntries come after what is more specific of a cluster.
var connectionEntries = []Entry{
	{
		ID: "CTX-006", Exit: ExitPrecondition, Match: As[*tls.CertificateVerificationError](),
		Cause: Text("the API server shows a certificate that this kubeconfig does not trust"),
		Next:  Text("kubectl config view --minify; for a sandbox that was made anew: kind export kubeconfig --name NAME; and look at this machine's clock"),
		Long: `The certificate of the API server is signed by another authority than certificate-authority
of the kubeconfig, is made for another name, or is not valid at this machine's time.
Mostly the cluster was made anew under its old name, or a proxy stands between.`,
	},
	{
		ID: "CTX-007", Exit: ExitPermission, Match: apierrors.IsUnauthorized,
		Cause: Text("the API server does not know who you are: the token or certificate is wrong, or has expired"),
		Next:  Text("log in again as your cluster wants it; kubectl config view --minify shows as whom this context goes"),
		Long:  "Credentials of the kubeconfig were refused. Tokens of service accounts live for an hour, client certificates for a year; this machine's clock counts too.",
	},
}

// hostEntries are about this machine's files. They are asked last.
var hostEntries = []Entry{
	{
		ID: "HOST-001", Exit: ExitPrecondition,
		Match: func(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) },
		Cause: Text("a disk of this machine is full"),
		Next:  Text("df -h shows which; kubectl ai keeps its own files in $XDG_CACHE_HOME or ~/.cache, below kubectl-ai, and those may be removed"),
		Long:  "A file could not be written. What was there before is as it was: files are written beside their place, and moved there when they are whole.",
	},
	{
		ID: "HOST-002", Exit: ExitPrecondition,
		Match: func(err error) bool { return errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) },
		Next:  Text("name another folder, or set XDG_CACHE_HOME to one that can be written to"),
		Long:  "A file or folder of this machine may not be read or written by you, or its file system is read-only. The message names it.",
	},
}
