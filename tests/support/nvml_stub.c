/* A libnvidia-ml.so.1 whose GPUs do what the file $NVML_STUB says, one line each, read at every call:
 *   count N                  GPUs there are (2)
 *   fail FUNCTION GPU CODE   a function answers CODE for a GPU (-1: for all, and for calls without one)
 *   mig GPU                  a GPU is cut into 1g.10gb (gi 7) and 3g.40gb (gi 2)
 *   xid GPU CODE             announced once
 *   ecc GPU N                uncorrected errors
 *   nvlink GPU N             it has six links, of which N are up (without: none)
 *   busy GPU N               a process used N per cent of it since it was asked last, another one nothing
 * FUNCTION is the NVML name without `nvml`. Values follow from the GPU's index. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned int uint;
typedef unsigned long long ull;
typedef struct { int gpu, gi; } Device;
typedef struct { char legacy[16]; uint domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
typedef struct { ull total, free, used; } Memory;
typedef struct { uint version; ull total, reserved, free, used; } MemoryV2;
typedef struct { uint gpu, memory; } Utilisation;
typedef struct { uint version, sensor; int temperature; } Temperature;
typedef struct { uint pid; ull memory; uint gi, ci; } Process;
typedef struct { uint pid; ull at; uint sm, memory, encoder, decoder; } Use;
typedef struct { uint sms, copy, decoders, encoders, jpegs, ofas, slices, compute_slices; ull memory_mb; } Attributes;
typedef struct { uint field, scope; long long at, latency; uint type; int code; union { double d; uint u; ull l; } value; } Field;
typedef struct { Device *device; ull type, data; uint gi, ci; } Event;
typedef struct { uint id; int code; double value; char *info[3]; } Metric;
typedef struct { uint version, count; int *before, *after; Metric metrics[512]; } Metrics;

static Device boards[128], instances[128][2];
static int announced, samples;

/* The nth line that starts with `word`; how many numbers follow. */
static int told(const char *word, int n, char *name, int *a, int *b) {
    FILE *file = fopen(getenv("NVML_STUB"), "r");
    char line[200], first[64];
    int found = 0;
    while (file && !found && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%63s", first) != 1 || strcmp(first, word)) continue;
        if (n-- > 0) continue;
        found = name ? sscanf(line, "%*s %63s %d %d", name, a, b) : sscanf(line, "%*s %d %d", a, b);
    }
    if (file) fclose(file);
    return found;
}
static int answer(const char *function, Device *device) {
    char name[64];
    int gpu, code;
    for (int i = 0; told("fail", i, name, &gpu, &code) == 3; i++)
        if (!strcmp(name, function) && (gpu < 0 || (device && device->gpu == gpu))) return code;
    return 0;
}
static int has(const char *word, int gpu, int *value) {
    int at, n = 0;
    for (int i = 0; told(word, i, NULL, &at, &n) > 0; i++)
        if (at == gpu) { *value = n; return 1; }
    return 0;
}
#define ASKED(name, device) do { int code = answer(name, device); if (code) return code; } while (0)

