/* The table of processor families, which of them this is, and how large its caches are. Called by the kernels' cost
 * functions and plans, and by Python, which shows the family; tests set it.
 *
 * Three rows are measured, as their `source` says: bandwidths by `fastconv info --measure`, and the other numbers, as
 * the constants of the cost functions, by bench/regret.py (on Zen 4 also by what docs/measured has of it). Of Zen 3
 * that is what vectors of 32 bytes take; its bandwidths are those of Zen 4. The others are assumed: the number and
 * width of the multiply-add units is what is generally known of these families, and was not checked here; for all else,
 * families without a figure of their own take that of the nearest measured one, Zen 2 that of Zen 3, and all others the
 * costs of single kernels from Zen 5. */
#include "base/processor.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/kernel_costs.h"
#include "fastconv.h"

#define ASSUMED "assumed, not measured"

enum {
    GENERIC,
    ZEN_2,
    ZEN_3,
    ZEN_4,
    ZEN_5,
    ZEN_5_NARROW,
    HASWELL,
    SKYLAKE_X,
    ICE_LAKE,
    ICE_LAKE_CLIENT,
    SAPPHIRE_RAPIDS
};

/* As on Zen 5, where they were measured; of Winograd's products, what leaves its costs there in proportion to others.
 */
#define USUAL {1.2, 1.2, 1, 1.15, 1.4, 2.5, 1, 1, 1, 1, 1}
#define OF_ZEN_3 {1.13, 1.06, 1, 1.23, 1.4, 2.4, 0.85, 1.9, 1, 1, 1}

typedef struct {
    fc_processor processor;
    fc_kernel_costs kernels;
} processor_row;

/* Without fused multiply-adds, a product of 16 bytes is a multiplication and an addition. */
static const processor_row families[] = {
    [GENERIC] = {{"generic", {0.5, 0.5, 0.5}, {0.46, 0.46, 0.64}, 1, 1, 32, 16, 5, ASSUMED}, USUAL},
    [ZEN_2] = {{"Zen 2", {0.5, 0.5, 1}, {0.43, 0.43, 1}, 0.49, 1, 32, 25, 4.5, ASSUMED}, OF_ZEN_3},
    [ZEN_3] = {{"Zen 3", {0.5, 0.5, 1}, {0.43, 0.43, 1}, 0.49, 1, 32, 25, 4.5, "measured"}, OF_ZEN_3},
    [ZEN_4] = {{"Zen 4", {0.5, 0.5, 1}, {0.46, 0.46, 1}, 1, 1, 32, 25, 4.5, "measured"},
               {1.17, 1.17, 1.16, 1.3, 2, 1, 0.55, 0.55, 0.7, 1, 1}},
    [ZEN_5] = {{"Zen 5", {0.5, 0.5, 0.5}, {0.46, 0.46, 0.64}, 0.65, 0.55, 64, 28, 6.5, "measured"}, USUAL},
    [ZEN_5_NARROW] =
        {{"Zen 5 with units of 32 bytes", {0.5, 0.5, 1}, {0.46, 0.46, 1}, 0.65, 0.55, 32, 25, 6.5, ASSUMED}, USUAL},
    [HASWELL] = {{"Haswell to Raptor Lake", {1, 0.5, 1}, {0.46, 0.46, 1}, 1, 1, 32, 16, 5, ASSUMED}, USUAL},
    [SKYLAKE_X] = {{"Skylake-X and Cascade Lake", {1, 0.5, 0.5}, {0.46, 0.46, 0.64}, 1, 1, 50, 8, 4, ASSUMED}, USUAL},
    [ICE_LAKE] = {{"Ice Lake, server", {1, 0.5, 0.5}, {0.46, 0.46, 0.64}, 1, 1, 50, 8, 4, ASSUMED}, USUAL},
    [ICE_LAKE_CLIENT] = {{"Ice, Tiger and Rocket Lake", {1, 0.5, 1}, {0.46, 0.46, 1}, 1, 1, 50, 16, 5, ASSUMED}, USUAL},
    [SAPPHIRE_RAPIDS] = {{"Sapphire Rapids",
                          {0.75, 0.5, 0.5},
                          {0.46, 0.46, 0.64},
                          1,
                          1,
                          50,
                          8,
                          4,
                          "its limits measured, not its kernels"},
                         USUAL},
};

/* Zen 4 with vectors of 32 bytes: units as those of Zen 3, for which instructions of 64 bytes are taken apart.
 * Transforms have 16 registers instead of 32. */
static const processor_row zen_4_narrow = {{"Zen 4", {0.5, 0.5, 1}, {0.43, 0.43, 1}, 0.49, 1, 32, 25, 4.5, "measured"},
                                           {1.13, 1.06, 1.1, 1.23, 1.7, 2.4, 0.85, 1.9, 1, 1.4, 1.3}};

static int row_in_use = GENERIC;
const fc_processor *fc_processor_of[2] = {&families[GENERIC].processor, &families[GENERIC].processor};
const fc_kernel_costs *fc_kernel_costs_of[2] = {&families[GENERIC].kernels, &families[GENERIC].kernels};

/* ---- which family is it? ---- */

enum { AMD, INTEL };

