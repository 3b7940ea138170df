/* What does a machine with any GPUs, sick ones too, look like through NVML? A stand-in for tests.
 *
 * Reads the file named by NVML_STUB_STATE on each call, lines of key=value:
 *   init.rc=9                      nvmlInit fails
 *   gpu0.bus=00000000:3B:00.0      there is a GPU; without it there is none
 *   gpu0.rc=15                     every call for it answers so (15: lost)
 *   gpu0.temperature=41            a sensor's value; without the key it is not supported
 *   gpu0.temperature.rc=999        this sensor fails
 *   gpu0.temperature.delay_ms=500  this sensor takes its time
 *   gpu0.temperature.hang=1        this sensor never answers (init.hang, gpu0.handle.hang likewise)
 *   init.device=/tmp/nvidia0       a file that is held open from nvmlInit to nvmlShutdown
 * Built with -DOLD_DRIVER it lacks what came with drivers 510 to 570.
 * Written from the public interface; never part of the wheel.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define GPUS 16
#define LINE 512

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, VERSION_MISMATCH = 25 };

static int gpu_numbers[GPUS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static int look_up(const char *key, char *value) {
    const char *path = getenv("NVML_STUB_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[LINE];
    size_t length = strlen(key);
    int found = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, length) == 0 && line[length] == '=') {
            line[strcspn(line, "\n")] = 0;
            strcpy(value, line + length + 1);
            found = 1;
        }
    if (file)
        fclose(file);
    return found;
}

static long number_of(const char *key, long otherwise) {
    char value[LINE];
    return look_up(key, value) ? strtol(value, NULL, 0) : otherwise;
}

static void hang_if(const char *key) {
    while (number_of(key, 0))
        pause();
}

static int sensor(void *device, const char *name, char *value) {
    char key[LINE];
    int gpu = *(int *)device;
    snprintf(key, sizeof key, "gpu%d.%s.hang", gpu, name);
    hang_if(key);
    snprintf(key, sizeof key, "gpu%d.%s.delay_ms", gpu, name);
    long delay = number_of(key, 0);
    struct timespec pause = {delay / 1000, delay % 1000 * 1000000};
    nanosleep(&pause, NULL);
    snprintf(key, sizeof key, "gpu%d.rc", gpu);
    long rc = number_of(key, 0);
    if (rc)
        return (int)rc;
    snprintf(key, sizeof key, "gpu%d.%s.rc", gpu, name);
    rc = number_of(key, 0);
    if (rc)
        return (int)rc;
    snprintf(key, sizeof key, "gpu%d.%s", gpu, name);
    return look_up(key, value) ? SUCCESS : NOT_SUPPORTED;
}

static int as_uint(void *device, const char *name, unsigned *out) {
    char value[LINE];
    int rc = sensor(device, name, value);
    if (rc == SUCCESS)
        *out = (unsigned)strtoul(value, NULL, 0);
    return rc;
}

static int as_text(void *device, const char *name, char *out, unsigned size) {
    char value[LINE];
    int rc = sensor(device, name, value);
    if (rc == SUCCESS)
        snprintf(out, size, "%s", value);
    return rc;
}

static int held = -1;

EXPORT int nvmlInitWithFlags(unsigned flags) {
    char path[LINE];
    (void)flags;
    hang_if("init.hang");
    if (held < 0 && look_up("init.device", path))
        held = open(path, O_RDWR);
    return (int)number_of("init.rc", 0);
}

EXPORT int nvmlShutdown(void) {
    if (held >= 0)
        close(held);
    held = -1;
    return (int)number_of("shutdown.rc", 0);
}

EXPORT const char *nvmlErrorString(int rc) { (void)rc; return "an error of the stand-in"; }

EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device) {
    char key[LINE], value[LINE];
    for (int gpu = 0; gpu < GPUS; gpu++) {
        snprintf(key, sizeof key, "gpu%d.bus", gpu);
        if (!look_up(key, value) || strcmp(value, bus))
            continue;
        snprintf(key, sizeof key, "gpu%d.handle.hang", gpu);
        hang_if(key);
        snprintf(key, sizeof key, "gpu%d.handle.rc", gpu);
        *device = &gpu_numbers[gpu];
        return (int)number_of(key, SUCCESS);
    }
    return NOT_FOUND;
}

#define UINT(symbol, name) \
    EXPORT int symbol(void *device, unsigned *out) { return as_uint(device, name, out); }
#define TEXT(symbol, name) \
    EXPORT int symbol(void *device, char *out, unsigned size) { \
        return as_text(device, name, out, size); \
    }

TEXT(nvmlDeviceGetUUID, "uuid")
TEXT(nvmlDeviceGetName, "name")
TEXT(nvmlDeviceGetSerial, "serial")
UINT(nvmlDeviceGetIndex, "index")
UINT(nvmlDeviceGetMinorNumber, "minor")
UINT(nvmlDeviceGetPersistenceMode, "persistence")
UINT(nvmlDeviceGetRetiredPagesPendingStatus, "retired_pages_pending")
UINT(nvmlDeviceGetPowerUsage, "power_milliwatts")
UINT(nvmlDeviceGetEnforcedPowerLimit, "power_limit_milliwatts")
UINT(nvmlDeviceGetPowerManagementDefaultLimit, "power_default_limit_milliwatts")
UINT(nvmlDeviceGetComputeMode, "compute_mode")
TEXT(nvmlDeviceGetVbiosVersion, "vbios")
TEXT(nvmlDeviceGetInforomImageVersion, "inforom")
UINT(nvmlDeviceGetPcieReplayCounter, "pcie_replays")

EXPORT int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    *pending = 0;
    return as_uint(device, "mig", current);
}

EXPORT int nvmlDeviceGetEccMode(void *device, unsigned *current, unsigned *pending) {
    int rc = as_uint(device, "ecc", current);
    *pending = *current;
    as_uint(device, "ecc_pending", pending);
    return rc;
}

EXPORT int nvmlDeviceGetTotalEccErrors(void *device, int type, int counter, unsigned long long *out) {
    static const char *names[2][2] = {{"corrected_volatile", "corrected_aggregate"},
                                      {"uncorrected_volatile", "uncorrected_aggregate"}};
    char value[LINE];
    int rc = sensor(device, names[type & 1][counter & 1], value);
    if (rc == SUCCESS)
        *out = strtoull(value, NULL, 0);
    return rc;
}

EXPORT int nvmlDeviceGetMemoryErrorCounter(void *device, int type, int counter, int place,
                                           unsigned long long *out) {
    char name[64], value[LINE];
    snprintf(name, sizeof name, "%s_%s_%s", place == 2 ? "dram" : place == 7 ? "sram" : "other",
             type ? "uncorrected" : "corrected", counter ? "aggregate" : "volatile");
    int rc = sensor(device, name, value);
    if (rc == SUCCESS)
        *out = strtoull(value, NULL, 0);
    return rc;
}

EXPORT int nvmlDeviceGetViolationStatus(void *device, int policy, unsigned long long *out) {
    char value[LINE];
    int rc = sensor(device, policy == 1 ? "thermal_violation_ns" : "power_violation_ns", value);
    if (rc == SUCCESS)
        out[1] = strtoull(value, NULL, 0);
    return rc;
}

EXPORT int nvmlDeviceGetNvLinkState(void *device, unsigned link, unsigned *active) {
    char name[32];
    snprintf(name, sizeof name, "link%u", link);
    return as_uint(device, name, active);
}

EXPORT int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *out) {
    char value[LINE];
    int rc = sensor(device, "memory", value); /* total,reserved,used */
    if (rc == SUCCESS) {
        unsigned long long reserved;
        sscanf(value, "%llu,%llu,%llu", &out[0], &reserved, &out[2]);
        out[2] += reserved;
    }
    return rc;
}

