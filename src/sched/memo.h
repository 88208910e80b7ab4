/* memo.h: what pure primitives have computed, remembered across queries.
 *
 * A table from content to value. A key is the SHA-256 of everything that a result depends on: primitive, attributes,
 * engine and its model, the tenant, and the inputs' content. Whoever wants a result *claims* its key:
 *
 *     claim ──► KNOWN    the value is there
 *           ──► MINE     nobody has it: the claimant computes it and then calls tl_memo_produce
 *           ──► AWAITED  somebody computes it just now: the claimant gets it from there
 *
 * An entry is either *pending* (one claim produces it, others wait in order of their coming) or *ready* (it has a
 * value). Only ready entries count against the bound and may be evicted.
 *
 * Invariants (tl_memo_is_valid; tl_sched_is_valid calls it and checks from the runs' side that 1 and 2 hold of them):
 *   1. a pending entry has exactly one producer, which belongs to a live run and is computing it, or about to: so each
 *      waiter is served when its producer is done, and takes its place when it gives up. Nobody waits for nothing
 *   2. a claim waits for, or produces, at most one entry, and gives it up before its run's memory goes
 *   3. an entry's value depends on its key alone: who computed it, with whom in a batch and when, does not matter
 *   4. bytes and number of ready entries are those of the heap, and at most the bound after each call
 *   5. no value is older than its key: an index is part of a key with a version that its content has reached
 *
 * Eviction is GreedyDual-Size-Frequency: an entry's priority is the age of the table when it was last used, plus uses
 * x predicted ms of computing it anew / bytes; the lowest goes first and its priority becomes the age, so what was dear
 * once but is not asked for any more goes in its turn. A heap: O(log n) for each use.
 *
 * Plain data: no thread, no clock, no I/O. */
#ifndef TL_SCHED_MEMO_H
#define TL_SCHED_MEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/hash.h"
#include "base/primitive.h"
#include "base/str.h"
#include "base/value.h"

struct tl_memo;
struct tl_memo_entry;

struct tl_memo_key {
    uint8_t bytes[TL_SHA256_SIZE];
};

/* Somebody's interest in an entry; memory of whoever is interested, zeroed before its first use. */
struct tl_memo_claim {
    struct tl_memo_entry *entry;           /* that it produces or waits for; NULL: none */
    struct tl_memo_claim *next, *previous; /* among those who wait */
    void *owner;                           /* the claimant's own, with the next */
    uint32_t position;
};

enum tl_memo_state { TL_MEMO_KNOWN, TL_MEMO_MINE, TL_MEMO_AWAITED };

struct tl_memo_counters {
    uint64_t hits;      /* results that were there */
    uint64_t misses;    /* results that had to be computed */
    uint64_t shared;    /* results that were being computed for somebody else */
    uint64_t evictions;
    uint64_t entries;   /* ready ones, now */
    uint64_t bytes;     /* of them */
    double ms_saved;    /* predicted: of what hits and shared results would have taken */
};

/* bytes: the bound of what is kept, beyond 0. */
struct tl_memo *tl_memo_create(size_t bytes);
void tl_memo_destroy(struct tl_memo *memo); /* NULL is allowed; nothing may be pending */

/* KNOWN: *value is a reference. `ms` is what computing it would take, as predicted. */
enum tl_memo_state tl_memo_claim(struct tl_memo *memo, const struct tl_memo_key *key, double ms,
                                 struct tl_memo_claim *claim, struct tl_value **value);
/* The producer has the value (borrowed). Returns those who waited, in order, linked by `next`: the caller gives each of
 * them the value. No claim on the entry remains. */
struct tl_memo_claim *tl_memo_produce(struct tl_memo *memo, struct tl_memo_claim *claim, struct tl_value *value);
/* The claim, which produces or waits, is not wanted any more. Returns who has to produce instead of it; NULL: nobody
 * has to. */
struct tl_memo_claim *tl_memo_give_up(struct tl_memo *memo, struct tl_memo_claim *claim);
/* True when the claim is its entry's producer. */
bool tl_memo_produces(const struct tl_memo_claim *claim);
/* Who computes what the claim waits for. */
const struct tl_memo_claim *tl_memo_producer(const struct tl_memo_claim *claim);

void tl_memo_get_counters(const struct tl_memo *memo, struct tl_memo_counters *counters); /* memo NULL: all 0 */
/* Checks the table; calls `each` for the producer and for each waiter of a pending entry. Appends what is wrong. */
bool tl_memo_is_valid(const struct tl_memo *memo, struct tl_str *why,
                      void (*each)(void *context, const struct tl_memo_claim *claim, bool produces), void *context);

/* ---- keys (memo_key.c) ---- */

/* Everything but the element that a primitive's result depends on. */
struct tl_memo_about {
    enum tl_primitive op;
    const struct tl_attributes *attributes;
    const char *tenant, *engine, *model, *model_digest;
    struct tl_value *const *inputs; /* `element` among them is left out */
    size_t input_count, element;
};

/* False when the inputs do not say what the result depends on: an index without a version, a collection of the run's
 * own, a document that is read from a path, what an engine holds. */
bool tl_memo_about_key(struct tl_sha256 *hash, const struct tl_memo_about *about, struct tl_memo_key *key);
/* The key of one element (a list item, or the whole input) under the key of all that is about it. Of a hit only the passage
 * counts, because `score` looks at nothing else. */
bool tl_memo_element_key(struct tl_sha256 *hash, const struct tl_memo_key *about, const struct tl_value *element,
                         struct tl_memo_key *key);

#endif
