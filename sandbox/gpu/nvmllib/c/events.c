/* Events: the errors that a driver reports of a GPU (XID). */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "library.h"

struct seen {
	bool watched;
	uint32_t xid;
	uint64_t since;
};

/* An event set knows which error of each of the node's GPUs it has told. It is
 * its creator's, and not for several threads at once, as NVML has it. */
struct nvmlEventSet_st {
	struct seen gpus[STATE_MAX_DEVICES];
};

static struct nvmlEventSet_st *set_of(nvmlEventSet_t set)
{
	return (struct nvmlEventSet_st *)set;
}

API nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
	REQUIRE(set != NULL);
	if (!initialised())
		return NVML_ERROR_UNINITIALIZED;
	*set = (nvmlEventSet_t)calloc(1, sizeof(struct nvmlEventSet_st));
	return *set != NULL ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

API nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set)
{
	if (!initialised())
		return NVML_ERROR_UNINITIALIZED;
	free(set_of(set));
	return NVML_SUCCESS;
}

/* Only what comes from now on is an event. */
API nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long eventTypes, nvmlEventSet_t set)
{
	REQUIRE(set != NULL);
	WHOLE_GPU(device);
	if (eventTypes & ~(unsigned long long)nvmlEventTypeXidCriticalError)
		return NVML_ERROR_NOT_SUPPORTED;
	if (eventTypes)
		set_of(set)->gpus[t.gpu - t.view.devices] = (struct seen){true, t.gpu->xid, t.gpu->fault_since};
	return NVML_SUCCESS;
}

/* next returns the next event, or NVML_ERROR_TIMEOUT when there is none yet. */
static nvmlReturn_t next(struct nvmlEventSet_st *set, nvmlEventData_t *data)
{
	VIEW;
	for (uint32_t i = 0; i < v.header->devices; i++) {
		const struct state_device *d = &v.devices[i];
		struct seen *s = &set->gpus[i];
		if (!s->watched || (s->xid == d->xid && s->since == d->fault_since))
			continue;
		s->xid = d->xid;
		s->since = d->fault_since;
		if (d->xid == 0) /* it was healed */
			continue;
		data->device = gpu_handle(&v, d);
		data->eventType = nvmlEventTypeXidCriticalError;
		data->eventData = d->xid;
		return NVML_SUCCESS;
	}
	return NVML_ERROR_TIMEOUT;
}

static long long milliseconds(void)
{
	struct timespec now = {0};
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The file is looked at twenty times a second: a watch of it would need a
 * descriptor, which programs that fork lose or share. */
static nvmlReturn_t wait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
	enum { pause = 50 };
	REQUIRE(set != NULL && data != NULL);
	long long end = milliseconds() + timeoutms;
	for (;;) {
		nvmlReturn_t r = next(set_of(set), data);
		long long left = end - milliseconds();
		if (r != NVML_ERROR_TIMEOUT || left <= 0)
			return r;
		poll(NULL, 0, left < pause ? (int)left : pause);
	}
}

API nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
	nvmlReturn_t r = wait(set, data, timeoutms);
	if (r == NVML_SUCCESS)
		data->gpuInstanceId = data->computeInstanceId = ~0u; /* of the whole GPU */
	return r;
}

/* The first version's struct ends before the instances. */
API nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
	return wait(set, data, timeoutms);
}
