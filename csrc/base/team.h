/* The OpenMP layer of threads: what base/openmp.c offers, and how it is had. Called by base/parallel.c. */
#ifndef FC_TEAM_H
#define FC_TEAM_H

/* What each thread of a team does, i = 0 on the caller. */
typedef void (*fc_member)(void *job, int i);

typedef struct {
    int (*most)(void); /* threads that a team of the caller may have now; 1 within another team */
    /* Lets each thread of a team of so many, or fewer, do its part; returns when all have. */
    void (*work)(int threads, fc_member member, void *job);
} fc_team;

/* The one name that the shared object of base/openmp.c has for others. */
#define FC_TEAM_SYMBOL "fastconv_openmp_team"

/* Loads that shared object; NULL where it cannot be, with the reason. */
const fc_team *fc_load_team(const char *path, const char **reason);

#endif
