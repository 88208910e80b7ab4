/* mix.c: see mix.h. */
#include "bench/mix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

/* Words of one token each, with the blank before them, in the vocabularies of GPT-2, Llama, Qwen and SmolLM. */
static const char *const words[] = {
    "the",   "and",   "for",   "that",  "with",  "this",  "from",  "have",  "are",   "was",   "not",
    "but",   "one",   "all",   "can",   "more",  "their", "will",  "other", "about", "which", "when",
    "time",  "there", "some",  "into",  "only",  "new",   "could", "these", "two",   "then",  "first",
    "any",   "like",  "now",   "such",  "over",  "our",   "even",  "most",  "made",  "after", "also",
    "many",  "must",  "before", "back", "through", "years", "where", "much", "way",   "down", "should",
    "because", "long", "each",  "just",  "state", "people", "those", "too", "world",
};

enum { WORDS = sizeof words / sizeof *words, LONGEST = 1000000 };

static const struct {
    const char *name;
    struct tl_bench_mix mix;
} known[] = {
    {"unshared", {.requests = 24, .prompt = {300, 300}, .output = {60, 60}, .concurrency = 8}},
    {"shared",
     {.requests = 32, .shared = 400, .prefixes = 1, .prompt = {100, 100}, .output = {30, 30}, .concurrency = 8}},
    {"workflows",
     {.requests = 48, .shared = 400, .prefixes = 16, .prompt = {100, 100}, .output = {30, 30}, .concurrency = 8}},
    {"arrival",
     {.requests = 4,
      .prompt = {100, 100},
      .output = {256, 256},
      .concurrency = 4,
      .intruders = 4,
      .intruder_prompt = 1000,
      .intruder_output = 8,
      .intruder_pieces = 192}},
};

const char *const tl_bench_mix_names[] = {"unshared", "shared", "workflows", "arrival", NULL};

bool tl_bench_mix_find(const char *name, struct tl_bench_mix *mix) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) {
            *mix = known[i].mix;
            return true;
        }
    return false;
}

static bool read_bound(const char *text, const char **end, uint32_t *bound) {
    char *after;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long value = strtoul(text, &after, 10);
    *end = after;
    *bound = (uint32_t)value;
    return value > 0 && value <= LONGEST;
}

bool tl_bench_range_parse(const char *text, struct tl_bench_range *range) {
    const char *end;
    if (!read_bound(text, &end, &range->least))
        return false;
    range->most = range->least;
    if (*end == '-' && !read_bound(end + 1, &end, &range->most))
        return false;
    return *end == '\0' && range->least <= range->most;
}

/* ---- random numbers: the nth of a stream is a hash of n ---- */

struct stream {
    uint64_t seed, at;
};

static uint64_t draw(struct stream *stream) {
    return tl_hash_u64(++stream->at, stream->seed);
}

static uint32_t draw_from(struct stream *stream, struct tl_bench_range range) {
    return range.least + (uint32_t)(draw(stream) % (range.most - range.least + 1u));
}

static double draw_exponential(struct stream *stream, double mean) {
    double even = ((double)(draw(stream) >> 11) + 1) / 9007199254740993.0; /* (0, 1) */
    return -mean * log(even);
}

static const char *make_text(struct tl_arena *arena, struct stream *stream, uint32_t count, const char *before) {
    struct tl_str text = TL_STR_INIT;
    for (uint32_t i = 0; i < count; i++)
        tl_str_printf(&text, "%s%s", i == 0 ? before : " ", words[draw(stream) % WORDS]);
    const char *copy = tl_arena_strdup(arena, text.data);
    tl_str_fini(&text);
    return copy;
}

const char *tl_bench_probe(void) {
    return "the time that was made for all people and this world from one first way";
}

/* ---- the load ---- */

/* What a template puts behind the prompt, of its overhead: the common ones close the message and open the answer's by five
 * tokens. It is no part of what requests share. */
static uint32_t tail_of(uint32_t overhead) {
    return overhead < 5 ? overhead : 5;
}

