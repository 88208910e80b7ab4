/* memo.c: the table: entries by key, claims on those that are pending, a heap of those that are ready. */
#include "sched/memo.h"

#include <stdarg.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

struct tl_memo_entry {
    struct tl_memo_key key;
    struct tl_memo_entry *next;       /* in its bucket */
    struct tl_value *value;           /* a reference; NULL: pending */
    struct tl_memo_claim *producer;   /* pending: who computes it */
    struct tl_memo_claim *first, *last; /* pending: who waits, in order of their coming */
    double ms;                        /* predicted, of computing it anew */
    double priority;
    uint64_t uses;
    size_t bytes;
    size_t position;                  /* in the heap */
};

struct tl_memo {
    size_t bound;
    struct tl_memo_entry **buckets;
    size_t bucket_count, entry_count; /* pending ones too */
    struct tl_memo_entry **heap;      /* of the ready ones; the lowest priority first */
    size_t heap_count, heap_capacity;
    double age;
    struct tl_memo_counters counters;
};

struct tl_memo *tl_memo_create(size_t bytes) {
    struct tl_memo *memo = tl_mem_zalloc(sizeof *memo);
    memo->bound = bytes;
    memo->bucket_count = 256;
    memo->buckets = tl_mem_zalloc(memo->bucket_count * sizeof *memo->buckets);
    return memo;
}

/* ---- by key: the keys' bits are as good as random ---- */

static struct tl_memo_entry **bucket_of(const struct tl_memo *memo, const struct tl_memo_key *key) {
    uint64_t bits;
    memcpy(&bits, key->bytes, sizeof bits);
    return &memo->buckets[bits & (memo->bucket_count - 1)];
}

static struct tl_memo_entry *find(const struct tl_memo *memo, const struct tl_memo_key *key) {
    struct tl_memo_entry *entry = *bucket_of(memo, key);
    while (entry && memcmp(&entry->key, key, sizeof *key) != 0) entry = entry->next;
    return entry;
}

static void table_insert(struct tl_memo *memo, struct tl_memo_entry *entry) {
    if (memo->entry_count >= memo->bucket_count) {
        struct tl_memo_entry **old = memo->buckets;
        size_t old_count = memo->bucket_count;
        memo->bucket_count *= 2;
        memo->buckets = tl_mem_zalloc(memo->bucket_count * sizeof *memo->buckets);
        for (size_t i = 0; i < old_count; i++)
            for (struct tl_memo_entry *at = old[i], *next; at; at = next) {
                next = at->next;
                struct tl_memo_entry **bucket = bucket_of(memo, &at->key);
                at->next = *bucket;
                *bucket = at;
            }
        tl_mem_free(old);
    }
    struct tl_memo_entry **bucket = bucket_of(memo, &entry->key);
    entry->next = *bucket;
    *bucket = entry;
    memo->entry_count++;
}

static void table_remove(struct tl_memo *memo, struct tl_memo_entry *entry) {
    struct tl_memo_entry **link = bucket_of(memo, &entry->key);
    while (*link != entry) link = &(*link)->next;
    *link = entry->next;
    memo->entry_count--;
}

/* ---- the heap ---- */

static void heap_place(struct tl_memo *memo, size_t position, struct tl_memo_entry *entry) {
    memo->heap[position] = entry;
    entry->position = position;
}