struct process {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
};

static int processes(void *device, const char *name, unsigned *count, struct process *out) {
    char value[LINE]; /* pid:bytes,pid:bytes */
    int rc = sensor(device, name, value);
    if (rc != SUCCESS)
        return rc;
    unsigned found = 0, room = *count;
    for (char *each = strtok(value, ","); each; each = strtok(NULL, ","), found++)
        if (out && found < room)
            sscanf(each, "%u:%llu", &out[found].pid, &out[found].used);
    *count = found;
    return found > room ? TOO_SMALL : SUCCESS;
}

#define PROCESSES(symbol, name) \
    EXPORT int symbol(void *device, unsigned *count, struct process *out) { \
        return processes(device, name, count, out); \
    }

PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, "processes")

#ifndef OLD_DRIVER
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, "processes")
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, "graphics")

struct memory {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

EXPORT int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory *out) {
    if (out->version != (sizeof *out | 2u << 24))
        return VERSION_MISMATCH;
    char value[LINE];
    int rc = sensor(device, "memory", value);
    if (rc == SUCCESS)
        sscanf(value, "%llu,%llu,%llu", &out->total, &out->reserved, &out->used);
    return rc;
}

EXPORT int nvmlDeviceGetRowRemapperHistogram(void *device, unsigned *out) {
    char value[LINE];
    int rc = sensor(device, "histogram", value); /* max,high,partial,low,none */
    if (rc == SUCCESS)
        sscanf(value, "%u,%u,%u,%u,%u", &out[0], &out[1], &out[2], &out[3], &out[4]);
    return rc;
}

