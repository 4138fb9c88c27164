/* The place of a GPU on the PCI bus, and its link. */
#include <string.h>

#include "library.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* hex reads a number of at most eight digits and moves on behind it. */
static bool hex(const char **text, unsigned *out)
{
	int digits = 0;
	for (*out = 0; hex_digit(**text) >= 0; (*text)++, digits++) {
		if (digits == 8)
			return false;
		*out = *out << 4 | (unsigned)hex_digit(**text);
	}
	return digits > 0;
}

bool parse_bus_id(const char *text, struct bus_id *b)
{
	unsigned part[3], n = 0;
	do {
		if (n == 3 || !hex(&text, &part[n++]))
			return false;
	} while (*text == ':' && *text++);
	if (n < 2 || (*text != 0 && *text != '.'))
		return false;
	b->domain = n == 3 ? part[0] : 0;
	b->bus = part[n - 2];
	b->device = part[n - 1];
	return true;
}

/* pci_info fills in what the versions of nvmlPciInfo_t have in common: the bus
 * id whose domain has four digits, and numbers. */
static void pci_info(const struct state_device *d, nvmlPciInfo_t *pci)
{
	struct bus_id b = {0};
	parse_bus_id(d->pci_bus_id, &b);
	const char *four = d->pci_bus_id;
	if (strcspn(four, ":") == 8)
		four += 4;
	size_t n = strnlen(four, sizeof pci->busIdLegacy - 1);
	memcpy(pci->busIdLegacy, four, n);
	pci->busIdLegacy[n] = 0;
	pci->domain = b.domain;
	pci->bus = b.bus;
	pci->device = b.device;
	pci->pciDeviceId = d->pci_device_id;
	pci->pciSubSystemId = 0;
}

API nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
	REQUIRE(pci != NULL);
	WHOLE_GPU(device);
	pci_info(t.gpu, pci);
	return put_text(pci->busId, sizeof pci->busId, t.gpu->pci_bus_id);
}

/* Older structs end before busId, and the oldest before pciSubSystemId. */
static nvmlReturn_t pci_prefix(nvmlDevice_t device, nvmlPciInfo_t *pci, size_t size)
{
	nvmlPciInfo_t whole;
	REQUIRE(pci != NULL);
	WHOLE_GPU(device);
	pci_info(t.gpu, &whole);
	memcpy(pci, &whole, size);
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
	return pci_prefix(device, pci, offsetof(nvmlPciInfo_t, busId));
}

API nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
	return pci_prefix(device, pci, offsetof(nvmlPciInfo_t, pciSubSystemId));
}

#define LINK(name, field)                                                    \
	API nvmlReturn_t name(nvmlDevice_t device, unsigned int *value)      \
	{                                                                    \
		REQUIRE(value != NULL);                                      \
		WHOLE_GPU(device);                                           \
		*value = t.gpu->field;                                       \
		return NVML_SUCCESS;                                         \
	}

LINK(nvmlDeviceGetMaxPcieLinkGeneration, pcie_generation)
LINK(nvmlDeviceGetGpuMaxPcieLinkGeneration, pcie_generation)
LINK(nvmlDeviceGetCurrPcieLinkGeneration, pcie_generation)
LINK(nvmlDeviceGetMaxPcieLinkWidth, pcie_width)
LINK(nvmlDeviceGetCurrPcieLinkWidth, pcie_width)

/* Nothing passes over a simulated link, and nothing is sent again. */
API nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, nvmlPcieUtilCounter_t counter, unsigned int *value)
{
	REQUIRE(value != NULL && (unsigned)counter <= NVML_PCIE_UTIL_RX_BYTES);
	WHOLE_GPU(device);
	*value = 0;
	return NVML_SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetPcieReplayCounter(nvmlDevice_t device, unsigned int *value)
{
	REQUIRE(value != NULL);
	WHOLE_GPU(device);
	*value = 0;
	return NVML_SUCCESS;
}
