/* Shared by the library's files. */
#ifndef LIBRARY_H
#define LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi.h"
#include "state.h"

#define API __attribute__((visibility("default")))

/* A view is the state as it is at one call: each call maps the file anew. So
 * faults and readings show at once, one call never sees two states, and there
 * is nothing that threads share or a fork could tear. That takes some 25 µs a
 * call (measured, 8 GPUs, on a busy machine). */
struct view {
	const struct state_header *header; /* NULL: none */
	const struct state_device *devices;
	const struct state_mig *migs;
	const struct state_process *processes;
};

/* state.c */
nvmlReturn_t view_open(struct view *);
void view_close(struct view *);
unsigned visible_count(const struct view *);
const struct state_device *visible_device(const struct view *, unsigned index); /* NULL: none */
bool device_is_visible(const struct view *, const struct state_device *);
bool mig_is_visible(const struct view *, const struct state_mig *);
void remember_visible(void); /* reads the environment */

/* library.c */
bool initialised(void);
nvmlReturn_t view_initialised(struct view *); /* view_open, once nvmlInit was called */
nvmlReturn_t put_text(char *out, unsigned length, const char *text);
unsigned long long microseconds(void); /* since 1970 */

/* handle.c */
struct target {
	struct view view;
	const struct state_device *gpu; /* the parent, for a MIG device */
	const struct state_mig *mig;    /* NULL: a whole GPU */
};

nvmlDevice_t gpu_handle(const struct view *, const struct state_device *);
nvmlDevice_t mig_handle(const struct view *, const struct state_mig *);
nvmlReturn_t find_target(struct target *, nvmlDevice_t);
nvmlReturn_t find_gpu(struct target *, nvmlDevice_t); /* NVML_ERROR_NOT_SUPPORTED for a MIG device */
void close_target(struct target *);

/* What every function of a device begins with: t is its target, and is closed
 * when the function returns. */
#define TARGET(find, device)                                              \
	__attribute__((cleanup(close_target))) struct target t = {0};         \
	nvmlReturn_t found = find(&t, device);                                \
	if (found != NVML_SUCCESS)                                            \
		return found

#define GPU_OR_MIG(device) TARGET(find_target, device)
#define WHOLE_GPU(device) TARGET(find_gpu, device)

/* The same for functions of no device; the view is v. */
#define VIEW                                                              \
	__attribute__((cleanup(view_close))) struct view v = {0};             \
	nvmlReturn_t opened = view_initialised(&v);                           \
	if (opened != NVML_SUCCESS)                                           \
		return opened

#define REQUIRE(condition)                                                \
	if (!(condition))                                                     \
		return NVML_ERROR_INVALID_ARGUMENT

/* pci.c */
struct bus_id {
	unsigned domain, bus, device;
};

bool parse_bus_id(const char *text, struct bus_id *); /* [domain:]bus:device[.function] */

/* boards.c */
struct board {
	unsigned shutdown, slowdown, highest; /* °C */
	unsigned video;                       /* MHz, highest */
	unsigned nvlinks;                     /* of a board that is joined to others */
	bool wide_bar1;                       /* as wide as the memory */
};

const struct board *board_of(const struct state_device *);
unsigned nvlinks(const struct state_device *); /* 0: it is not joined to another */

#endif