/* Models [first, last] of a family; the first line that fits counts. */
static const struct {
    int vendor, family, first, last, row;
} models[] = {
    {AMD, 0x17, 0x30, 0xff, ZEN_2},          {AMD, 0x19, 0x10, 0x1f, ZEN_4},
    {AMD, 0x19, 0x60, 0xaf, ZEN_4},          {AMD, 0x19, 0x00, 0xff, ZEN_3},
    {AMD, 0x1a, 0x20, 0x3f, ZEN_5_NARROW},   {AMD, 0x1a, 0x60, 0x6f, ZEN_5_NARROW},
    {AMD, 0x1a, 0x00, 0xff, ZEN_5},          {INTEL, 6, 0x55, 0x55, SKYLAKE_X},
    {INTEL, 6, 0x6a, 0x6c, ICE_LAKE},        {INTEL, 6, 0x7d, 0x7e, ICE_LAKE_CLIENT},
    {INTEL, 6, 0x8c, 0x8d, ICE_LAKE_CLIENT}, {INTEL, 6, 0xa7, 0xa7, ICE_LAKE_CLIENT},
    {INTEL, 6, 0x8f, 0x8f, SAPPHIRE_RAPIDS}, {INTEL, 6, 0xcf, 0xcf, SAPPHIRE_RAPIDS}, /* Emerald Rapids */
    {INTEL, 6, 0xad, 0xae, SAPPHIRE_RAPIDS},                                          /* Granite Rapids */
    {INTEL, 6, 0x3c, 0x3f, HASWELL},         {INTEL, 6, 0x45, 0x47, HASWELL},
    {INTEL, 6, 0x4e, 0x4f, HASWELL},         {INTEL, 6, 0x56, 0x5e, HASWELL},
    {INTEL, 6, 0x8e, 0x9e, HASWELL},         {INTEL, 6, 0xa5, 0xa6, HASWELL},
    {INTEL, 6, 0xb7, 0xbf, HASWELL},
};

int fc_processor_row(const char *vendor, int family, int model) {
    int is_amd = !strcmp(vendor, "AuthenticAMD"), is_intel = !strcmp(vendor, "GenuineIntel");
    if (!is_amd && !is_intel) return GENERIC;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (models[i].vendor == (is_amd ? AMD : INTEL) && models[i].family == family && models[i].first <= model &&
            model <= models[i].last)
            return models[i].row;
    return GENERIC;
}

#if defined(__x86_64__)
#include <cpuid.h>

static int find_row(void) {
    unsigned a, b, c, d;
    char vendor[13] = "";
    if (!__get_cpuid(0, &a, &b, &c, &d)) return GENERIC;
    memcpy(vendor, &b, 4), memcpy(vendor + 4, &d, 4), memcpy(vendor + 8, &c, 4);
    if (!__get_cpuid(1, &a, &b, &c, &d)) return GENERIC;
    int family = a >> 8 & 15, model = (int)(a >> 4 & 15);
    if (family == 6 || family == 15) model += (int)(a >> 12 & 0xf0);
    if (family == 15) family += a >> 20 & 0xff;
    return fc_processor_row(vendor, family, model);
}
#else
static int find_row(void) { return GENERIC; }
#endif

/* When the library is loaded, so that no cost is predicted before. */
__attribute__((constructor)) static void find_family(void) { fc_select_processor(find_row()); }

int fc_processor_count(void) { return (int)(sizeof families / sizeof *families); }

const char *fc_processor_name(int row) { return families[row].processor.name; }

const char *fc_processor_source(int row) { return families[row].processor.source; }

int fc_selected_processor(void) { return row_in_use; }

void fc_select_processor(int row) {
    const processor_row *rows[2] = {row == ZEN_4 ? &zen_4_narrow : &families[row], &families[row]};
    row_in_use = row;
    for (int i = 0; i < 2; i++) fc_processor_of[i] = &rows[i]->processor, fc_kernel_costs_of[i] = &rows[i]->kernels;
}

/* ---- caches ---- */

static int64_t l2_bytes, l3_bytes;

/* The size of a cache as the kernel tells it, or else `usual`. sysconf is not asked: in virtual machines it reports the
 * L3 of a whole server. */
static int64_t cache_bytes(int index, int64_t usual) {
    char path[80];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", index);
    FILE *file = fopen(path, "re");
    if (!file) return usual;
    long long size = 0;
    char unit = 0;
    int read = fscanf(file, "%lld%c", &size, &unit);
    fclose(file);
    if (read < 1 || size <= 0) return usual;
    return unit == 'K' ? size << 10 : unit == 'M' ? size << 20 : size;
}

static void find_caches(void) {
    int64_t bytes = cache_bytes(2, 1 << 20);
    l2_bytes = bytes < 512 << 10 ? 512 << 10 : bytes > 2 << 20 ? 2 << 20 : bytes;
    l3_bytes = cache_bytes(3, 16 << 20);
}

static pthread_once_t caches_found = PTHREAD_ONCE_INIT;

int64_t fc_l2_bytes(void) {
    pthread_once(&caches_found, find_caches);
    return l2_bytes;
}

double fc_stream_cycles(double bytes, double again) {
    pthread_once(&caches_found, find_caches);
    const fc_processor *p = fc_processor_of[1]; /* those of a family have the same bandwidths */
    double beyond = again < (double)l3_bytes ? again / (double)l3_bytes : 1;
    return bytes * ((1 - beyond) / p->l3 + beyond / p->memory);
}
