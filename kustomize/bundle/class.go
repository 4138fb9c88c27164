package bundle

import (
	"regexp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Class is what kind of thing a difference is in.
type Class string

// The classes. Environments are there to differ in the first ones; a
// difference in the others means that what was tried is not what will run.
const (
	ClassScale     Class = "scale"
	ClassResources Class = "resources"
	ClassImages    Class = "images"
	ClassStorage   Class = "storage"
	ClassPlacement Class = "placement"
	ClassNames     Class = "names"
	ClassHosts     Class = "hosts"

	ClassCommand     Class = "command"
	ClassEnvironment Class = "environment"
	ClassMounts      Class = "mounts"
	ClassSecurity    Class = "security"
	ClassNetwork     Class = "network"
	ClassObject      Class = "object" // one side alone has it
	ClassOther       Class = "other"
)

// classes says which fields are of which class; the first that fits counts.
var classes = []struct {
	class    Class
	expected bool
	kinds    *regexp.Regexp // nil: all
	fields   *regexp.Regexp
}{
	{ClassNames, true, nil, regexp.MustCompile(`^metadata\.namespace$|^metadata\.name$|\.namespaces?$`)},
	{ClassPlacement, true, nil, regexp.MustCompile(`\.(nodeSelector|tolerations|affinity|topologySpreadConstraints|schedulerName|priorityClassName|runtimeClassName|nodeName)\b|kueue\.x-k8s\.io/queue-name`)},
	{ClassImages, true, nil, regexp.MustCompile(`\.(image|imagePullPolicy|imagePullSecrets)(\[.*)?$`)},
	{ClassStorage, true, regexp.MustCompile(`^PersistentVolumeClaim$`), regexp.MustCompile(`^spec\.`)},
	{ClassStorage, true, nil, regexp.MustCompile(`\.(storageClassName|volumeClaimTemplates)\b|\.emptyDir\.(sizeLimit|medium)$`)},
	{ClassResources, true, nil, regexp.MustCompile(`\.resources\.(requests|limits|claims)\b`)},
	{ClassResources, true, regexp.MustCompile(`^(ResourceQuota|LimitRange)$`), regexp.MustCompile(`^spec\.`)},
	{ClassScale, true, nil, regexp.MustCompile(`\.(replicas|minReplicas|maxReplicas|parallelism|completions|numNodes|numProcPerNode|minAvailable|maxUnavailable|maxSurge)$`)},
	{ClassHosts, true, regexp.MustCompile(`^(Ingress|HTTPRoute|Gateway|TLSRoute|GRPCRoute)$`), regexp.MustCompile(`\.(host|hosts|hostname|hostnames|tls|ingressClassName|gatewayClassName|parentRefs)\b`)},

	{ClassCommand, false, nil, regexp.MustCompile(`\.(command|args|workingDir)$`)},
	{ClassMounts, false, nil, regexp.MustCompile(`\.(volumes|volumeMounts|volumeDevices)\b`)},
	{ClassEnvironment, false, nil, regexp.MustCompile(`\.(env|envFrom)\b`)},
	{ClassEnvironment, false, regexp.MustCompile(`^(ConfigMap|Secret)$`), regexp.MustCompile(`^(data|stringData|binaryData)\b`)},
	{ClassSecurity, false, nil, regexp.MustCompile(`\.(securityContext|serviceAccountName|automountServiceAccountToken|hostNetwork|hostPID|hostIPC)\b`)},
	{ClassSecurity, false, regexp.MustCompile(`^(Role|ClusterRole|RoleBinding|ClusterRoleBinding|ServiceAccount|NetworkPolicy)$`), regexp.MustCompile(`^(rules|subjects|roleRef|aggregationRule|spec)\b`)},
	{ClassSecurity, false, regexp.MustCompile(`^Namespace$`), regexp.MustCompile(`pod-security\.kubernetes\.io`)},
	{ClassNetwork, false, nil, regexp.MustCompile(`\.ports\b`)},
	{ClassNetwork, false, regexp.MustCompile(`^(Service|Ingress|HTTPRoute|Gateway)$`), regexp.MustCompile(`^spec\b`)},
}

func classOf(obj *unstructured.Unstructured, field string) (Class, bool) {
	for _, c := range classes {
		if (c.kinds == nil || c.kinds.MatchString(obj.GetKind())) && c.fields.MatchString(field) {
			return c.class, c.expected
		}
	}
	return ClassOther, false
}
