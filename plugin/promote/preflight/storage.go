package preflight

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// claim is a volume claim, or the template of one in a StatefulSet.
type claim struct {
	object *unstructured.Unstructured
	name   string
	spec   map[string]any
	// each says that pods of a StatefulSet get one each.
	each bool
}

// claims lists the claims that the promotion makes.
func (c *Check) claims(v *view) []claim {
	var out []claim
	for _, obj := range c.newClaims(v) {
		spec, _, _ := unstructured.NestedMap(obj.Object, "spec")
		out = append(out, claim{object: obj, name: obj.GetName(), spec: spec})
	}
	for _, obj := range c.Objects {
		if obj.GetKind() != "StatefulSet" || !c.isNew(v, obj) {
			continue
		}
		templates, _, _ := unstructured.NestedSlice(obj.Object, "spec", "volumeClaimTemplates")
		for _, item := range templates {
			m, _ := item.(map[string]any)
			spec, _, _ := unstructured.NestedMap(m, "spec")
			name, _, _ := unstructured.NestedString(m, "metadata", "name")
			out = append(out, claim{object: obj, name: name, spec: spec, each: true})
		}
	}
	return out
}

// oneNode are provisioners whose volumes one node at a time can mount: block
// devices and folders of a node.
var oneNode = []string{
	"rancher.io/local-path", "kubernetes.io/no-provisioner", "ebs.csi.aws.com", "kubernetes.io/aws-ebs", "pd.csi.storage.gke.io", "kubernetes.io/gce-pd",
	"disk.csi.azure.com", "kubernetes.io/azure-disk", "dobs.csi.digitalocean.com", "csi.hetzner.cloud", "topolvm.io", "local.csi.openebs.io",
}

// storage looks at the class of a claim and at its access modes.
func (c *Check) storage(v *view, cl claim) Report {
	var report Report
	modes, _, _ := unstructured.NestedStringSlice(cl.spec, "accessModes")
	if pods := c.podsOf(v, cl); !cl.each && pods > 1 && len(modes) > 0 && !slices.Contains(modes, string(corev1.ReadWriteMany)) && !slices.Contains(modes, string(corev1.ReadOnlyMany)) {
		if slices.Contains(modes, string(corev1.ReadWriteOncePod)) {
			report.add(CheckReferences, Error, cl.object, "use ReadWriteMany, or a claim a pod", "%d pods mount claim %s, and ReadWriteOncePod lets one", pods, cl.name)
		} else if len(v.nodes) > 1 {
			report.add(CheckReferences, Warning, cl.object, "use ReadWriteMany, or keep the pods together by affinity", "%d pods mount claim %s, and ReadWriteOnce keeps them on one node", pods, cl.name)
		}
	}
	if name, _ := cl.spec["volumeName"].(string); name != "" || !v.storageKnown {
		return report // bound by hand
	}
	name, named := cl.spec["storageClassName"].(string)
	if named && name == "" {
		return report // bound to what is there
	}
	class, found := c.storageClass(v, name)
	switch {
	case !found && name == "":
		report.add(CheckReferences, Error, cl.object, "name a storageClassName in the overlay; kubectl get storageclasses", "claim %s names no StorageClass, and the cluster has no default one", cl.name)
	case !found:
		report.add(CheckReferences, Error, cl.object, "kubectl get storageclasses", "StorageClass %s of claim %s does not exist", name, cl.name)
	case slices.Contains(oneNode, class.Provisioner) && slices.ContainsFunc(modes, func(m string) bool { return strings.HasSuffix(m, "Many") }):
		report.add(CheckReferences, Warning, cl.object, "use a class for shared files, such as NFS or CephFS", "claim %s wants %s, and provisioner %s of StorageClass %s gives volumes to one node at a time", cl.name, strings.Join(modes, ", "), class.Provisioner, class.Name)
	}
	return report
}

// storageClass finds a class by name, "" the default one, in the bundle too.
func (c *Check) storageClass(v *view, name string) (storagev1.StorageClass, bool) {
	all := slices.Clone(v.storageClasses)
	for _, obj := range c.Objects {
		if obj.GetKind() == "StorageClass" {
			class := storagev1.StorageClass{}
			class.Name, class.Annotations = obj.GetName(), obj.GetAnnotations()
			class.Provisioner, _, _ = unstructured.NestedString(obj.Object, "provisioner")
			all = append(all, class)
		}
	}
	for _, class := range all {
		if class.Name == name && name != "" || name == "" && class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
			return class, true
		}
	}
	return storagev1.StorageClass{}, false
}

// podsOf is how many pods mount a claim.
func (c *Check) podsOf(v *view, cl claim) int {
	n := 0
	for i := range v.pods {
		p := &v.pods[i]
		if p.namespace() != cl.object.GetNamespace() {
			continue
		}
		for _, volume := range p.spec.Volumes {
			if s := volume.PersistentVolumeClaim; s != nil && s.ClaimName == cl.name {
				n += p.pods
			}
		}
	}
	return n
}
