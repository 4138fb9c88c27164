/* Programs that hold a GPU. A container sees its own alone: those of its
 * namespace of process ids, in which the numbers hold. */
#include <string.h>
#include <unistd.h>

#include "library.h"

/* own_namespace is the inode of this process's namespace, as the kernel writes
 * it: "pid:[4026531836]"; 0 when it cannot be read. */
static uint64_t own_namespace(void)
{
	char link[64];
	ssize_t n = readlink("/proc/self/ns/pid", link, sizeof link - 1);
	uint64_t inode = 0;
	for (ssize_t i = 0; i < n; i++)
		if (link[i] >= '0' && link[i] <= '9')
			inode = inode * 10 + (uint64_t)(link[i] - '0');
	return inode;
}

/* list collects processes in an array of one of NVML's structs. */
struct list {
	const struct view *view;
	uint64_t namespace;
	char *out;
	size_t each; /* size of the struct: the older one has no instances */
	unsigned room, count;
};

static void append(struct list *l, uint32_t first, uint32_t count, unsigned gpu_instance, unsigned compute_instance)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct state_process *p = &l->view->processes[first + i];
		if (p->namespace != l->namespace)
			continue;
		nvmlProcessInfo_t info;
		memset(&info, 0, sizeof info);
		info.pid = p->pid;
		info.usedGpuMemory = p->used_bytes;
		info.gpuInstanceId = gpu_instance;
		info.computeInstanceId = compute_instance;
		if (l->count++ < l->room && l->out != NULL)
			memcpy(l->out + (l->count - 1) * l->each, &info, l->each);
	}
}

static nvmlReturn_t compute(nvmlDevice_t device, unsigned int *infoCount, void *infos, size_t each)
{
	const unsigned none = ~0u;
	REQUIRE(infoCount != NULL);
	GPU_OR_MIG(device);
	struct list l = {.view = &t.view, .namespace = own_namespace(), .out = infos, .each = each, .room = infos != NULL ? *infoCount : 0};
	if (t.mig == NULL)
		append(&l, t.gpu->first_process, t.gpu->processes, none, none);
	for (uint32_t k = 0; k < t.gpu->migs; k++) {
		const struct state_mig *m = &t.view.migs[t.gpu->first_mig + k];
		if (t.mig == NULL ? mig_is_visible(&t.view, m) : m == t.mig)
			append(&l, m->first_process, m->processes, m->gpu_instance, m->compute_instance);
	}
	*infoCount = l.count;
	return l.count > l.room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

/* Simulated GPUs draw nothing, and no MPS daemon runs on them. */
static nvmlReturn_t no_processes(nvmlDevice_t device, unsigned int *infoCount)
{
	REQUIRE(infoCount != NULL);
	GPU_OR_MIG(device);
	*infoCount = 0;
	return NVML_SUCCESS;
}

#define PROCESSES(suffix, type)                                                                                          \
	API nvmlReturn_t nvmlDeviceGetComputeRunningProcesses##suffix(nvmlDevice_t device, unsigned int *infoCount, type *infos)    \
	{                                                                                                                \
		return compute(device, infoCount, infos, sizeof *infos);                                                 \
	}                                                                                                                \
	API nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses##suffix(nvmlDevice_t device, unsigned int *infoCount, type *infos)   \
	{                                                                                                                \
		(void)infos;                                                                                             \
		return no_processes(device, infoCount);                                                                  \
	}                                                                                                                \
	API nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses##suffix(nvmlDevice_t device, unsigned int *infoCount, type *infos) \
	{                                                                                                                \
		(void)infos;                                                                                             \
		return no_processes(device, infoCount);                                                                  \
	}

PROCESSES(, nvmlProcessInfo_v1_t)
PROCESSES(_v2, nvmlProcessInfo_v2_t)
PROCESSES(_v3, nvmlProcessInfo_t)
