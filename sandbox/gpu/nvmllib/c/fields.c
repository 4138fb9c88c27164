/* Readings that are asked for by number, and readings with their time. */
#include "library.h"

/* field answers one; others than these are not supported. */
static nvmlReturn_t field(const struct state_device *d, nvmlFieldValue_t *f)
{
	f->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
	f->value.ullVal = 0;
	switch (f->fieldId) {
	case NVML_FI_DEV_ECC_CURRENT:
	case NVML_FI_DEV_ECC_PENDING:
		f->value.uiVal = 1;
		return NVML_SUCCESS;
	case NVML_FI_DEV_ECC_SBE_VOL_TOTAL:
	case NVML_FI_DEV_ECC_SBE_AGG_TOTAL:
		f->valueType = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
		f->value.ullVal = d->ecc_corrected;
		return NVML_SUCCESS;
	case NVML_FI_DEV_ECC_DBE_VOL_TOTAL:
	case NVML_FI_DEV_ECC_DBE_AGG_TOTAL:
		f->valueType = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
		f->value.ullVal = d->ecc_uncorrected;
		return NVML_SUCCESS;
	case NVML_FI_DEV_MEMORY_TEMP:
		f->value.uiVal = d->memory_temperature;
		return d->memory_temperature != 0 ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
	case NVML_FI_DEV_NVLINK_LINK_COUNT:
		f->value.uiVal = nvlinks(d);
		return NVML_SUCCESS;
	case NVML_FI_DEV_PCIE_REPLAY_COUNTER:
		return NVML_SUCCESS;
	case NVML_FI_DEV_POWER_AVERAGE:
	case NVML_FI_DEV_POWER_INSTANT:
		f->value.uiVal = d->power;
		return NVML_SUCCESS;
	case NVML_FI_DEV_POWER_MIN_LIMIT:
		f->value.uiVal = d->min_power_limit;
		return NVML_SUCCESS;
	case NVML_FI_DEV_POWER_MAX_LIMIT:
	case NVML_FI_DEV_POWER_DEFAULT_LIMIT:
	case NVML_FI_DEV_POWER_CURRENT_LIMIT:
		f->value.uiVal = d->power_limit;
		return NVML_SUCCESS;
	}
	return NVML_ERROR_NOT_SUPPORTED;
}

API nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int valuesCount, nvmlFieldValue_t *values)
{
	REQUIRE(values != NULL && valuesCount > 0);
	WHOLE_GPU(device);
	for (int i = 0; i < valuesCount; i++) {
		values[i].timestamp = (long long)microseconds();
		values[i].latencyUsec = 0;
		values[i].nvmlReturn = field(t.gpu, &values[i]);
	}
	return NVML_SUCCESS;
}

static nvmlReturn_t sampled(const struct state_device *d, nvmlSamplingType_t type, unsigned int *value)
{
	switch (type) {
	case NVML_TOTAL_POWER_SAMPLES: *value = d->power; return NVML_SUCCESS;
	case NVML_GPU_UTILIZATION_SAMPLES: *value = d->utilization; break;
	case NVML_MEMORY_UTILIZATION_SAMPLES: *value = d->memory_utilization; break;
	case NVML_ENC_UTILIZATION_SAMPLES:
	case NVML_DEC_UTILIZATION_SAMPLES: *value = 0; break;
	case NVML_PROCESSOR_CLK_SAMPLES: *value = d->graphics_clock; return NVML_SUCCESS;
	case NVML_MEMORY_CLK_SAMPLES: *value = d->memory_clock; return NVML_SUCCESS;
	default: return NVML_ERROR_NOT_SUPPORTED;
	}
	return d->mig_enabled ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS;
}

/* The past is not kept: the one sample is of now. */
API nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, nvmlSamplingType_t type, unsigned long long lastSeenTimeStamp, nvmlValueType_t *sampleValType, unsigned int *sampleCount, nvmlSample_t *samples)
{
	unsigned int value;
	REQUIRE(sampleValType != NULL && sampleCount != NULL);
	WHOLE_GPU(device);
	nvmlReturn_t r = sampled(t.gpu, type, &value);
	if (r != NVML_SUCCESS)
		return r;
	unsigned long long now = microseconds();
	if (lastSeenTimeStamp >= now)
		return NVML_ERROR_NOT_FOUND;
	if (samples != NULL && *sampleCount < 1)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	*sampleValType = NVML_VALUE_TYPE_UNSIGNED_INT;
	*sampleCount = 1;
	if (samples != NULL) {
		samples[0].timeStamp = now;
		samples[0].sampleValue.ullVal = 0;
		samples[0].sampleValue.uiVal = value;
	}
	return NVML_SUCCESS;
}
