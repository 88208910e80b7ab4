/* policy.c: the policies by name, and what several of them share. */
#include "sched/policy.h"

#include <string.h>

static const struct tl_policy *const policies[] = {&tl_policy_critical_path, &tl_policy_fifo, &tl_policy_topology,
                                                   &tl_policy_throughput, &tl_policy_per_invocation};

const struct tl_policy *tl_policy_at(size_t index) {
    return index < sizeof policies / sizeof policies[0] ? policies[index] : NULL;
}

const struct tl_policy *tl_policy_find(const char *name) {
    for (size_t i = 0; tl_policy_at(i); i++)
        if (strcmp(tl_policy_at(i)->name, name) == 0) return tl_policy_at(i);
    return NULL;
}

const char *tl_reason_text(enum tl_reason reason) {
    static const char *const texts[TL_REASON_COUNT] = {
        [TL_REASON_NONE] = "",
        [TL_REASON_FIRST] = "first in order",
        [TL_REASON_FITS] = "next in order and there was room",
        [TL_REASON_SIBLING] = "of the same step as the first",
        [TL_REASON_FULL] = "the batch is full",
        [TL_REASON_WAITED] = "waited long enough for a fuller batch",
        [TL_REASON_SAVES] = "joining saves more than it delays",
    };
    return texts[reason];
}

bool tl_ready_before(const struct tl_ready *a, const struct tl_ready *b) {
    if (a->key != b->key) return a->key < b->key;
    if (a->tie != b->tie) return a->tie < b->tie;
    return a->sequence < b->sequence;
}

void tl_policy_take_in_order(const struct tl_offer *offer, struct tl_choice *choice) {
    uint32_t left = offer->free_units;
    for (size_t i = 0; i < offer->count && offer->items[i]->units <= left; i++) {
        if (left != UINT32_MAX) left -= offer->items[i]->units;
        choice->reasons[i] = i == 0 ? TL_REASON_FIRST : TL_REASON_FITS;
    }
}

size_t tl_policy_turn_in_turn(const struct tl_turn *turns, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (turns[i].last_served < turns[best].last_served ||
            (turns[i].last_served == turns[best].last_served && turns[i].oldest < turns[best].oldest))
            best = i;
    return best;
}
