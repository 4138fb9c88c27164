package promote

import (
	"fmt"
	"strings"
)

// IdentityError says that a context does not lead to the cluster that the
// environment pins by the UID of its kube-system namespace, or that nobody can
// tell.
type IdentityError struct {
	Environment, Context string
	Want, Got            string // Got is "" where it cannot be read
	Err                  error  // why it cannot be read
}

func (e *IdentityError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("context %s: the cluster's identity, which environment %s pins, cannot be read: %v", e.Context, e.Environment, e.Err)
	}
	return fmt.Sprintf("context %s is another cluster than environment %s pins: kube-system has UID %s there, and %s is wanted", e.Context, e.Environment, e.Got, e.Want)
}

func (e *IdentityError) Unwrap() error { return e.Err }

// ManyClustersError says that an environment has several clusters, and the
// command works on one.
type ManyClustersError struct {
	Environment string
	Clusters    []string
}

func (e *ManyClustersError) Error() string {
	return fmt.Sprintf("environment %s has %d clusters: %s", e.Environment, len(e.Clusters), strings.Join(e.Clusters, ", "))
}

// UnknownClusterError says that an environment has no cluster of that name.
type UnknownClusterError struct {
	Environment, Cluster string
	Known                []string
}

func (e *UnknownClusterError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("environment %s has one cluster, and no name for it", e.Environment)
	}
	return fmt.Sprintf("environment %s has no cluster %s: it has %s", e.Environment, e.Cluster, strings.Join(e.Known, ", "))
}
