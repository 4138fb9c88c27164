/* How GPUs lie to each other and to the processors. */
#include <sched.h>
#include <string.h>

#include "library.h"

enum { word_bits = 8 * sizeof(unsigned long) };

/* The processors that the process may use: they are all near a simulated GPU,
 * and programs hand the answer to sched_setaffinity, which refuses others. */
API nvmlReturn_t nvmlDeviceGetCpuAffinityWithinScope(nvmlDevice_t device, unsigned int cpuSetSize, unsigned long *cpuSet, nvmlAffinityScope_t scope)
{
	unsigned long allowed[8192 / word_bits] = {0}, any = 0;
	REQUIRE(cpuSet != NULL && cpuSetSize > 0 && scope <= NVML_AFFINITY_SCOPE_SOCKET);
	WHOLE_GPU(device);
	if (sched_getaffinity(0, sizeof allowed, (cpu_set_t *)allowed) < 0)
		return NVML_ERROR_OPERATING_SYSTEM;
	for (unsigned i = 0; i < cpuSetSize; i++) {
		cpuSet[i] = i < sizeof allowed / sizeof *allowed ? allowed[i] : 0;
		any |= cpuSet[i];
	}
	return any != 0 ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE;
}

API nvmlReturn_t nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned int cpuSetSize, unsigned long *cpuSet)
{
	return nvmlDeviceGetCpuAffinityWithinScope(device, cpuSetSize, cpuSet, 0);
}

API nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned int nodeSetSize, unsigned long *nodeSet, nvmlAffinityScope_t scope)
{
	REQUIRE(nodeSet != NULL && nodeSetSize > 0 && scope <= NVML_AFFINITY_SCOPE_SOCKET);
	WHOLE_GPU(device);
	if (t.gpu->numa_node / word_bits >= nodeSetSize)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	memset(nodeSet, 0, nodeSetSize * sizeof *nodeSet);
	nodeSet[t.gpu->numa_node / word_bits] = 1UL << t.gpu->numa_node % word_bits;
	return NVML_SUCCESS;
}

/* joined tells whether NVLink joins two GPUs: groups of boards in a row. */
static bool joined(const struct state_device *a, const struct state_device *b)
{
	return nvlinks(a) > 0 && nvlinks(b) > 0 && a->index / a->nvlink_group == b->index / b->nvlink_group;
}

/* One GPU's target in a scope of its own: two TARGETs in one function collide. */
static nvmlReturn_t copy_gpu(nvmlDevice_t device, struct state_device *out)
{
	WHOLE_GPU(device);
	*out = *t.gpu;
	return NVML_SUCCESS;
}

static nvmlReturn_t copy_both(nvmlDevice_t device1, nvmlDevice_t device2, struct state_device *a, struct state_device *b)
{
	nvmlReturn_t r = copy_gpu(device1, a);
	return r == NVML_SUCCESS ? copy_gpu(device2, b) : r;
}

API nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t device1, nvmlDevice_t device2, nvmlGpuTopologyLevel_t *pathInfo)
{
	struct state_device a, b;
	REQUIRE(pathInfo != NULL);
	nvmlReturn_t r = copy_both(device1, device2, &a, &b);
	if (r != NVML_SUCCESS)
		return r;
	if (a.index == b.index)
		*pathInfo = NVML_TOPOLOGY_INTERNAL;
	else
		*pathInfo = a.numa_node == b.numa_node ? NVML_TOPOLOGY_NODE : NVML_TOPOLOGY_SYSTEM;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t device1, nvmlDevice_t device2, nvmlGpuP2PCapsIndex_t p2pIndex, nvmlGpuP2PStatus_t *p2pStatus)
{
	struct state_device a, b;
	REQUIRE(p2pStatus != NULL && (unsigned)p2pIndex < NVML_P2P_CAPS_INDEX_UNKNOWN);
	nvmlReturn_t r = copy_both(device1, device2, &a, &b);
	if (r != NVML_SUCCESS)
		return r;
	*p2pStatus = p2pIndex != NVML_P2P_CAPS_INDEX_NVLINK || joined(&a, &b) ? NVML_P2P_STATUS_OK : NVML_P2P_STATUS_NOT_SUPPORTED;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link, nvmlEnableState_t *isActive)
{
	REQUIRE(isActive != NULL);
	WHOLE_GPU(device);
	if (nvlinks(t.gpu) == 0)
		return NVML_ERROR_NOT_SUPPORTED;
	REQUIRE(link < nvlinks(t.gpu));
	*isActive = NVML_FEATURE_ENABLED;
	return NVML_SUCCESS;
}
