/* MIG devices: GPUs cut in instances. */
#include "library.h"

API nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *currentMode, unsigned int *pendingMode)
{
	REQUIRE(currentMode != NULL && pendingMode != NULL);
	WHOLE_GPU(device);
	if (!t.gpu->mig_capable)
		return NVML_ERROR_NOT_SUPPORTED;
	*currentMode = *pendingMode = t.gpu->mig_enabled;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count)
{
	REQUIRE(count != NULL);
	WHOLE_GPU(device);
	*count = t.gpu->mig_enabled ? t.gpu->max_migs : 0;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *migDevice)
{
	REQUIRE(migDevice != NULL);
	WHOLE_GPU(device);
	if (!t.gpu->mig_enabled)
		return NVML_ERROR_NOT_SUPPORTED;
	for (uint32_t k = 0; k < t.gpu->migs; k++) {
		const struct state_mig *m = &t.view.migs[t.gpu->first_mig + k];
		if (mig_is_visible(&t.view, m) && index-- == 0) {
			*migDevice = mig_handle(&t.view, m);
			return NVML_SUCCESS;
		}
	}
	return NVML_ERROR_NOT_FOUND;
}

API nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t migDevice, nvmlDevice_t *device)
{
	REQUIRE(device != NULL);
	GPU_OR_MIG(migDevice);
	REQUIRE(t.mig != NULL);
	*device = gpu_handle(&t.view, t.gpu);
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id)
{
	REQUIRE(id != NULL);
	GPU_OR_MIG(device);
	REQUIRE(t.mig != NULL);
	*id = t.mig->gpu_instance;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int *id)
{
	REQUIRE(id != NULL);
	GPU_OR_MIG(device);
	REQUIRE(t.mig != NULL);
	*id = t.mig->compute_instance;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
	REQUIRE(attributes != NULL);
	GPU_OR_MIG(device);
	REQUIRE(t.mig != NULL);
	*attributes = (nvmlDeviceAttributes_t){
		.multiprocessorCount = t.mig->multiprocessors,
		.sharedCopyEngineCount = t.mig->copy_engines,
		.sharedDecoderCount = t.mig->decoders,
		.sharedEncoderCount = t.mig->encoders,
		.sharedJpegCount = t.mig->jpeg_engines,
		.sharedOfaCount = t.mig->ofa_engines,
		.gpuInstanceSliceCount = t.mig->gpu_slices,
		.computeInstanceSliceCount = t.mig->compute_slices,
		.memorySizeMB = t.mig->memory_bytes >> 20,
	};
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetAttributes(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
	return nvmlDeviceGetAttributes_v2(device, attributes);
}
