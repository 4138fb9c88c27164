/* Begin and end of the library, and what it says of the machine. */
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "library.h"

/* How often nvmlInit was called more than nvmlShutdown. It is all that lasts
 * between calls, and a forked child has it from its parent. */
static atomic_uint users;

bool initialised(void)
{
	return atomic_load(&users) > 0;
}

nvmlReturn_t view_initialised(struct view *v)
{
	return initialised() ? view_open(v) : NVML_ERROR_UNINITIALIZED;
}

API nvmlReturn_t nvmlInit_v2(void)
{
	__attribute__((cleanup(view_close))) struct view v = {0};
	nvmlReturn_t opened = view_open(&v);
	if (opened == NVML_SUCCESS && atomic_fetch_add(&users, 1) == 0)
		remember_visible();
	return opened;
}

API nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
	(void)flags; /* no GPU is attached in any case */
	return nvmlInit_v2();
}

/* The first version of nvmlInit makes every GPU ready for use, where the later
 * ones only open the library. A simulated GPU cannot be used, so there is no
 * driver here in that sense.
 *
 * PyTorch counts GPUs by this function and nvmlDeviceGetCount_v2, when it is to
 * tell whether CUDA is there without starting it (PYTORCH_NVML_BASED_CUDA_CHECK)
 * and for torch.cuda.device_count(); refused, it asks CUDA, and finds none. All
 * bindings that only look at GPUs (pynvml, go-nvml, nvml-wrapper), and whatever
 * was compiled against nvml.h since 2013, call nvmlInit_v2. */
API nvmlReturn_t nvmlInit(void)
{
	return NVML_ERROR_DRIVER_NOT_LOADED;
}

API nvmlReturn_t nvmlShutdown(void)
{
	unsigned n = atomic_load(&users);
	do {
		if (n == 0)
			return NVML_ERROR_UNINITIALIZED;
	} while (!atomic_compare_exchange_weak(&users, &n, n - 1));
	return NVML_SUCCESS;
}

API const char *nvmlErrorString(nvmlReturn_t result)
{
	switch (result) {
	case NVML_SUCCESS: return "Done";
	case NVML_ERROR_UNINITIALIZED: return "The library was not initialised";
	case NVML_ERROR_INVALID_ARGUMENT: return "An argument is not valid";
	case NVML_ERROR_NOT_SUPPORTED: return "This device has no such thing";
	case NVML_ERROR_NO_PERMISSION: return "This user may not do that";
	case NVML_ERROR_ALREADY_INITIALIZED: return "The library is initialised already";
	case NVML_ERROR_NOT_FOUND: return "Nothing was found";
	case NVML_ERROR_INSUFFICIENT_SIZE: return "The given space is too small";
	case NVML_ERROR_INSUFFICIENT_POWER: return "A power cable is not attached";
	case NVML_ERROR_DRIVER_NOT_LOADED: return "No driver answers";
	case NVML_ERROR_TIMEOUT: return "The time is over";
	case NVML_ERROR_IRQ_ISSUE: return "Interrupts of a GPU do not arrive";
	case NVML_ERROR_LIBRARY_NOT_FOUND: return "A library is missing";
	case NVML_ERROR_FUNCTION_NOT_FOUND: return "The library lacks this function";
	case NVML_ERROR_CORRUPTED_INFOROM: return "The infoROM is damaged";
	case NVML_ERROR_GPU_IS_LOST: return "The GPU has fallen off the bus";
	case NVML_ERROR_RESET_REQUIRED: return "The GPU needs a reset first";
	case NVML_ERROR_OPERATING_SYSTEM: return "The operating system has blocked the GPU";
	case NVML_ERROR_LIB_RM_VERSION_MISMATCH: return "Driver and library are of different versions";
	case NVML_ERROR_IN_USE: return "The GPU is in use";
	case NVML_ERROR_MEMORY: return "Out of memory";
	case NVML_ERROR_NO_DATA: return "There is no data";
	case NVML_ERROR_VGPU_ECC_NOT_SUPPORTED: return "Virtual GPUs do not go with ECC here";
	case NVML_ERROR_INSUFFICIENT_RESOURCES: return "Out of a resource other than memory";
	case NVML_ERROR_FREQ_NOT_SUPPORTED: return "There is no such frequency";
	case NVML_ERROR_ARGUMENT_VERSION_MISMATCH: return "An argument is of an unknown version";
	case NVML_ERROR_DEPRECATED: return "The function is no longer there";
	case NVML_ERROR_NOT_READY: return "The system is not ready for that";
	case NVML_ERROR_GPU_NOT_FOUND: return "There are no GPUs";
	case NVML_ERROR_INVALID_STATE: return "Not possible in this state";
	case NVML_ERROR_RESET_TYPE_NOT_SUPPORTED: return "The device has no such kind of reset";
	case NVML_ERROR_UNKNOWN: break;
	}
	return "Unknown error";
}

nvmlReturn_t put_text(char *out, unsigned length, const char *text)
{
	size_t n = strlen(text) + 1;
	REQUIRE(out != NULL);
	if (n > length)
		return NVML_ERROR_INSUFFICIENT_SIZE;
	memcpy(out, text, n);
	return NVML_SUCCESS;
}

unsigned long long microseconds(void)
{
	struct timespec now = {0};
	clock_gettime(CLOCK_REALTIME, &now);
	return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

API nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
	VIEW;
	return put_text(version, length, v.header->driver);
}

API nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
	VIEW;
	return put_text(version, length, v.header->nvml);
}

API nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *cudaDriverVersion)
{
	REQUIRE(cudaDriverVersion != NULL);
	VIEW;
	*cudaDriverVersion = (int)v.header->cuda;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *cudaDriverVersion)
{
	return nvmlSystemGetCudaDriverVersion_v2(cudaDriverVersion);
}

/* The first word of a program's command line, from /proc. */
API nvmlReturn_t nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length)
{
	char path[] = "/proc/4294967295/cmdline", digits[10], line[256];
	REQUIRE(name != NULL && length > 0);
	if (!initialised())
		return NVML_ERROR_UNINITIALIZED;
	char *at = path + strlen("/proc/");
	int n = 0;
	do
		digits[n++] = (char)('0' + pid % 10);
	while ((pid /= 10) > 0);
	while (n > 0)
		*at++ = digits[--n];
	memcpy(at, "/cmdline", sizeof "/cmdline");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NVML_ERROR_NOT_FOUND;
	ssize_t got = read(fd, line, sizeof line - 1);
	close(fd);
	if (got < 0)
		return NVML_ERROR_NOT_FOUND;
	line[got] = 0;
	return put_text(name, length, line);
}
