/* mix.h: what a benchmark asks of a language model: how many requests, of which prompts, when.
 *
 * A mix is a handful of numbers; a load is the requests that follow from it and a seed. The prompts
 * are common English words in random order, one token each in the usual vocabularies, so that a
 * length in tokens is a number of words; what a model's chat template adds is found by a probe
 * and taken off (`overhead`), so that prompts have the lengths that were asked for. Prompts of
 * one prefix begin with the same words; nothing else is shared but by chance.
 *
 * Requests come in a closed loop (`concurrency` clients, each sends its next request when it has
 * its answer) or an open one (`rate` arrivals a second with exponential gaps, whatever the server
 * does; latency counts from the time that a request was meant to be sent). */
#ifndef TL_BENCH_MIX_H
#define TL_BENCH_MIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "teola/status.h"

/* A number of tokens, drawn evenly from both ends included. */
struct tl_bench_range {
    uint32_t least, most;
};

struct tl_bench_mix {
    uint32_t requests;
    uint32_t shared;   /* tokens at the beginning that requests of one prefix share; 0: none */
    uint32_t prefixes; /* of these, taken in rotation; at least 1 when shared > 0 */
    struct tl_bench_range prompt; /* tokens of each request's own */
    struct tl_bench_range output; /* tokens written; forced */
    uint32_t concurrency;         /* closed loop: clients; 0: open loop */
    double rate;                  /* open loop: arrivals a second */
    /* Long prompts that arrive while the others write: each when all requests before it together have written a
     * number of pieces. Their own outputs are short; what they do to the others' gaps is reported. */
    uint32_t intruders, intruder_prompt, intruder_output;
    uint32_t intruder_pieces; /* pieces of text, of all, between two of them */
};

/* The mixes known by name: "unshared", "shared", "workflows", "arrival". False: there is none of that name. */
bool tl_bench_mix_find(const char *name, struct tl_bench_mix *mix);
extern const char *const tl_bench_mix_names[]; /* ends with NULL */

/* "300" or "100-500". False when it is neither, or a bound is 0 or above 1,000,000, or they are in the wrong order. */
bool tl_bench_range_parse(const char *text, struct tl_bench_range *range);

struct tl_bench_request {
    const char *prefix; /* the shared beginning; "" when there is none */
    const char *own;    /* what comes directly behind it */
    uint32_t prefix_number;
    uint32_t output;
    uint64_t arrival; /* open loop: ns from the start */
    bool intruder;
    uint64_t after; /* intruders: pieces written by the others */
};

struct tl_bench_load {
    struct tl_arena arena; /* all texts */
    struct tl_bench_request *requests; /* intruders are the last */
    size_t count;
    const char **prefixes; /* as in the requests */
    size_t prefix_count;
};

/* The same mix, seed and overhead give the same load. TL_ERR_INVALID when the mix says nothing that can be asked:
 * no requests, neither loop or both, a prompt not longer than the overhead. */
enum tl_status tl_bench_load_make(const struct tl_bench_mix *mix, uint64_t seed, uint32_t overhead,
                                  struct tl_bench_load *load, struct tl_error *error);
void tl_bench_load_fini(struct tl_bench_load *load);

/* The probe whose tokens beyond its words are the overhead. */
enum { TL_BENCH_PROBE_WORDS = 15 };
const char *tl_bench_probe(void);
/* Said to the model before each prompt. */
#define TL_BENCH_SYSTEM "Go on."

#endif