static void heap_up(struct tl_memo *memo, size_t position) {
    struct tl_memo_entry *entry = memo->heap[position];
    while (position > 0 && entry->priority < memo->heap[(position - 1) / 2]->priority) {
        heap_place(memo, position, memo->heap[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    heap_place(memo, position, entry);
}

static void heap_down(struct tl_memo *memo, size_t position) {
    struct tl_memo_entry *entry = memo->heap[position];
    for (size_t child; (child = 2 * position + 1) < memo->heap_count; position = child) {
        if (child + 1 < memo->heap_count && memo->heap[child + 1]->priority < memo->heap[child]->priority) child++;
        if (entry->priority <= memo->heap[child]->priority) break;
        heap_place(memo, position, memo->heap[child]);
    }
    heap_place(memo, position, entry);
}

static void rate(struct tl_memo *memo, struct tl_memo_entry *entry) {
    entry->priority = memo->age + (double)entry->uses * entry->ms / (double)entry->bytes;
}

static void evict(struct tl_memo *memo) {
    struct tl_memo_entry *entry = memo->heap[0];
    memo->age = entry->priority;
    memo->counters.bytes -= entry->bytes;
    memo->counters.entries--;
    memo->counters.evictions++;
    struct tl_memo_entry *last = memo->heap[--memo->heap_count];
    if (last != entry) {
        heap_place(memo, 0, last);
        heap_down(memo, 0);
    }
    table_remove(memo, entry);
    tl_value_unref(entry->value);
    tl_mem_free(entry);
}

void tl_memo_destroy(struct tl_memo *memo) {
    if (!memo) return;
    while (memo->heap_count > 0) evict(memo);
    TL_ASSERT(memo->entry_count == 0);
    tl_mem_free(memo->heap);
    tl_mem_free(memo->buckets);
    tl_mem_free(memo);
}

/* What the value keeps in memory; parts that other values hold too are counted each time. */
static size_t bytes_of(const struct tl_value *value) {
    size_t bytes = value->bytes;
    if (value->type.depth > 0)
        for (size_t i = 0; i < value->as.list.count; i++) bytes += bytes_of(value->as.list.items[i]);
    else if (value->type.base == TL_TYPE_HIT)
        bytes += bytes_of(value->as.hit.chunk);
    return bytes;
}

/* ---- claims ---- */

static void wait_for(struct tl_memo_entry *entry, struct tl_memo_claim *claim) {
    claim->entry = entry;
    claim->next = NULL;
    claim->previous = entry->last;
    if (entry->last)
        entry->last->next = claim;
    else
        entry->first = claim;
    entry->last = claim;
}

/* Without the value: then nothing was saved. */
static void stop_waiting(struct tl_memo *memo, struct tl_memo_claim *claim) {
    struct tl_memo_entry *entry = claim->entry;
    if (claim->previous)
        claim->previous->next = claim->next;
    else
        entry->first = claim->next;
    if (claim->next)
        claim->next->previous = claim->previous;
    else
        entry->last = claim->previous;
    claim->next = claim->previous = NULL;
    claim->entry = NULL;
    memo->counters.shared--;
    memo->counters.ms_saved -= entry->ms;
}

enum tl_memo_state tl_memo_claim(struct tl_memo *memo, const struct tl_memo_key *key, double ms,
                                 struct tl_memo_claim *claim, struct tl_value **value) {
    TL_ASSERT(!claim->entry);
    struct tl_memo_entry *entry = find(memo, key);
    if (entry && entry->value) {
        entry->uses++;
        rate(memo, entry);
        heap_down(memo, entry->position); /* it never becomes lower: the age only grows */
        memo->counters.hits++;
        memo->counters.ms_saved += entry->ms;
        *value = tl_value_ref(entry->value);
        return TL_MEMO_KNOWN;
    }
    if (entry) {
        entry->uses++;
        wait_for(entry, claim);
        memo->counters.shared++;
        memo->counters.ms_saved += entry->ms;
        return TL_MEMO_AWAITED;
    }
    entry = tl_mem_zalloc(sizeof *entry);
    entry->key = *key;
    entry->ms = ms;
    entry->uses = 1;
    entry->producer = claim;
    claim->entry = entry;
    table_insert(memo, entry);
    memo->counters.misses++;
    return TL_MEMO_MINE;
}

bool tl_memo_produces(const struct tl_memo_claim *claim) { return claim->entry && claim->entry->producer == claim; }

const struct tl_memo_claim *tl_memo_producer(const struct tl_memo_claim *claim) { return claim->entry->producer; }

struct tl_memo_claim *tl_memo_produce(struct tl_memo *memo, struct tl_memo_claim *claim, struct tl_value *value) {
    TL_ASSERT(tl_memo_produces(claim));
    struct tl_memo_entry *entry = claim->entry;
    struct tl_memo_claim *waiting = entry->first;
    claim->entry = NULL;
    for (struct tl_memo_claim *at = waiting; at; at = at->next) at->entry = NULL;
    entry->producer = entry->first = entry->last = NULL;
    entry->bytes = sizeof *entry + bytes_of(value);
    if (entry->bytes > memo->bound) {
        table_remove(memo, entry);
        tl_mem_free(entry);
        return waiting;
    }
    entry->value = tl_value_ref(value);
    memo->counters.bytes += entry->bytes;
    memo->counters.entries++;
    rate(memo, entry);
    memo->heap = tl_mem_grow(memo->heap, &memo->heap_capacity, memo->heap_count + 1, sizeof *memo->heap);
    memo->heap[memo->heap_count++] = entry;
    heap_up(memo, memo->heap_count - 1);
    while (memo->counters.bytes > memo->bound) evict(memo);
    return waiting;
}

struct tl_memo_claim *tl_memo_give_up(struct tl_memo *memo, struct tl_memo_claim *claim) {
    struct tl_memo_entry *entry = claim->entry;
    TL_ASSERT(entry && !entry->value);
    if (entry->producer != claim) {
        stop_waiting(memo, claim);
        return NULL;
    }
    claim->entry = NULL;
    struct tl_memo_claim *heir = entry->first;
    if (heir) {
        stop_waiting(memo, heir);
        memo->counters.misses++;
        heir->entry = entry;
        entry->producer = heir;
        return heir;
    }
    table_remove(memo, entry);
    tl_mem_free(entry);
    return NULL;
}

/* ---- looking ---- */

void tl_memo_get_counters(const struct tl_memo *memo, struct tl_memo_counters *counters) {
    *counters = memo ? memo->counters : (struct tl_memo_counters){0};
}

__attribute__((format(printf, 2, 3))) static bool finding(struct tl_str *why, const char *format, ...) {
    if (!why) return false;
    va_list args;
    va_start(args, format);
    tl_str_vprintf(why, format, args);
    va_end(args);
    tl_str_putc(why, '\n');
    return false;
}

static bool entry_is_valid(const struct tl_memo *memo, const struct tl_memo_entry *entry, struct tl_str *why) {
    if (entry->value) {
        if (entry->producer || entry->first) return finding(why, "a remembered value has claims");
        if (entry->position >= memo->heap_count || memo->heap[entry->position] != entry)
            return finding(why, "a remembered value is not in the heap");
        if (entry->position > 0 && entry->priority < memo->heap[(entry->position - 1) / 2]->priority)
            return finding(why, "the heap of remembered values is out of order");
        return true;
    }
    if (!entry->producer || entry->producer->entry != entry) return finding(why, "a pending value has no producer");
    for (const struct tl_memo_claim *claim = entry->first, *before = NULL; claim; before = claim, claim = claim->next)
        if (claim->entry != entry || claim->previous != before || (!claim->next && entry->last != claim))
            return finding(why, "the list of those who wait for a value is broken");
    return true;
}

bool tl_memo_is_valid(const struct tl_memo *memo, struct tl_str *why,
                      void (*each)(void *context, const struct tl_memo_claim *claim, bool produces), void *context) {
    bool good = true;
    size_t entries = 0, ready = 0, bytes = 0;
    for (size_t b = 0; b < memo->bucket_count; b++)
        for (const struct tl_memo_entry *entry = memo->buckets[b]; entry; entry = entry->next) {
            good = entry_is_valid(memo, entry, why) && good;
            entries++;
            ready += entry->value != NULL;
            bytes += entry->value ? entry->bytes : 0;
            if (entry->value || !good) continue;
            each(context, entry->producer, true);
            for (const struct tl_memo_claim *claim = entry->first; claim; claim = claim->next)
                each(context, claim, false);
        }
    if (entries != memo->entry_count || ready != memo->heap_count || ready != memo->counters.entries)
        good = finding(why, "%zu values, %zu of them ready, but %zu and %zu are counted", entries, ready,
                       memo->entry_count, memo->heap_count);
    if (bytes != memo->counters.bytes || bytes > memo->bound)
        good = finding(why, "remembered values take %zu bytes, counted are %llu, allowed %zu", bytes,
                       (unsigned long long)memo->counters.bytes, memo->bound);
    return good;
}
