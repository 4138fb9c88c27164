/* What a device is: names and numbers that do not change. */
#include <string.h>

#include "library.h"

static nvmlReturn_t put_joined(char *out, unsigned length, const char *const parts[], int count)
{
	size_t n = 0;
	REQUIRE(out != NULL);
	for (int i = 0; i < count; i++)
		n += strlen(parts[i]);
	if (n + 1 > length)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	for (int i = 0; i < count; i++) {
		memcpy(out, parts[i], strlen(parts[i]));
		out += strlen(parts[i]);
	}
	*out = 0;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length)
{
	GPU_OR_MIG(device);
	if (t.mig == NULL)
		return put_text(name, length, t.gpu->name);
	return put_joined(name, length, (const char *const[]){t.gpu->name, " MIG ", t.mig->profile}, 3);
}

API nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
	GPU_OR_MIG(device);
	return put_text(uuid, length, t.mig != NULL ? t.mig->uuid : t.gpu->uuid);
}

API nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length)
{
	WHOLE_GPU(device);
	return put_text(serial, length, t.gpu->serial);
}

/* The index in the container; of a MIG device that on its GPU. */
API nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index)
{
	unsigned n = 0;
	REQUIRE(index != NULL);
	GPU_OR_MIG(device);
	if (t.mig != NULL) {
		for (const struct state_mig *m = &t.view.migs[t.gpu->first_mig]; m < t.mig; m++)
			n += mig_is_visible(&t.view, m);
	} else {
		for (const struct state_device *d = t.view.devices; d < t.gpu; d++)
			n += device_is_visible(&t.view, d);
	}
	*index = n;
	return NVML_SUCCESS;
}

#define FACT(name, type, value)                                              \
	API nvmlReturn_t name(nvmlDevice_t device, type *out)                \
	{                                                                    \
		REQUIRE(out != NULL);                                        \
		GPU_OR_MIG(device);                                          \
		*out = (type)(value);                                        \
		return NVML_SUCCESS;                                         \
	}
#define GPU_FACT(name, type, value)                                          \
	API nvmlReturn_t name(nvmlDevice_t device, type *out)                \
	{                                                                    \
		REQUIRE(out != NULL);                                        \
		WHOLE_GPU(device);                                           \
		*out = (type)(value);                                        \
		return NVML_SUCCESS;                                         \
	}

static nvmlBrandType_t brand(const struct state_device *d)
{
	return strncmp(d->name, "Tesla ", 6) == 0 ? NVML_BRAND_TESLA : NVML_BRAND_NVIDIA;
}

FACT(nvmlDeviceGetBrand, nvmlBrandType_t, brand(t.gpu))
FACT(nvmlDeviceGetArchitecture, nvmlDeviceArchitecture_t, t.gpu->architecture)
FACT(nvmlDeviceIsMigDeviceHandle, unsigned int, t.mig != NULL)
GPU_FACT(nvmlDeviceGetMinorNumber, unsigned int, t.gpu->minor)
GPU_FACT(nvmlDeviceGetPersistenceMode, nvmlEnableState_t, t.gpu->persistence_enabled)
GPU_FACT(nvmlDeviceGetDisplayActive, nvmlEnableState_t, NVML_FEATURE_DISABLED)
GPU_FACT(nvmlDeviceGetComputeMode, nvmlComputeMode_t, NVML_COMPUTEMODE_DEFAULT)
GPU_FACT(nvmlDeviceGetVirtualizationMode, nvmlGpuVirtualizationMode_t, NVML_GPU_VIRTUALIZATION_MODE_NONE)
GPU_FACT(nvmlDeviceGetPowerManagementMode, nvmlEnableState_t, NVML_FEATURE_ENABLED)
GPU_FACT(nvmlDeviceGetDefaultEccMode, nvmlEnableState_t, NVML_FEATURE_ENABLED)
GPU_FACT(nvmlDeviceGetSupportedEventTypes, unsigned long long, nvmlEventTypeXidCriticalError)

/* Drivers from 590 on no longer have a display mode. */
API nvmlReturn_t nvmlDeviceGetDisplayMode(nvmlDevice_t device, nvmlEnableState_t *display)
{
	REQUIRE(display != NULL);
	WHOLE_GPU(device);
	const char *version = t.view.header->driver;
	if (strcspn(version, ".") == 3 && strncmp(version, "590", 3) >= 0)
		return NVML_ERROR_DEPRECATED;
	*display = NVML_FEATURE_DISABLED;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
	REQUIRE(major != NULL && minor != NULL);
	GPU_OR_MIG(device);
	*major = (int)t.gpu->compute_major;
	*minor = (int)t.gpu->compute_minor;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetNumGpuCores(nvmlDevice_t device, unsigned int *numCores)
{
	REQUIRE(numCores != NULL);
	WHOLE_GPU(device);
	if (t.gpu->cores == 0)
		return NVML_ERROR_NOT_SUPPORTED;
	*numCores = t.gpu->cores;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t *current, nvmlEnableState_t *pending)
{
	REQUIRE(current != NULL && pending != NULL);
	WHOLE_GPU(device);
	*current = *pending = NVML_FEATURE_ENABLED;
	return NVML_SUCCESS;
}