static enum tl_status check(const struct tl_bench_mix *mix, uint32_t overhead, struct tl_error *error) {
    if (mix->requests == 0 || mix->requests > LONGEST)
        return tl_error_set(error, TL_ERR_INVALID, "a mix has from 1 to %d requests", LONGEST);
    if ((mix->concurrency > 0) == (mix->rate > 0))
        return tl_error_set(error, TL_ERR_INVALID, "a mix has either a number of clients or a rate of arrivals");
    if (mix->intruders > 0 && mix->rate > 0)
        return tl_error_set(error, TL_ERR_INVALID, "long prompts that arrive between others need clients, not a rate");
    uint32_t begins = mix->shared > 0 ? mix->shared : mix->prompt.least;
    if (mix->shared > 0 && mix->prompt.least <= tail_of(overhead))
        return tl_error_set(error, TL_ERR_INVALID,
                            "a request's own part of a prompt has %u tokens, expected more than %u", mix->prompt.least,
                            tail_of(overhead));
    if (begins <= overhead || (mix->intruders > 0 && mix->intruder_prompt <= overhead))
        return tl_error_set(error, TL_ERR_INVALID,
                            "a prompt begins with %u tokens, but the model's template alone has %u", begins, overhead);
    return TL_OK;
}

static void make_requests(const struct tl_bench_mix *mix, uint64_t seed, uint32_t overhead,
                          struct tl_bench_load *load) {
    struct stream arrivals = {tl_hash_u64(1, seed), 0}, lengths = {tl_hash_u64(2, seed), 0};
    double at = 0;
    for (uint32_t i = 0; i < load->count; i++) {
        struct tl_bench_request *request = &load->requests[i];
        struct stream own = {tl_hash_u64(i, tl_hash_u64(3, seed)), 0};
        request->prefix = "";
        request->intruder = i >= mix->requests;
        if (request->intruder) {
            request->own = make_text(&load->arena, &own, mix->intruder_prompt - overhead, "");
            request->output = mix->intruder_output;
            request->after = (uint64_t)mix->intruder_pieces * (i - mix->requests) + 16u * mix->concurrency;
            continue;
        }
        uint32_t tokens = draw_from(&lengths, mix->prompt);
        request->output = draw_from(&lengths, mix->output);
        if (mix->shared > 0) {
            request->prefix_number = i % mix->prefixes;
            request->prefix = load->prefixes[request->prefix_number];
            tokens -= tail_of(overhead);
        } else {
            tokens -= overhead;
        }
        request->own = make_text(&load->arena, &own, tokens, mix->shared > 0 ? " " : "");
        if (mix->rate > 0) {
            at += draw_exponential(&arrivals, 1 / mix->rate);
            request->arrival = (uint64_t)(at * (double)TL_NS_PER_S);
        }
    }
}

enum tl_status tl_bench_load_make(const struct tl_bench_mix *mix, uint64_t seed, uint32_t overhead,
                                  struct tl_bench_load *load, struct tl_error *error) {
    *load = (struct tl_bench_load){0};
    enum tl_status status = check(mix, overhead, error);
    if (status != TL_OK)
        return status;
    tl_arena_init(&load->arena);
    load->count = mix->requests + mix->intruders;
    load->requests = tl_mem_zalloc(load->count * sizeof *load->requests);
    load->prefix_count = mix->shared > 0 ? mix->prefixes : 0;
    load->prefixes = tl_mem_alloc((load->prefix_count + 1) * sizeof *load->prefixes);
    for (size_t i = 0; i < load->prefix_count; i++) {
        struct stream stream = {tl_hash_u64(i, tl_hash_u64(4, seed)), 0};
        load->prefixes[i] = make_text(&load->arena, &stream, mix->shared - overhead + tail_of(overhead), "");
    }
    make_requests(mix, seed, overhead, load);
    return TL_OK;
}

void tl_bench_load_fini(struct tl_bench_load *load) {
    if (load->requests)
        tl_arena_fini(&load->arena);
    tl_mem_free(load->requests);
    tl_mem_free((void *)load->prefixes);
    *load = (struct tl_bench_load){0};
}
