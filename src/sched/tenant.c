/* tenant.c: on whose behalf runs are, and what each tenant was served.
 *
 * Service is counted in predicted ms of engine time when an item starts. Among tenants that have items in a queue
 * the one with the least goes first, so that each gets the same share however many runs it has, and nobody waits
 * while nobody else wants anything. A tenant that was away comes back with no less than the least of those that are
 * there: what it did not use is not saved up. */
#include "base/error.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

/* Beyond so many, those without runs are forgotten. */
enum { TENANTS_KEPT = 1024 };

static uint32_t place_of(struct tl_sched *sched, const char *name) {
    uintptr_t known = (uintptr_t)tl_map_get(&sched->tenant_names, name);
    if (known) return (uint32_t)(known - 1);
    size_t number = sched->tenant_count;
    if (number >= TENANTS_KEPT)
        for (size_t i = 0; i < sched->tenant_count; i++) /* who has been served least loses least */
            if (sched->tenants[i].runs == 0 &&
                (number == sched->tenant_count || sched->tenants[i].served < sched->tenants[number].served))
                number = i;
    if (number == sched->tenant_count) {
        sched->tenants =
            tl_mem_grow(sched->tenants, &sched->tenant_capacity, number + 1, sizeof *sched->tenants);
        sched->tenant_count++;
    } else {
        tl_map_remove(&sched->tenant_names, sched->tenants[number].name);
        tl_mem_free(sched->tenants[number].name);
    }
    sched->tenants[number] = (struct tenant){.name = tl_mem_strdup(name)};
    tl_map_set(&sched->tenant_names, name, (void *)(uintptr_t)(number + 1));
    return (uint32_t)number;
}

uint32_t tl_tenant_enter(struct tl_sched *sched, const char *name) {
    uint32_t number = place_of(sched, name);
    struct tenant *tenant = &sched->tenants[number];
    if (tenant->runs++ > 0) return number;
    const struct tenant *least = NULL;
    for (size_t i = 0; i < sched->tenant_count; i++) {
        const struct tenant *other = &sched->tenants[i];
        if (other != tenant && other->runs > 0 && (!least || other->served < least->served)) least = other;
    }
    if (least && tenant->served < least->served) tenant->served = least->served;
    return number;
}

void tl_tenant_leave(struct tl_sched *sched, uint32_t tenant) {
    TL_ASSERT(sched->tenants[tenant].runs > 0);
    sched->tenants[tenant].runs--;
}

void tl_tenant_fini(struct tl_sched *sched) {
    for (size_t i = 0; i < sched->tenant_count; i++) tl_mem_free(sched->tenants[i].name);
    tl_mem_free(sched->tenants);
    tl_map_fini(&sched->tenant_names);
}
