/* What does a machine with any GPUs, sick ones too, look like through NVML? A stand-in for tests.
 *
 * Reads the file named by NVML_STUB_STATE on each call, lines of key=value:
 *   init.rc=9                      nvmlInit fails
 *   gpu0.bus=00000000:3B:00.0      there is a GPU; without it there is none
 *   gpu0.rc=15                     every call for it answers so (15: lost)
 *   gpu0.temperature=41            a sensor's value; without the key it is not supported
 *   gpu0.temperature.rc=999        this sensor fails
 *   gpu0.temperature.delay_ms=500  this sensor takes its time
 * Written from the public interface; never part of the wheel.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))
#define GPUS 16
#define LINE 512

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, VERSION_MISMATCH = 25 };

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

static int sensor(void *device, const char *name, char *value) {
    char key[LINE];
    int gpu = *(int *)device;
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

EXPORT int nvmlInitWithFlags(unsigned flags) { (void)flags; return (int)number_of("init.rc", 0); }
EXPORT int nvmlShutdown(void) { return SUCCESS; }
EXPORT const char *nvmlErrorString(int rc) { (void)rc; return "an error of the stand-in"; }

EXPORT int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device) {
    char key[LINE], value[LINE];
    for (int gpu = 0; gpu < GPUS; gpu++) {
        snprintf(key, sizeof key, "gpu%d.bus", gpu);
        if (!look_up(key, value) || strcmp(value, bus))
            continue;
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
UINT(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width")
UINT(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width_max")
UINT(nvmlDeviceGetPcieReplayCounter, "pcie_replays")

EXPORT int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    *pending = 0;
    return as_uint(device, "mig", current);
}

EXPORT int nvmlDeviceGetEccMode(void *device, unsigned *current, unsigned *pending) {
    int rc = as_uint(device, "ecc", current);
    *pending = *current;
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

struct sram {
    unsigned version;
    unsigned long long aggregate_parity, aggregate_secded, aggregate_corrected;
    unsigned long long volatile_parity, volatile_secded, volatile_corrected;
    unsigned long long buckets[5];
    unsigned threshold_exceeded;
};

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

EXPORT int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *out) {
    return reasons(device, "event_reasons", out);
}

EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *out) {
    return reasons(device, "throttle_reasons", out); /* the name before driver 535 */
}

EXPORT int nvmlDeviceGetTemperature(void *device, int kind, unsigned *out) {
    (void)kind;
    return as_uint(device, "temperature", out);
}

struct margin {
    unsigned version;
    int margin;
};

EXPORT int nvmlDeviceGetMarginTemperature(void *device, struct margin *out) {
    if (out->version != (sizeof *out | 1u << 24))
        return VERSION_MISMATCH;
    return as_uint(device, "margin", (unsigned *)&out->margin);
}

struct field {
    unsigned id, scope;
    long long timestamp, latency;
    unsigned type;
    int rc;
    union {
        double d;
        unsigned u;
        unsigned long long ull;
    } value;
};

EXPORT int nvmlDeviceGetFieldValues(void *device, int count, struct field *fields) {
    char name[32], value[LINE];
    int rc = SUCCESS;
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "field%u", fields[i].id);
        fields[i].rc = sensor(device, name, value);
        fields[i].type = 1;
        if (fields[i].rc == SUCCESS)
            fields[i].value.u = (unsigned)strtoul(value, NULL, 0);
    }
    return rc;
}
