/* events.c: what is to come: a binary heap by time, then in order of cause. */
#include "base/mem.h"
#include "sim/sim_impl.h"

static bool earlier(const struct sim_place *a, const struct sim_place *b) {
    return a->at < b->at || (a->at == b->at && a->sequence < b->sequence);
}

static uint32_t keep(struct tl_sim *sim, const struct sim_event *event) {
    uint32_t number;
    if (sim->unused_count > 0) {
        number = sim->unused[--sim->unused_count];
    } else {
        sim->events = tl_mem_grow(sim->events, &sim->event_capacity, sim->event_count + 1, sizeof *sim->events);
        number = (uint32_t)sim->event_count++;
    }
    sim->events[number] = *event;
    return number;
}

void tl_sim_schedule(struct tl_sim *sim, const struct sim_event *event) {
    struct sim_place place = {.at = event->at, .sequence = ++sim->next_sequence, .event = keep(sim, event)};
    sim->heap = tl_mem_grow(sim->heap, &sim->heap_capacity, sim->heap_count + 1, sizeof *sim->heap);
    size_t at = sim->heap_count++;
    for (; at > 0 && earlier(&place, &sim->heap[(at - 1) / 2]); at = (at - 1) / 2)
        sim->heap[at] = sim->heap[(at - 1) / 2];
    sim->heap[at] = place;
}

struct sim_event *tl_sim_next(const struct tl_sim *sim) {
    return sim->heap_count > 0 ? &sim->events[sim->heap[0].event] : NULL;
}

struct sim_event tl_sim_take(struct tl_sim *sim) {
    struct sim_event event = sim->events[sim->heap[0].event];
    sim->unused = tl_mem_grow(sim->unused, &sim->unused_capacity, sim->unused_count + 1, sizeof *sim->unused);
    sim->unused[sim->unused_count++] = sim->heap[0].event;
    struct sim_place last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (size_t child = 1; child < sim->heap_count; child = 2 * at + 1) {
        if (child + 1 < sim->heap_count && earlier(&sim->heap[child + 1], &sim->heap[child])) child++;
        if (!earlier(&sim->heap[child], &last)) break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return event;
}
