"""nvitop: handles by index, UUID and bus id, and most of what there is to read (api/device.py)."""
import re

from nvml import *

call("nvmlInit_v2")
result = []
for d in gpus():
    uuid = text("nvmlDeviceGetUUID", d)
    assert re.fullmatch(r"(MIG-)?GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uuid), uuid
    pci = struct("nvmlDeviceGetPciInfo_v3", d, [
        ("busIdLegacy", c.c_char * 16), ("domain", c.c_uint), ("bus", c.c_uint), ("device", c.c_uint),
        ("pciDeviceId", c.c_uint), ("pciSubSystemId", c.c_uint), ("busId", c.c_char * 32)])
    bus = pci["busId"].decode()
    by_uuid = handle("nvmlDeviceGetHandleByUUID", uuid.encode())
    by_bus = [handle("nvmlDeviceGetHandleByPciBusId_v2", id.encode()) for id in (bus, bus.lower(), pci["busIdLegacy"].decode(), bus[9:])]
    assert {h.value for h in [d, by_uuid, *by_bus]} == {d.value}, "one GPU has one handle"
    major, minor = c.c_int(), c.c_int()
    call("nvmlDeviceGetCudaComputeCapability", d, c.byref(major), c.byref(minor))
    current, pending = c.c_uint(), c.c_uint()
    memory = struct("nvmlDeviceGetMemoryInfo_v2", d, [
        ("version", c.c_uint), ("total", c.c_ulonglong), ("reserved", c.c_ulonglong), ("free", c.c_ulonglong), ("used", c.c_ulonglong)], version=2)
    bar1 = struct("nvmlDeviceGetBAR1MemoryInfo", d, [("total", c.c_ulonglong), ("free", c.c_ulonglong), ("used", c.c_ulonglong)])
    field = type("Field", (c.Structure,), {"_fields_": [
        ("id", c.c_uint), ("scope", c.c_uint), ("timestamp", c.c_longlong), ("latency", c.c_longlong),
        ("type", c.c_uint), ("code", c.c_uint), ("value", c.c_ulonglong)]})
    fields = (field * 3)(field(82), field(91), field(138))
    call("nvmlDeviceGetFieldValues", d, 3, fields)
    result.append({
        "uuid": uuid, "bus": bus, "legacy": pci["busIdLegacy"].decode(), "pciDeviceId": pci["pciDeviceId"],
        "serial": text("nvmlDeviceGetSerial", d, size=30), "minor": number("nvmlDeviceGetMinorNumber", d),
        "capability": f"{major.value}.{minor.value}", "architecture": number("nvmlDeviceGetArchitecture", d), "brand": number("nvmlDeviceGetBrand", d),
        "reserved": memory["reserved"], "used": memory["used"], "free": memory["free"], "bar1": bar1["total"],
        "clocks": [number("nvmlDeviceGetClockInfo", d, kind) for kind in range(4)],
        "max_clocks": [optional(number, "nvmlDeviceGetMaxClockInfo", d, kind) for kind in range(4)],
        "pstate": number("nvmlDeviceGetPerformanceState", d), "persistence": number("nvmlDeviceGetPersistenceMode", d),
        "compute_mode": number("nvmlDeviceGetComputeMode", d), "display_active": number("nvmlDeviceGetDisplayActive", d),
        "display_mode": code("nvmlDeviceGetDisplayMode", d, c.byref(current)),
        "mig": (code("nvmlDeviceGetMigMode", d, c.byref(current), c.byref(pending)), current.value),
        "pcie": [number("nvmlDeviceGetCurrPcieLinkGeneration", d), number("nvmlDeviceGetCurrPcieLinkWidth", d), number("nvmlDeviceGetPcieThroughput", d, 0)],
        "fan": optional(number, "nvmlDeviceGetFanSpeed", d),
        "fields": [(f.code, f.value) for f in fields],
        "ecc": number("nvmlDeviceGetTotalEccErrors", d, 1, 0, kind=c.c_ulonglong),
        "limit": number("nvmlDeviceGetPowerManagementLimit", d),
        "shutdown": number("nvmlDeviceGetTemperatureThreshold", d, 0),
    })
show(result)
