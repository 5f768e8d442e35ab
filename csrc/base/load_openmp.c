/* Loads the OpenMP layer, with the OpenMP library that the process has already, whose team is then also ours: each
 * library has threads of its own, and packages bring copies with names of their own. Where there is none yet, the
 * system's. So what is missing is missing when it is asked for, not when fastconv is imported. */
#define _GNU_SOURCE
#include "base/team.h"
#include "fastconv.h"

/* Set where the build found OpenMP: its version, its library, and a function that compiled code needs of it. */
#ifdef FC_OPENMP

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

enum { MOST_LIBRARIES = 8, LONGEST_PATH = 4096 };

typedef struct {
    int count;
    char paths[MOST_LIBRARIES][LONGEST_PATH];
} libraries;

static int note(struct dl_phdr_info *info, size_t size, void *to) {
    (void)size;
    libraries *found = to;
    const char *slash = strrchr(info->dlpi_name, '/'), *name = slash ? slash + 1 : info->dlpi_name;
    int openmp = !strncmp(name, "libgomp", 7) || !strncmp(name, "libomp", 6) || !strncmp(name, "libiomp", 7);
    if (openmp && found->count < MOST_LIBRARIES && strlen(info->dlpi_name) < LONGEST_PATH)
        strcpy(found->paths[found->count++], info->dlpi_name);
    return 0;
}

/* Makes the functions of the process's OpenMP library visible to what is loaded next. */
static int have_library(void) {
    static libraries found;
    found.count = 0;
    dl_iterate_phdr(note, &found);
    for (int i = 0; i < found.count; i++) {
        void *library = dlopen(found.paths[i], RTLD_NOW | RTLD_NOLOAD);
        int fits = library && dlsym(library, FC_OPENMP_FUNCTION);
        if (fits) dlopen(found.paths[i], RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
        if (library) dlclose(library);
        if (fits) return 1;
    }
    return dlopen(FC_OPENMP_LIBRARY, RTLD_NOW | RTLD_GLOBAL) != NULL;
}

const fc_team *fc_load_team(const char *path, const char **reason) {
    const fc_team *team = NULL;
    if (have_library()) {
        void *layer = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (layer) team = dlsym(layer, FC_TEAM_SYMBOL);
    }
    if (!team) *reason = dlerror();
    return team;
}

const char *fc_openmp_version(void) { return FC_OPENMP; }

#else

const fc_team *fc_load_team(const char *path, const char **reason) {
    (void)path;
    *reason = "it was built without OpenMP";
    return 0;
}

const char *fc_openmp_version(void) { return ""; }

#endif