int nvmlInitWithFlags(uint flags) { ASKED("Init", NULL); return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "stub"; }
int nvmlSystemGetDriverVersion(char *text, uint size) { snprintf(text, size, "580.95.05"); return 0; }
int nvmlDeviceGetCount_v2(uint *count) {
    int n = 2, unused;
    ASKED("DeviceGetCount", NULL);
    told("count", 0, NULL, &n, &unused);
    *count = n;
    return 0;
}
int nvmlDeviceGetHandleByIndex_v2(uint index, Device **device) {
    *device = &boards[index];
    (*device)->gpu = index;
    (*device)->gi = -1;
    ASKED("DeviceGetHandleByIndex", *device);
    return 0;
}
int nvmlDeviceGetUUID(Device *d, char *text, uint size) { snprintf(text, size, "GPU-%04d", d->gpu); return 0; }
int nvmlDeviceGetName(Device *d, char *text, uint size) {
    const char *profile[] = {"", " MIG 1g.10gb", " MIG 1c.3g.40gb"};
    snprintf(text, size, "NVIDIA H100 80GB HBM3%s", profile[d->gi == 7 ? 1 : d->gi == 2 ? 2 : 0]);
    return 0;
}
int nvmlDeviceGetPciInfo_v3(Device *d, Pci *pci) { snprintf(pci->bus_id, 32, "00000000:%02X:00.0", d->gpu + 1); return 0; }
int nvmlDeviceGetMemoryInfo(Device *d, Memory *m) { ASKED("DeviceGetMemoryInfo", d); m->used = 5ull << 30; m->free = 75ull << 30; return 0; }
int nvmlDeviceGetMemoryInfo_v2(Device *d, MemoryV2 *m) {
    ASKED("DeviceGetMemoryInfo_v2", d);
    m->used = 4ull << 30, m->free = 75ull << 30, m->reserved = 1ull << 30, m->total = 80ull << 30;
    return 0;
}
int nvmlDeviceGetUtilizationRates(Device *d, Utilisation *u) {
    int cut;
    ASKED("DeviceGetUtilizationRates", d);
    if (has("mig", d->gpu, &cut)) return 3;
    u->gpu = 40 + d->gpu, u->memory = 12;
    return 0;
}
int nvmlDeviceGetPowerUsage(Device *d, uint *mw) { ASKED("DeviceGetPowerUsage", d); *mw = 350500; return 0; }
int nvmlDeviceGetTotalEnergyConsumption(Device *d, ull *mj) { *mj = 123456789; return 0; }
int nvmlDeviceGetTemperatureV(Device *d, Temperature *t) { ASKED("DeviceGetTemperatureV", d); t->temperature = 55; return 0; }
int nvmlDeviceGetTemperature(Device *d, uint sensor, uint *t) { *t = 54; return 0; }
int nvmlDeviceGetClockInfo(Device *d, uint clock, uint *mhz) { *mhz = clock == 1 ? 1980 : 2619; return 0; }
int nvmlDeviceGetCurrentClocksEventReasons(Device *d, ull *mask) { *mask = 0x4; return 0; }
int nvmlDeviceGetPcieReplayCounter(Device *d, uint *n) { *n = 3; return 0; }
int nvmlDeviceGetTotalEccErrors(Device *d, uint type, uint counter, ull *n) {
    int errors = 0;
    if (type) has("ecc", d->gpu, &errors);
    *n = errors;
    return 0;
}
int nvmlDeviceGetRemappedRows(Device *d, uint *c, uint *u, uint *pending, uint *failed) { *c = *u = *pending = *failed = 0; return 0; }
int nvmlDeviceGetFieldValues(Device *d, int n, Field *f) {
    int up;
    for (; n--; f++)
        if (f->field == 82) f->code = answer("FieldValue", d), f->type = 1, f->value.u = 61;
        else f->code = has("nvlink", d->gpu, &up) ? answer("NvLinkField", d) : 3, f->type = 3, f->value.l = f->field;
    return 0;
}
int nvmlDeviceGetNvLinkState(Device *d, uint link, uint *on) {
    int up;
    if (!has("nvlink", d->gpu, &up)) return 3;
    if (link >= 6) return 2;
    *on = link < up;
    return 0;
}
int nvmlDeviceGetNvLinkErrorCounter(Device *d, uint link, uint kind, ull *n) { if (link >= 6) return 2; *n = 2; return 0; }
int nvmlDeviceGetProcessUtilization(Device *d, Use *list, uint *n, ull since) {
    int busy;
    ASKED("DeviceGetProcessUtilization", d);
    if (!has("busy", d->gpu, &busy)) return 6;
    *n = 3;
    if (!list) return 7;
    for (int i = 0; i < 3; i++) list[i] = (Use){100 + i / 2, 1000 + i, i == 2 ? 0 : busy, 0, 0, 0};
    return 0;
}
int nvmlDeviceGetMigMode(Device *d, uint *now, uint *pending) { int n; *now = *pending = has("mig", d->gpu, &n); return 0; }
int nvmlDeviceGetMaxMigDeviceCount(Device *d, uint *n) { *n = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(Device *d, uint seat, Device **mig) {
    if (seat > 2) return 6;
    *mig = &instances[d->gpu][seat > 0]; /* seats 1 and 2: two compute instances of one GPU instance */
    (*mig)->gpu = d->gpu;
    (*mig)->gi = seat ? 2 : 7;
    return 0;
}
int nvmlDeviceGetGpuInstanceId(Device *d, uint *gi) { *gi = d->gi; return 0; }
int nvmlDeviceGetAttributes_v2(Device *d, Attributes *a) { a->slices = 3; a->memory_mb = 40960; return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(Device *d, uint *n, Process *list) {
    ASKED("DeviceGetComputeRunningProcesses", d);
    if (!list) { *n = 2; return 7; }
    *n = 2;
    memset(list, 0, 2 * sizeof *list);
    return 0;
}
int nvmlEventSetCreate(void **set) { *set = &announced; return 0; }
int nvmlEventSetFree(void *set) { return 0; }
int nvmlDeviceRegisterEvents(Device *d, ull types, void *set) { ASKED("DeviceRegisterEvents", d); return 0; }
int nvmlEventSetWait_v2(void *set, Event *event, uint ms) {
    int gpu, code;
    if (told("xid", announced, NULL, &gpu, &code) != 2) return 10;
    announced++;
    event->device = &boards[gpu], event->type = 8, event->data = code;
    return 0;
}
int nvmlGpmQueryDeviceSupport(Device *d, uint *support) { support[1] = 1; ASKED("GpmQueryDeviceSupport", d); return 0; }
int nvmlGpmSampleAlloc(int **sample) { samples++; *sample = calloc(1, sizeof(int)); return 0; }
int nvmlGpmSampleFree(int *sample) { samples--; free(sample); return 0; }
int nvmlGpmSampleGet(Device *d, int *sample) { ASKED("GpmSampleGet", d); *sample = 50; return 0; }
int nvmlGpmMigSampleGet(Device *d, uint gi, int *sample) { ASKED("GpmMigSampleGet", d); *sample = gi == 7 ? 70 : 30; return 0; }
int nvmlGpmMetricsGet(Metrics *m) {
    for (uint i = 0; i < m->count; i++) m->metrics[i].value = *m->after, m->metrics[i].code = m->metrics[i].id == 3 ? 3 : 0;
    return 0;
}
