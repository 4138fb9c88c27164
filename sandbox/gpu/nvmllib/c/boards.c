/* What boards of a family have in common and the state does not hold, in the
 * same figures as nvidia-smi's. Those of Turing, Ada and Hopper are readings of
 * a T4, an L40S and an H100, the rest is chosen in the range of such boards. */
#include "library.h"

static const struct board turing = {.shutdown = 96, .slowdown = 93, .highest = 85, .video = 1470, .nvlinks = 2};
static const struct board ampere = {.shutdown = 92, .slowdown = 89, .highest = 85, .video = 1290, .nvlinks = 12, .wide_bar1 = true};
static const struct board ada = {.shutdown = 93, .slowdown = 90, .highest = 88, .video = 1965, .wide_bar1 = true};
static const struct board hopper = {.shutdown = 95, .slowdown = 89, .highest = 87, .video = 1545, .nvlinks = 18, .wide_bar1 = true};
static const struct board blackwell = {.shutdown = 97, .slowdown = 94, .highest = 92, .video = 1545, .nvlinks = 18, .wide_bar1 = true};

/* Numbers are those of NVML_DEVICE_ARCH; older boards count as Turing's. */
const struct board *board_of(const struct state_device *d)
{
	switch (d->architecture) {
	case 7: return &ampere;
	case 8: return &ada;
	case 9: return &hopper;
	case 10: return &blackwell;
	default: return &turing;
	}
}

/* Boards that a bridge joins in pairs have few links. */
unsigned nvlinks(const struct state_device *d)
{
	unsigned links = board_of(d)->nvlinks;
	if (d->nvlink_group < 2)
		return 0;
	return d->nvlink_group == 2 && links > 4 ? 4 : links;
}
