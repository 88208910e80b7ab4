/* limit.c: which runs are let in. Decided from counts that are kept, so that a refusal costs no more than looking at them. */
#include <stdio.h>

#include "sched/sched_impl.h"

static const struct tenant *known_tenant(const struct tl_sched *sched, const char *name) {
    static const struct tenant nobody;
    uintptr_t known = (uintptr_t)tl_map_get(&sched->tenant_names, name);
    return known ? &sched->tenants[known - 1] : &nobody;
}

/* ms until `excess` of what ends at `per_ms` has ended. */
static double wait_for(double excess, double per_ms, double otherwise) {
    double ms = per_ms > 0 ? excess / per_ms : otherwise;
    return ms < 1 ? 1 : ms > 60000 ? 60000 : ms;
}

double tl_limit_refuses(const struct tl_sched *sched, const char *name, double work_ms, const char **what) {
    const struct tl_sched_limits *limits = &sched->config.limits;
    const struct tenant *tenant = known_tenant(sched, name);
    double runs = (double)sched->live_runs, rate = sched->live_runs ? 1 / sched->ms_per_run : 0;
    double share = runs > 0 ? (double)tenant->runs / runs : 1; /* of what ends, the tenant's */
    if (limits->runs && sched->live_runs >= limits->runs) {
        *what = "as many runs as are allowed at once are under way";
        return wait_for(runs - (double)limits->runs + 1, rate, work_ms);
    }
    if (limits->tenant_runs && tenant->runs >= limits->tenant_runs) {
        *what = "as many runs as a tenant is allowed at once are under way";
        return wait_for((double)tenant->runs - (double)limits->tenant_runs + 1, rate * share, work_ms);
    }
    /* A run that is larger than the limit is let in when it is the only one. */
    if (limits->work_ms > 0 && sched->live_runs > 0 && sched->live_work + work_ms > limits->work_ms) {
        *what = "as much predicted work as is allowed at once is under way";
        return wait_for(sched->live_work + work_ms - limits->work_ms, rate * sched->live_work / runs, work_ms);
    }
    if (limits->tenant_work_ms > 0 && tenant->runs > 0 && tenant->work + work_ms > limits->tenant_work_ms) {
        *what = "as much predicted work as a tenant is allowed at once is under way";
        return wait_for(tenant->work + work_ms - limits->tenant_work_ms,
                        rate * share * tenant->work / (double)tenant->runs, work_ms);
    }
    return 0;
}

void tl_limit_enter(struct tl_sched *sched, struct run *run) {
    if (sched->live_runs++ == 0) sched->last_end = sched->now;
    run->work = run->plan->critical_ms;
    run->tenant_number = tl_tenant_enter(sched, run->tenant);
    sched->live_work += run->work;
    sched->tenants[run->tenant_number].work += run->work;
}

void tl_limit_leave(struct tl_sched *sched, struct run *run) {
    struct tenant *tenant = &sched->tenants[run->tenant_number];
    tl_tenant_leave(sched, run->tenant_number);
    tenant->work = tenant->runs ? tenant->work - run->work : 0;
    sched->live_work = --sched->live_runs ? sched->live_work - run->work : 0;
    double took = (double)(sched->now - sched->last_end) * 1e-6;
    sched->ms_per_run += (took - sched->ms_per_run) * (sched->ms_per_run > 0 ? 0.1 : 1);
    if (sched->ms_per_run < 0.001) sched->ms_per_run = 0.001;
    sched->last_end = sched->now;
}
