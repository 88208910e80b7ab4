/* policy.c: the policies by name. */
#include "sched/policy.h"

#include <string.h>

static const struct tl_policy *const policies[] = {&tl_policy_fifo};

const struct tl_policy *tl_policy_find(const char *name) {
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++)
        if (strcmp(policies[i]->name, name) == 0) return policies[i];
    return NULL;
}
