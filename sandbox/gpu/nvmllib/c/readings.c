/* What a GPU shows of its work: memory, temperature, power, clocks, errors. */
#include "library.h"

/* A board whose GPU is cut has no utilisation of its own, nor has a MIG device. */
#define UNCUT(device)                                                        \
	WHOLE_GPU(device);                                                   \
	if (t.gpu->mig_enabled)                                              \
		return NVML_ERROR_NOT_SUPPORTED

#define VERSION(type, n) (unsigned)(sizeof(type) | (n) << 24)

/* total, what the driver holds, and what programs hold. */
struct memory {
	unsigned long long total, reserved, used, free;
};

static struct memory memory(const struct target *t)
{
	struct memory m;
	if (t->mig != NULL)
		m = (struct memory){.total = t->mig->memory_bytes, .used = t->mig->used_bytes};
	else
		m = (struct memory){.total = t->gpu->memory_bytes, .reserved = t->gpu->reserved_bytes, .used = t->gpu->used_bytes};
	if (m.reserved > m.total)
		m.reserved = m.total;
	if (m.used > m.total - m.reserved)
		m.used = m.total - m.reserved;
	m.free = m.total - m.reserved - m.used;
	return m;
}

/* The first version counts as used what the driver holds. */
API nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *out)
{
	REQUIRE(out != NULL);
	GPU_OR_MIG(device);
	struct memory m = memory(&t);
	*out = (nvmlMemory_t){.total = m.total, .free = m.free, .used = m.total - m.free};
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *out)
{
	REQUIRE(out != NULL);
	if (out->version != VERSION(nvmlMemory_v2_t, 2))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	GPU_OR_MIG(device);
	struct memory m = memory(&t);
	out->total = m.total;
	out->reserved = m.reserved;
	out->free = m.free;
	out->used = m.used;
	return NVML_SUCCESS;
}

/* The window through which the processor sees the memory: all of it, in a power
 * of two, or 256 MiB on older boards. */
API nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *bar1Memory)
{
	unsigned long long size = 256ULL << 20, used = 1ULL << 20;
	REQUIRE(bar1Memory != NULL);
	WHOLE_GPU(device);
	while (board_of(t.gpu)->wide_bar1 && size < t.gpu->memory_bytes && size < 1ULL << 62)
		size *= 2;
	*bar1Memory = (nvmlBAR1Memory_t){.bar1Total = size, .bar1Free = size - used, .bar1Used = used};
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
	REQUIRE(utilization != NULL);
	UNCUT(device);
	*utilization = (nvmlUtilization_t){.gpu = t.gpu->utilization, .memory = t.gpu->memory_utilization};
	return NVML_SUCCESS;
}

/* Engines that nothing uses. */
static nvmlReturn_t engine(nvmlDevice_t device, unsigned int *utilization, unsigned int *samplingPeriodUs)
{
	REQUIRE(utilization != NULL && samplingPeriodUs != NULL);
	UNCUT(device);
	*utilization = 0;
	*samplingPeriodUs = 167000;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned int *utilization, unsigned int *samplingPeriodUs)
{
	return engine(device, utilization, samplingPeriodUs);
}

API nvmlReturn_t nvmlDeviceGetDecoderUtilization(nvmlDevice_t device, unsigned int *utilization, unsigned int *samplingPeriodUs)
{
	return engine(device, utilization, samplingPeriodUs);
}

API nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensorType, unsigned int *temp)
{
	REQUIRE(temp != NULL && sensorType == NVML_TEMPERATURE_GPU);
	WHOLE_GPU(device);
	*temp = t.gpu->temperature;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
	REQUIRE(temperature != NULL);
	if (temperature->version != VERSION(nvmlTemperature_t, 1))
		return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
	REQUIRE(temperature->sensorType == NVML_TEMPERATURE_GPU);
	WHOLE_GPU(device);
	temperature->temperature = (int)t.gpu->temperature;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, nvmlTemperatureThresholds_t thresholdType, unsigned int *temp)
{
	REQUIRE(temp != NULL);
	WHOLE_GPU(device);
	const struct board *b = board_of(t.gpu);
	switch (thresholdType) {
	case NVML_TEMPERATURE_THRESHOLD_SHUTDOWN: *temp = b->shutdown; break;
	case NVML_TEMPERATURE_THRESHOLD_SLOWDOWN: *temp = b->slowdown; break;
	case NVML_TEMPERATURE_THRESHOLD_GPU_MAX: *temp = b->highest; break;
	case NVML_TEMPERATURE_THRESHOLD_MEM_MAX:
		if (t.gpu->memory_temperature == 0)
			return NVML_ERROR_NOT_SUPPORTED;
		*temp = 95;
		break;
	default: return NVML_ERROR_NOT_SUPPORTED;
	}
	return NVML_SUCCESS;
}