struct repair {
    unsigned version, channel, tpc;
};

EXPORT int nvmlDeviceGetRepairStatus(void *device, struct repair *out) {
    return as_uint(device, "repair_pending", &out->channel);
}

EXPORT int nvmlDeviceGetUnrepairableMemoryFlag_v1(void *device, unsigned *out) {
    return as_uint(device, "unrepairable", &out[1]); /* behind the version */
}

struct fabric {
    unsigned version;
    unsigned char cluster[16];
    int status;
    unsigned clique;
    unsigned state; /* four bytes in version 2, one in version 3 with three of padding */
    unsigned mask;
    unsigned char summary;
};

EXPORT int nvmlDeviceGetGpuFabricInfoV(void *device, struct fabric *out) {
    unsigned version = out->version >> 24;
    if (version > (unsigned)number_of("fabric.version", 3))
        return VERSION_MISMATCH;
    char value[LINE];
    unsigned state = 0, summary = 0;
    int rc = sensor(device, "fabric", value); /* state,status,mask,summary */
    if (rc == SUCCESS)
        sscanf(value, "%u,%d,%i,%u", &state, &out->status, (int *)&out->mask, &summary);
    *(unsigned char *)&out->state = (unsigned char)state;
    if (version == 3)
        out->summary = (unsigned char)summary;
    return rc;
}
#endif

struct sram {
    unsigned version;
    unsigned long long aggregate_parity, aggregate_secded, aggregate_corrected;
    unsigned long long volatile_parity, volatile_secded, volatile_corrected;
    unsigned long long buckets[5];
    unsigned threshold_exceeded;
};

#ifndef OLD_DRIVER
EXPORT int nvmlDeviceGetSramEccErrorStatus(void *device, struct sram *out) {
    if (out->version != (sizeof *out | 1u << 24))
        return VERSION_MISMATCH;
    char value[LINE];
    int rc = sensor(device, "sram", value); /* volatile,aggregate,threshold */
    if (rc == SUCCESS)
        sscanf(value, "%llu,%llu,%u", &out->volatile_secded, &out->aggregate_secded,
               &out->threshold_exceeded);
    return rc;
}
#endif

EXPORT int nvmlDeviceGetRemappedRows(void *device, unsigned *corrected, unsigned *uncorrected,
                                     unsigned *pending, unsigned *failed) {
    char value[LINE];
    int rc = sensor(device, "rows", value); /* corrected,uncorrected,pending,failed */
    if (rc == SUCCESS)
        sscanf(value, "%u,%u,%u,%u", corrected, uncorrected, pending, failed);
    return rc;
}

static int reasons(void *device, const char *name, unsigned long long *out) {
    unsigned mask = 0;
    int rc = as_uint(device, name, &mask);
    *out = mask;
    return rc;
}

#ifndef OLD_DRIVER
EXPORT int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *out) {
    return reasons(device, "event_reasons", out);
}
#endif

EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *out) {
    return reasons(device, "throttle_reasons", out); /* the name before driver 535 */
}

EXPORT int nvmlDeviceGetTemperature(void *device, int kind, unsigned *out) {
    (void)kind;
    return as_uint(device, "temperature", out);
}

#ifndef OLD_DRIVER
struct margin {
    unsigned version;
    int margin;
};

EXPORT int nvmlDeviceGetMarginTemperature(void *device, struct margin *out) {
    if (out->version != (sizeof *out | 1u << 24))
        return VERSION_MISMATCH;
    return as_uint(device, "margin", (unsigned *)&out->margin);
}
#endif

struct field {
    unsigned id, scope;
    long long timestamp, latency;
    unsigned type;
    int rc;
    union {
        double d;
        unsigned long long ull;
        int si;
    } value;
};

EXPORT int nvmlDeviceGetFieldValues(void *device, int count, struct field *fields) {
    char name[32], value[LINE];
    int rc = (int)number_of("fields.rc", SUCCESS);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, fields[i].scope ? "field%u.%u" : "field%u", fields[i].id,
                 fields[i].scope); /* of a link: field161.3; of the first, and of none: field161 */
        fields[i].rc = sensor(device, name, value);
        fields[i].type = 3;
        if (fields[i].rc == SUCCESS)
            fields[i].value.ull = strtoull(value, NULL, 0);
        if (fields[i].rc == SUCCESS && value[0] == '-') {
            fields[i].type = 5;
            fields[i].value.si = (int)strtol(value, NULL, 0);
        }
    }
    return rc;
}
