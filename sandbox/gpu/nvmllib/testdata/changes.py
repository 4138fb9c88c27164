"""One process, while faults and readings change and a GPU is lost and healed."""
from nvml import *

call("nvmlInit_v2")
first, second = gpus()
events = handle("nvmlEventSetCreate")
call("nvmlDeviceRegisterEvents", first, c.c_ulonglong(8), events)
data = type("Event", (c.Structure,), {"_fields_": [
    ("device", c.c_void_p), ("type", c.c_ulonglong), ("data", c.c_ulonglong), ("gi", c.c_uint), ("ci", c.c_uint)]})()


def look():
    event = code("nvmlEventSetWait_v2", events, c.byref(data), 0)
    show({
        "temperature": [optional_number(d, "nvmlDeviceGetTemperature", 0) for d in (first, second)],
        "used": struct("nvmlDeviceGetMemoryInfo", second, [("total", c.c_ulonglong), ("free", c.c_ulonglong), ("used", c.c_ulonglong)])["used"],
        "by_index": code("nvmlDeviceGetHandleByIndex_v2", 0, c.byref(c.c_void_p())),
        "fan": code("nvmlDeviceGetFanSpeed", first, c.byref(c.c_uint())),
        "event": [event, data.data if event == SUCCESS else 0, event == SUCCESS and data.device == first.value],
        "reasons": number("nvmlDeviceGetCurrentClocksThrottleReasons", second, kind=c.c_ulonglong),
        "processes": len(processes("nvmlDeviceGetComputeRunningProcesses_v3", second)),
    })


def optional_number(d, name, *args):
    try:
        return number(name, d, *args)
    except Error as e:
        return -e.code


look()
while sys.stdin.readline().strip() != "end":
    look()
call("nvmlEventSetFree", events)