#define READING(name, type, value)                                           \
	API nvmlReturn_t name(nvmlDevice_t device, type *out)                \
	{                                                                    \
		REQUIRE(out != NULL);                                        \
		WHOLE_GPU(device);                                           \
		*out = (type)(value);                                        \
		return NVML_SUCCESS;                                         \
	}

static unsigned long long clock_reasons(const struct state_device *d)
{
	unsigned long long idle = d->utilization == 0 ? nvmlClocksEventReasonGpuIdle : 0;
	return idle | (d->throttle ? nvmlClocksThrottleReasonHwSlowdown | nvmlClocksThrottleReasonHwThermalSlowdown : 0);
}

READING(nvmlDeviceGetPowerUsage, unsigned int, t.gpu->power)
READING(nvmlDeviceGetEnforcedPowerLimit, unsigned int, t.gpu->power_limit)
READING(nvmlDeviceGetPowerManagementLimit, unsigned int, t.gpu->power_limit)
READING(nvmlDeviceGetPowerManagementDefaultLimit, unsigned int, t.gpu->power_limit)
READING(nvmlDeviceGetPerformanceState, nvmlPstates_t, t.gpu->performance_state)
READING(nvmlDeviceGetPowerState, nvmlPstates_t, t.gpu->performance_state)
READING(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, clock_reasons(t.gpu))
READING(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, clock_reasons(t.gpu))
READING(nvmlDeviceGetSupportedClocksThrottleReasons, unsigned long long, 0x1ff)
READING(nvmlDeviceGetSupportedClocksEventReasons, unsigned long long, 0x1ff)

API nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned int *minLimit, unsigned int *maxLimit)
{
	REQUIRE(minLimit != NULL && maxLimit != NULL);
	WHOLE_GPU(device);
	*minLimit = t.gpu->min_power_limit;
	*maxLimit = t.gpu->power_limit;
	return NVML_SUCCESS;
}

/* errors counts memory errors since the driver was loaded, and as long as the
 * board is there: the same for a GPU that is simulated. */
static unsigned long long errors(const struct state_device *d, nvmlMemoryErrorType_t type)
{
	return type == NVML_MEMORY_ERROR_TYPE_CORRECTED ? d->ecc_corrected : d->ecc_uncorrected;
}

#define ERROR_KIND(errorType, counterType) \
	((unsigned)(errorType) <= NVML_MEMORY_ERROR_TYPE_UNCORRECTED && (unsigned)(counterType) <= NVML_AGGREGATE_ECC)

API nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t errorType, nvmlEccCounterType_t counterType, unsigned long long *eccCounts)
{
	REQUIRE(eccCounts != NULL && ERROR_KIND(errorType, counterType));
	WHOLE_GPU(device);
	*eccCounts = errors(t.gpu, errorType);
	return NVML_SUCCESS;
}

/* All of them are in the memory of the board. */
API nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, nvmlMemoryErrorType_t errorType, nvmlEccCounterType_t counterType, nvmlMemoryLocation_t locationType, unsigned long long *count)
{
	REQUIRE(count != NULL && ERROR_KIND(errorType, counterType) && (unsigned)locationType < NVML_MEMORY_LOCATION_COUNT);
	WHOLE_GPU(device);
	*count = locationType == NVML_MEMORY_LOCATION_DEVICE_MEMORY ? errors(t.gpu, errorType) : 0;
	return NVML_SUCCESS;
}
