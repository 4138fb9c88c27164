package command

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/control"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/fault"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// gpuChange is what fail, heal and set have in common.
type gpuChange struct {
	gpuTarget
	Output string
}

func (o *gpuChange) add(cmd *cobra.Command, f *Factory) {
	o.gpuTarget.add(cmd, f)
	cmd.Flags().StringVarP(&o.Output, "output", "o", "", "output format: json, yaml or name (default: a line each GPU)")
	completeWords(cmd, "output", outputs...)
}

// check refuses what no state of a node can make right.
func (o *gpuChange) check() error {
	if o.GPU == "" {
		return explain.Usagef("--gpu is missing: the index or UUID of the GPU; see: kubectl ai sandbox gpu ls")
	}
	return checkOutput(o.Output)
}

// print shows the GPUs that were changed: the named one, or all.
func (o *gpuChange) print(f *Factory, line func(gpuItem) string, reports ...model.Report) error {
	list := viewGPUs(reports, nil, func(_ string, d model.Device) bool {
		return o.GPU == "" || o.GPU == strconv.Itoa(d.Index) || o.GPU == d.UUID
	})
	return printAs(f.Streams.Out, o.Output, list, list.names(), func(w io.Writer) error {
		for _, g := range list.Items {
			if _, err := fmt.Fprintf(w, "gpu %d of %s: %s\n", g.Index, g.Node, line(g)); err != nil {
				return err
			}
		}
		return nil
	})
}

// GPUFailOptions are the flags of `sandbox gpu fail`.
type GPUFailOptions struct {
	gpuChange
	fault.Kind
}

