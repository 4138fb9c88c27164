/* Handles, and how one gets them. */
#include <string.h>

#include "library.h"

/* A handle is an address in one of these: the place says which of the state's
 * devices it is. So a handle outlives a change of the state, and a fork. */
static const char gpu_handles[STATE_MAX_DEVICES], mig_handles[STATE_MAX_MIGS];

nvmlDevice_t gpu_handle(const struct view *v, const struct state_device *d)
{
	return (nvmlDevice_t)(uintptr_t)&gpu_handles[d - v->devices];
}

nvmlDevice_t mig_handle(const struct view *v, const struct state_mig *m)
{
	return (nvmlDevice_t)(uintptr_t)&mig_handles[m - v->migs];
}

/* position tells which of count handles that begin at first this one is. */
static bool position(nvmlDevice_t handle, const char *first, uint32_t count, uintptr_t *at)
{
	*at = (uintptr_t)handle - (uintptr_t)first;
	return *at < count;
}

/* find_target also opens the view, which stays open when it fails. A GPU that
 * is lost answers nothing, nor do its MIG devices. */
nvmlReturn_t find_target(struct target *t, nvmlDevice_t handle)
{
	uintptr_t at;
	nvmlReturn_t opened = view_initialised(&t->view);
	if (opened != NVML_SUCCESS)
		return opened;
	const struct state_header *h = t->view.header;
	if (position(handle, mig_handles, h->migs, &at) && mig_is_visible(&t->view, &t->view.migs[at])) {
		t->mig = &t->view.migs[at];
		t->gpu = &t->view.devices[t->mig->device];
	} else if (position(handle, gpu_handles, h->devices, &at) && device_is_visible(&t->view, &t->view.devices[at])) {
		t->gpu = &t->view.devices[at];
	} else {
		return NVML_ERROR_INVALID_ARGUMENT;
	}
	return t->gpu->lost ? NVML_ERROR_GPU_IS_LOST : NVML_SUCCESS;
}

nvmlReturn_t find_gpu(struct target *t, nvmlDevice_t handle)
{
	nvmlReturn_t found = find_target(t, handle);
	return found == NVML_SUCCESS && t->mig != NULL ? NVML_ERROR_NOT_SUPPORTED : found;
}

void close_target(struct target *t)
{
	view_close(&t->view);
}

API nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *deviceCount)
{
	REQUIRE(deviceCount != NULL);
	VIEW;
	*deviceCount = visible_count(&v);
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetCount(unsigned int *deviceCount)
{
	return nvmlDeviceGetCount_v2(deviceCount);
}

static nvmlReturn_t give(const struct view *v, const struct state_device *d, nvmlDevice_t *device)
{
	if (d->lost)
		return NVML_ERROR_GPU_IS_LOST;
	*device = gpu_handle(v, d);
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
	REQUIRE(device != NULL);
	VIEW;
	const struct state_device *d = visible_device(&v, index);
	REQUIRE(d != NULL);
	return give(&v, d, device);
}

API nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t *device)
{
	return nvmlDeviceGetHandleByIndex_v2(index, device);
}

API nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
	REQUIRE(uuid != NULL && device != NULL);
	VIEW;
	for (uint32_t i = 0; i < v.header->devices; i++)
		if (strcmp(uuid, v.devices[i].uuid) == 0 && device_is_visible(&v, &v.devices[i]))
			return give(&v, &v.devices[i], device);
	for (uint32_t i = 0; i < v.header->migs; i++) {
		const struct state_mig *m = &v.migs[i];
		if (strcmp(uuid, m->uuid) != 0 || !mig_is_visible(&v, m))
			continue;
		if (v.devices[m->device].lost)
			return NVML_ERROR_GPU_IS_LOST;
		*device = mig_handle(&v, m);
		return NVML_SUCCESS;
	}
	return NVML_ERROR_NOT_FOUND;
}

API nvmlReturn_t nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
	REQUIRE(serial != NULL && device != NULL);
	VIEW;
	for (uint32_t i = 0; i < v.header->devices; i++)
		if (strcmp(serial, v.devices[i].serial) == 0 && device_is_visible(&v, &v.devices[i]))
			return give(&v, &v.devices[i], device);
	return NVML_ERROR_NOT_FOUND;
}

API nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *pciBusId, nvmlDevice_t *device)
{
	struct bus_id want, have;
	REQUIRE(pciBusId != NULL && device != NULL && parse_bus_id(pciBusId, &want));
	VIEW;
	for (uint32_t i = 0; i < v.header->devices; i++) {
		const struct state_device *d = &v.devices[i];
		if (device_is_visible(&v, d) && parse_bus_id(d->pci_bus_id, &have) && have.domain == want.domain && have.bus == want.bus && have.device == want.device)
			return give(&v, d, device);
	}
	return NVML_ERROR_NOT_FOUND;
}

API nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *pciBusId, nvmlDevice_t *device)
{
	return nvmlDeviceGetHandleByPciBusId_v2(pciBusId, device);
}
