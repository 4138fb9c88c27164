// flux applies an overlay with the library of Flux's controllers, as
// their source has it: a peer of the promotion benchmark. It is a module of
// its own, so that its dependencies are none of kubectl ai's.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	log.SetLogger(logr.Discard())
	overlay := flag.String("k", "", "kustomization of the objects")
	kubeContext := flag.String("context", "", "context of the kubeconfig")
	concurrency := flag.Int("concurrency", 16, "objects that are asked for at once")
	flag.Parse()
	if err := run(context.Background(), *overlay, *kubeContext, *concurrency); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, overlay, kubeContext string, concurrency int) error {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: kubeContext}).ClientConfig()
	if err != nil {
		return err
	}
	// As ours: nothing but the server holds it back.
	config.QPS, config.UserAgent = -1, "flux-ssa"
	c, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), overlay)
	if err != nil {
		return err
	}
	rendered, err := resources.AsYaml()
	if err != nil {
		return err
	}
	objects, err := utils.ReadObjects(bytes.NewReader(rendered))
	if err != nil {
		return err
	}
	manager := ssa.NewResourceManager(c, nil, ssa.Owner{Field: "flux", Group: "bench"})
	manager.SetConcurrency(concurrency)
	changes, err := manager.ApplyAll(ctx, objects, ssa.DefaultApplyOptions())
	if err != nil {
		return err
	}
	count := map[ssa.Action]int{}
	for _, e := range changes.Entries {
		count[e.Action]++
	}
	fmt.Println(count)
	return nil
}
