/* Clocks in MHz. Programs cannot set them here. */
#include "library.h"

static nvmlReturn_t current(const struct state_device *d, nvmlClockType_t type, unsigned int *clock)
{
	switch (type) {
	case NVML_CLOCK_GRAPHICS:
	case NVML_CLOCK_SM: *clock = d->graphics_clock; return NVML_SUCCESS;
	case NVML_CLOCK_MEM: *clock = d->memory_clock; return NVML_SUCCESS;
	case NVML_CLOCK_VIDEO: *clock = d->video_clock; return NVML_SUCCESS;
	default: return NVML_ERROR_INVALID_ARGUMENT;
	}
}

static nvmlReturn_t highest(const struct state_device *d, nvmlClockType_t type, unsigned int *clock)
{
	switch (type) {
	case NVML_CLOCK_GRAPHICS:
	case NVML_CLOCK_SM: *clock = d->max_graphics_clock; return NVML_SUCCESS;
	case NVML_CLOCK_MEM: *clock = d->max_memory_clock; return NVML_SUCCESS;
	case NVML_CLOCK_VIDEO: *clock = board_of(d)->video; return NVML_SUCCESS;
	default: return NVML_ERROR_INVALID_ARGUMENT;
	}
}

API nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
	REQUIRE(clock != NULL);
	WHOLE_GPU(device);
	return current(t.gpu, type, clock);
}

API nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
	REQUIRE(clock != NULL);
	WHOLE_GPU(device);
	return highest(t.gpu, type, clock);
}

API nvmlReturn_t nvmlDeviceGetMaxCustomerBoostClock(nvmlDevice_t device, nvmlClockType_t clockType, unsigned int *clockMHz)
{
	return nvmlDeviceGetMaxClockInfo(device, clockType, clockMHz);
}

API nvmlReturn_t nvmlDeviceGetClock(nvmlDevice_t device, nvmlClockType_t clockType, nvmlClockId_t clockId, unsigned int *clockMHz)
{
	REQUIRE(clockMHz != NULL);
	WHOLE_GPU(device);
	switch (clockId) {
	case NVML_CLOCK_ID_CURRENT: return current(t.gpu, clockType, clockMHz);
	case NVML_CLOCK_ID_CUSTOMER_BOOST_MAX: return highest(t.gpu, clockType, clockMHz);
	default: return NVML_ERROR_NOT_SUPPORTED;
	}
}

API nvmlReturn_t nvmlDeviceGetSupportedMemoryClocks(nvmlDevice_t device, unsigned int *count, unsigned int *clocksMHz)
{
	REQUIRE(count != NULL);
	WHOLE_GPU(device);
	unsigned room = *count;
	*count = 1;
	if (room < 1 || clocksMHz == NULL)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	clocksMHz[0] = t.gpu->max_memory_clock;
	return NVML_SUCCESS;
}

/* Graphics clocks go down from the highest in steps of 15 MHz to 210 MHz. */
API nvmlReturn_t nvmlDeviceGetSupportedGraphicsClocks(nvmlDevice_t device, unsigned int memoryClockMHz, unsigned int *count, unsigned int *clocksMHz)
{
	enum { lowest = 210, step = 15 };
	REQUIRE(count != NULL);
	WHOLE_GPU(device);
	if (memoryClockMHz != t.gpu->max_memory_clock)
		return NVML_ERROR_NOT_FOUND;
	unsigned room = *count, high = t.gpu->max_graphics_clock;
	*count = high < lowest ? 1 : (high - lowest) / step + 1;
	if (room < *count || clocksMHz == NULL)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	for (unsigned i = 0; i < *count; i++)
		clocksMHz[i] = high - i * step;
	return NVML_SUCCESS;
}