func newCmdGPUFail(f *Factory) *cobra.Command {
	o := &GPUFailOptions{}
	cmd := &cobra.Command{
		Use:   "fail --gpu N (--xid X | --lost | --ecc | --throttle)",
		Short: "Break a simulated GPU as real ones break",
		Long: `Break a simulated GPU. Within moments the cluster shows what it shows of a real
fault: the node's allocatable nvidia.com/gpu falls while its capacity stays, the
status of a pod that holds the GPU says Unhealthy, the Node has a Warning Event
XidCriticalError, DCGM_FI_DEV_XID_ERRORS and nvidia-smi tell the XID. Pods that hold
the GPU go on, as they do on real nodes; no new one gets it.

` + xidHelp() + `
It stays so, through restarts of the node, until: kubectl ai sandbox gpu heal.`,
		Example: `  kubectl ai sandbox gpu fail --gpu 3 --xid 79
  kubectl ai sandbox gpu fail --node ai-worker --gpu 0 --ecc`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Validate(cmd.Flags().Changed("xid")); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	o.add(cmd, f)
	cmd.Flags().IntVar(&o.XID, "xid", 0, "error number as the driver reports it")
	cmd.Flags().BoolVar(&o.Lost, "lost", false, "fallen off the bus: XID 79, and no reading answers")
	cmd.Flags().BoolVar(&o.ECC, "ecc", false, "an uncorrectable memory error: XID 48")
	cmd.Flags().BoolVar(&o.Throttle, "throttle", false, "slowed down because it is hot; it stays healthy")
	var xids []string
	for _, x := range fault.XIDs() {
		xids = append(xids, fmt.Sprintf("%d\t%s", x.Number, x.Meaning))
	}
	completeWords(cmd, "xid", xids...)
	return cmd
}

// xidHelp lists the XIDs that are described.
func xidHelp() string {
	var out, leave strings.Builder
	for _, x := range fault.XIDs() {
		text := &out
		if model.ApplicationXID(x.Number) {
			text = &leave
		}
		_, _ = fmt.Fprintf(text, "  %3d  %s\n", x.Number, x.Meaning)
	}
	return "XIDs that take a GPU out, as every other number does:\n" + out.String() +
		"XIDs that are the fault of a program; nvidia-smi and metrics alone tell them:\n" + leave.String()
}

// Validate refuses what is no fault, or several.
func (o *GPUFailOptions) Validate(xid bool) error {
	count := 0
	for _, given := range []bool{xid, o.Lost, o.ECC, o.Throttle} {
		if given {
			count++
		}
	}
	if count != 1 {
		return explain.Usagef("one of --xid, --lost, --ecc and --throttle, please")
	}
	if err := o.check(); err != nil {
		return err
	}
	return o.Kind.Check()
}

// Run breaks the GPU.
func (o *GPUFailOptions) Run(ctx context.Context, f *Factory) error {
	n, err := o.one(ctx, f)
	if err != nil {
		return err
	}
	report, err := control.Fail(ctx, n, o.GPU, o.Kind)
	if err != nil {
		return err
	}
	return o.print(f, gpuItem.health, report)
}

// GPUHealOptions are the flags of `sandbox gpu heal`.
type GPUHealOptions struct{ gpuChange }

func newCmdGPUHeal(f *Factory) *cobra.Command {
	o := &GPUHealOptions{}
	cmd := &cobra.Command{
		Use:   "heal",
		Short: "Mend simulated GPUs, and undo what was set by hand",
		Long: `Mend a simulated GPU, or without --gpu all of a node, and without --node all of the
sandbox. What "fail" broke and "set" set is undone; the node's allocatable
nvidia.com/gpu rises again and the Node has an Event GpuHealed.`,
		Example: `  kubectl ai sandbox gpu heal
  kubectl ai sandbox gpu heal --node ai-worker --gpu 3`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	o.add(cmd, f)
	return cmd
}

// Run mends the GPUs.
func (o *GPUHealOptions) Run(ctx context.Context, f *Factory) error {
	_, nodes, err := o.nodes(ctx, f)
	if err == nil && o.GPU != "" {
		err = only(nodes)
	}
	if err != nil {
		return err
	}
	reports, err := askNodes(ctx, nodes, func(ctx context.Context, n cluster.Node) (model.Report, error) { return control.Heal(ctx, n, o.GPU) })
	if err != nil {
		return err
	}
	return o.print(f, gpuItem.health, reports...)
}

// GPUSetOptions are the flags of `sandbox gpu set`.
type GPUSetOptions struct {
	gpuChange
	temperature, power, utilization int
	readings                        model.Readings
}

func newCmdGPUSet(f *Factory) *cobra.Command {
	o := &GPUSetOptions{}
	cmd := &cobra.Command{
		Use:   "set --gpu N [--temperature C] [--power W] [--utilization %]",
		Short: "Set readings of a simulated GPU by hand",
		Long: `Set readings of a simulated GPU by hand, to see what an alert or a dashboard makes of
them. They hold, whatever runs on the GPU, until: kubectl ai sandbox gpu heal.
Temperature and power follow the utilisation unless they are set too.`,
		Example: "  kubectl ai sandbox gpu set --gpu 0 --temperature 95 --utilization 100",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for name, reading := range map[string]struct {
				value  *int
				target **int
			}{
				"temperature": {&o.temperature, &o.readings.Temperature},
				"power":       {&o.power, &o.readings.Power},
				"utilization": {&o.utilization, &o.readings.Utilization},
			} {
				if cmd.Flags().Changed(name) {
					*reading.target = reading.value
				}
			}
			if o.readings == (model.Readings{}) {
				return explain.Usagef("at least one of --temperature, --power and --utilization, please")
			}
			if err := o.check(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	o.add(cmd, f)
	cmd.Flags().IntVar(&o.temperature, "temperature", 0, "of the GPU, in °C")
	cmd.Flags().IntVar(&o.power, "power", 0, "draw, in W")
	cmd.Flags().IntVar(&o.utilization, "utilization", 0, "in per cent")
	return cmd
}

// Run sets the readings.
func (o *GPUSetOptions) Run(ctx context.Context, f *Factory) error {
	n, err := o.one(ctx, f)
	if err != nil {
		return err
	}
	report, err := control.Set(ctx, n, o.GPU, o.readings)
	if err != nil {
		return err
	}
	return o.print(f, func(g gpuItem) string {
		return fmt.Sprintf("%d °C, %d W, %d %%", g.Temperature, g.Power, g.Utilization)
	}, report)
}
