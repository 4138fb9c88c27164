/* The file that holds the state, and which of its GPUs are the container's. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "library.h"

#ifndef STATE_PATH
#define STATE_PATH "/run/kubectl-ai/gpu/state.bin"
#endif

/* ends tells whether a text of the file ends within its field. */
#define ends(field) ((field)[sizeof(field) - 1] == 0)

static bool within(uint32_t first, uint32_t count, uint32_t all)
{
	return (uint64_t)first + count <= all;
}

/* valid checks all that the library relies on, since the file may be of
 * another version, or no such file at all. */
static bool valid(struct view *v, size_t size)
{
	const struct state_header *h = v->header;
	if (size < sizeof *h || memcmp(h->magic, STATE_MAGIC, sizeof h->magic) != 0 || h->version != STATE_VERSION)
		return false;
	if (h->device_size != sizeof *v->devices || h->mig_size != sizeof *v->migs || h->process_size != sizeof *v->processes)
		return false;
	if (h->devices > STATE_MAX_DEVICES || h->migs > STATE_MAX_MIGS || !ends(h->driver) || !ends(h->nvml))
		return false;
	uint64_t want = sizeof *h + h->devices * (uint64_t)h->device_size + h->migs * (uint64_t)h->mig_size + h->processes * (uint64_t)h->process_size;
	if (h->size != size || want != size)
		return false;
	v->devices = (const void *)(h + 1);
	v->migs = (const void *)(v->devices + h->devices);
	v->processes = (const void *)(v->migs + h->migs);
	for (uint32_t i = 0; i < h->devices; i++) {
		const struct state_device *d = &v->devices[i];
		if (!ends(d->uuid) || !ends(d->name) || !ends(d->serial) || !ends(d->pci_bus_id))
			return false;
		if (!within(d->first_mig, d->migs, h->migs) || !within(d->first_process, d->processes, h->processes))
			return false;
		for (uint32_t k = 0; k < d->migs; k++)
			if (v->migs[d->first_mig + k].device != i)
				return false;
	}
	for (uint32_t i = 0; i < h->migs; i++) {
		const struct state_mig *m = &v->migs[i];
		if (!ends(m->uuid) || !ends(m->profile) || m->device >= h->devices || !within(m->first_process, m->processes, h->processes))
			return false;
	}
	return true;
}

/* The file is never written in place but replaced, so what is mapped stays as
 * it is. Without a file that is right, there is no driver. */
nvmlReturn_t view_open(struct view *v)
{
	*v = (struct view){0};
	int fd = open(STATE_PATH, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NVML_ERROR_DRIVER_NOT_LOADED;
	off_t size = lseek(fd, 0, SEEK_END);
	void *mapped = size > 0 ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	close(fd);
	if (mapped == MAP_FAILED)
		return NVML_ERROR_DRIVER_NOT_LOADED;
	v->header = mapped;
	if (!valid(v, (size_t)size)) {
		munmap(mapped, (size_t)size);
		v->header = NULL;
		return NVML_ERROR_DRIVER_NOT_LOADED;
	}
	return NVML_SUCCESS;
}

void view_close(struct view *v)
{
	if (v->header != NULL)
		munmap((void *)(uintptr_t)v->header, v->header->size);
	v->header = NULL;
}

/* The value of NVIDIA_VISIBLE_DEVICES when nvmlInit was called: indices and
 * UUIDs of GPUs, UUIDs of MIG devices, or "all". Anything else names none. */
static _Atomic(const char *) visible;

void remember_visible(void)
{
	atomic_store(&visible, getenv("NVIDIA_VISIBLE_DEVICES"));
}

/* named tells whether the list holds an item; blanks around it do not count. */
static bool named(const char *item)
{
	const char *list = atomic_load(&visible);
	size_t length = strlen(item);
	while (list != NULL && length > 0) {
		while (*list == ' ')
			list++;
		size_t n = strcspn(list, ",");
		size_t trimmed = n;
		while (trimmed > 0 && list[trimmed - 1] == ' ')
			trimmed--;
		if (trimmed == length && memcmp(list, item, length) == 0)
			return true;
		list = list[n] == ',' ? list + n + 1 : NULL;
	}
	return false;
}

static bool whole_is_visible(const struct state_device *d)
{
	char index[] = {'0' + d->index / 10 % 10, '0' + d->index % 10, 0};
	return named("all") || named(d->uuid) || named(d->index < 10 ? index + 1 : index);
}

bool mig_is_visible(const struct view *v, const struct state_mig *m)
{
	return named(m->uuid) || whole_is_visible(&v->devices[m->device]);
}

/* A GPU is there for the sake of its MIG devices, too. */
bool device_is_visible(const struct view *v, const struct state_device *d)
{
	if (whole_is_visible(d))
		return true;
	for (uint32_t k = 0; k < d->migs; k++)
		if (named(v->migs[d->first_mig + k].uuid))
			return true;
	return false;
}

const struct state_device *visible_device(const struct view *v, unsigned index)
{
	for (uint32_t i = 0; i < v->header->devices; i++)
		if (device_is_visible(v, &v->devices[i]) && index-- == 0)
			return &v->devices[i];
	return NULL;
}

unsigned visible_count(const struct view *v)
{
	unsigned n = 0;
	for (uint32_t i = 0; i < v->header->devices; i++)
		n += device_is_visible(v, &v->devices[i]);
	return n;
}
