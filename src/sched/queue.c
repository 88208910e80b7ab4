/* queue.c: queues of ready items in the policy's order, those in front that take over the place of another. */
#include "base/error.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

/* ---- a heap ---- */

bool tl_lane_ahead(const struct sched_item *a, const struct sched_item *b) {
    if (a->ready.continues != b->ready.continues) return a->ready.continues;
    return tl_ready_before(&a->ready, &b->ready);
}

static void put(struct queue *queue, size_t place, struct sched_item *item) {
    queue->items[place] = item;
    item->place = place;
}

static void sift_up(struct queue *queue, size_t place, struct sched_item *item) {
    for (; place > 0 && tl_lane_ahead(item, queue->items[(place - 1) / 2]); place = (place - 1) / 2)
        put(queue, place, queue->items[(place - 1) / 2]);
    put(queue, place, item);
}

static void sift_down(struct queue *queue, size_t place, struct sched_item *item) {
    for (size_t child; (child = 2 * place + 1) < queue->count; place = child) {
        if (child + 1 < queue->count && tl_lane_ahead(queue->items[child + 1], queue->items[child]))
            child++;
        if (!tl_lane_ahead(queue->items[child], item)) break;
        put(queue, place, queue->items[child]);
    }
    put(queue, place, item);
}

/* ---- lanes ---- */

static size_t queue_of(const struct tl_sched *sched, const struct sched_item *item) {
    return sched->policy->fair ? item->ready.tenant : 0;
}

void tl_lane_push(struct tl_sched *sched, struct lane *lane, struct sched_item *item) {
    size_t number = queue_of(sched, item);
    lane->queues = tl_mem_grow(lane->queues, &lane->queue_capacity, number + 1, sizeof *lane->queues);
    while (lane->queue_count <= number) lane->queues[lane->queue_count++] = (struct queue){0};
    struct queue *queue = &lane->queues[number];
    if (queue->count == 0) {
        lane->active = tl_mem_grow(lane->active, &lane->active_capacity, lane->active_count + 1, sizeof *lane->active);
        lane->active[lane->active_count++] = (uint32_t)number;
    }
    queue->items = tl_mem_grow(queue->items, &queue->capacity, queue->count + 1, sizeof(struct sched_item *));
    sift_up(queue, queue->count++, item);
    lane->count++;
    sched->groups[item->group].queued++;
}

static void forget_active(struct lane *lane, size_t number) {
    size_t i = 0;
    while (lane->active[i] != number) i++;
    lane->active[i] = lane->active[--lane->active_count];
}

void tl_lane_remove(struct tl_sched *sched, struct lane *lane, struct sched_item *item) {
    size_t number = queue_of(sched, item), place = item->place;
    struct queue *queue = &lane->queues[number];
    TL_ASSERT(place < queue->count && queue->items[place] == item);
    struct sched_item *last = queue->items[--queue->count];
    lane->count--;
    sched->groups[item->group].queued--;
    if (last != item) {
        sift_down(queue, place, last);
        sift_up(queue, last->place, last);
    }
    if (queue->count == 0) forget_active(lane, number);
}

struct sched_item *tl_lane_earlier(const struct tl_sched *sched, struct sched_item *a, struct sched_item *b) {
    if (!a || !b) return a ? a : b;
    if (sched->policy->fair && a->ready.tenant != b->ready.tenant) {
        double served_a = sched->tenants[a->ready.tenant].served, served_b = sched->tenants[b->ready.tenant].served;
        if (served_a != served_b) return served_a < served_b ? a : b;
    }
    return tl_ready_before(&a->ready, &b->ready) ? a : b;
}

struct sched_item *tl_lane_front(const struct tl_sched *sched, struct sched_item *a, struct sched_item *b) {
    if (a && b && a->ready.continues != b->ready.continues) return a->ready.continues ? a : b;
    return tl_lane_earlier(sched, a, b);
}

struct sched_item *tl_lane_first(const struct tl_sched *sched, const struct lane *lane) {
    struct sched_item *first = NULL;
    for (size_t i = 0; i < lane->active_count; i++)
        first = tl_lane_front(sched, first, lane->queues[lane->active[i]].items[0]);
    return first;
}

void tl_lane_fini(struct lane *lane) {
    for (size_t i = 0; i < lane->queue_count; i++) tl_mem_free(lane->queues[i].items);
    tl_mem_free(lane->queues);
    tl_mem_free(lane->active);
}
