/* Every function that nvml.h declares is there, so that no program misses a
 * symbol. Those that no other file defines answer that the device has no such
 * thing, as a driver does on a board that lacks it, and touch no argument. */
#include "library.h"

/* A weak definition gives way to another of that name. Whatever arguments are
 * passed to it, they are the caller's to remove (both ABIs that we build for). */
#define FUNCTION(name)                                                       \
	API __attribute__((weak)) nvmlReturn_t name(void);                   \
	nvmlReturn_t name(void)                                              \
	{                                                                    \
		return initialised() ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_UNINITIALIZED; \
	}

#include "functions.h"
