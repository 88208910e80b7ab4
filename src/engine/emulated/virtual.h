/* virtual.h: emulated engines in virtual time. An instance that has joined a world asks it to let time pass
 * instead of sleeping; nothing else of it changes. For simulators and tests, on one thread. */
#ifndef TL_ENGINE_EMULATED_VIRTUAL_H
#define TL_ENGINE_EMULATED_VIRTUAL_H

#include "engine/engine_impl.h"
#include "engine/llm/llm.h"

/* A part of what a quantum computes: of a batch engine all units and their tokens; of an LLM one prompt's new tokens
 * (PREFILL) or a sequence that gets its next token (DECODE), with `context` tokens before them. */
struct tl_emulated_work {
    enum tl_primitive op;
    uint32_t units, tokens, context;
};

struct tl_emulated_world {
    void *context;
    /* ms that a quantum of this work takes on the instance; NULL: what its settings say. */
    double (*price)(void *context, const struct tl_engine *engine, const struct tl_emulated_work *works, size_t count);
    /* Called once per quantum that takes time, within `step` and before it reports what the quantum finished. */
    void (*spend)(void *context, uint64_t nanoseconds);
    /* What nobody sees of a language model's iterations may be computed later, together with that of others
     * (emulated_ahead.c): times and results are the same, but text is told of late and in larger portions, only the
     * first of an answer when it is there. */
    bool ahead;
    /* Prefixes and temporary collections of its instances that are alive now: 0 when all values are gone. */
    uint64_t resources;
};

/* Before open; `engine` is of type emulated. The world must outlive the instance and the values that it gave. */
void tl_emulated_join(struct tl_engine *engine, struct tl_emulated_world *world);

/* What an instance that is a language model keeps. */
struct tl_emulated_kv {
    uint64_t tokens, most; /* in its sequences: now, and the most of an iteration so far */
    uint64_t limit;        /* of these: setting kv_tokens */
    uint64_t postponed;    /* iterations that were computed after their time: tl_emulated_world.ahead */
    struct tl_llm_counters work;
};

/* Between open and destroy; zeros for an instance that is none. */
void tl_emulated_get_kv(const struct tl_engine *engine, struct tl_emulated_kv *kv);

#endif
