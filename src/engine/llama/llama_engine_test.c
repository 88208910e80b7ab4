/* llama_engine_test.c: the conformance suite on SmolLM2, with so few sequences that items wait,
 * fork and are saved on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engines.h"
#include "engine/llama/llama_internal.h"
#include "engine/llama/llama_test_support.h"

static char settings[1024];

static const char *const questions[] = {
    "What is the capital of France?", "Name a colour.", "Say hello.", "What is two plus two? Answer in one word."};

enum { PREFILL, PARTIAL, EXTENDED, TEXT, STREAMED, LIST, SAMPLED, TOO_LONG, OPEN_DECODE, KINDS };

static struct tl_value *open_prefix(struct tl_conformance *run, uint32_t variation) {
    const char *parts[] = {"Answer briefly. ", questions[variation % 4]};
    return tl_llama_test_kv(run, TL_OP_PARTIAL_PREFILL, tl_llama_test_prompt(parts, 2, true), NULL);
}

static void make_prefill(struct tl_conformance *run, size_t kind, uint32_t variation,
                         struct tl_conformance_item *item) {
    const char *parts[] = {"Answer briefly. ", questions[variation % 4], " Thank you."};
    static char large[8192];
    item->incomparable = true;
    if (kind == PREFILL) {
        item->op = TL_OP_PREFILL;
        tl_conformance_input(item, "prompt", tl_llama_test_prompt(parts, 2, false));
    } else if (kind == PARTIAL) {
        item->op = TL_OP_PARTIAL_PREFILL;
        tl_conformance_input(item, "prompt", tl_llama_test_prompt(parts, 2, true));
        tl_conformance_input(item, "kv", variation % 2 ? open_prefix(run, variation + 1) : NULL);
    } else if (kind == EXTENDED) {
        item->op = TL_OP_FULL_PREFILL;
        tl_conformance_input(item, "prompt", tl_llama_test_prompt(parts, 3, false));
        tl_conformance_input(item, "kv", open_prefix(run, variation));
    } else {
        item->op = TL_OP_PREFILL;
        memset(large, 'x', sizeof large - 1);
        for (size_t i = 0; i + 1 < sizeof large; i += 4)
            large[i] = ' ';
        tl_conformance_input(item, "prompt", tl_llama_test_ask(large));
        item->fails = true;
    }
}

static void make(struct tl_conformance *run, size_t kind, uint32_t variation, struct tl_conformance_item *item) {
    if (kind <= EXTENDED || kind == TOO_LONG) {
        make_prefill(run, kind, variation, item);
        return;
    }
    item->op = variation % 2 ? TL_OP_DECODE : TL_OP_PARTIAL_DECODE;
    tl_attributes_set_integer(&item->attributes, item->arena, "max_tokens", 6 + variation);
    if (kind == OPEN_DECODE) {
        item->fails = true;
        tl_conformance_input(item, "kv", open_prefix(run, variation));
        return;
    }
    tl_conformance_input(item, "kv",
                         tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(questions[variation % 4]), NULL));
    item->stream = kind == STREAMED;
    item->incomparable = true; /* rounding by batch shape may change a token: see the exactness test */
    if (kind == LIST) {
        item->pieces = true;
        tl_attributes_set_string(&item->attributes, item->arena, "format", "list");
        tl_attributes_set_integer(&item->attributes, item->arena, "items", 1 + variation % 3);
        tl_attributes_set_integer(&item->attributes, item->arena, "item_tokens", 5);
        tl_attributes_set_integer(&item->attributes, item->arena, "max_tokens", 30);
    } else if (kind == SAMPLED) {
        tl_attributes_set_number(&item->attributes, item->arena, "temperature", 1.2);
        tl_attributes_set_integer(&item->attributes, item->arena, "seed", variation);
    }
}

static void check_at_rest(struct tl_engine *engine) {
    struct tl_llama_engine *llama = (struct tl_llama_engine *)engine;
    tl_llm_check(llama->core);
    struct tl_llm_counters counters = tl_llama_count(llama);
    assert_int_equal(counters.requests, 0);
    assert_int_equal(counters.handles, 0);
    tl_llm_clear(llama->core, false); /* nothing that is in the cache is in use */
    counters = tl_llama_count(llama);
    assert_int_equal(counters.resident, 0);
    assert_int_equal(counters.saved, counters.pinned);
    assert_int_equal(counters.saved_bytes, 0);
}

static const struct tl_conformance_subject subject = {
    .ops = &tl_llama_engine, .settings = settings, .kinds = KINDS, .make = make, .check_at_rest = check_at_rest,
    .rounds = 2,
    .items = 8,
    .variations = 2};

static void test_conformance(void **state) {
    (void)state;
    tl_llama_test_settings(settings, sizeof settings,
                           "\"context_size\": 256, \"parallel\": 3, \"chunk\": 24, \"threads\": 1, \"reserve\": 48");
    tl_conformance_check(&subject);
}

/* One sequence for everything: whatever is held is saved and loaded, and all items end. */
static void test_conformance_with_one_sequence(void **state) {
    (void)state;
    tl_llama_test_settings(settings, sizeof settings,
                           "\"context_size\": 256, \"parallel\": 1, \"chunk\": 64, \"threads\": 1");
    tl_conformance_check(&subject);
}

/* No room to save: prefixes lose their KV, and are computed again when they are used. */
static void test_conformance_without_saving(void **state) {
    (void)state;
    tl_llama_test_settings(settings, sizeof settings,
                           "\"context_size\": 256, \"parallel\": 2, \"chunk\": 64, \"threads\": 1, "
                           "\"cache_bytes\": 0, \"pin_bytes\": 0, \"quantum_ms\": 0");
    tl_conformance_check(&subject);
}

/* Sequences share the cells: prefixes are shared without copying. */
static void test_conformance_with_unified_cells(void **state) {
    (void)state;
    tl_llama_test_settings(settings, sizeof settings,
                           "\"context_size\": 256, \"parallel\": 3, \"chunk\": 24, \"threads\": 1, "
                           "\"kv\": \"unified\", \"keep\": \"held\"");
    tl_conformance_check(&subject);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conformance),
        cmocka_unit_test(test_conformance_with_one_sequence),
        cmocka_unit_test(test_conformance_without_saving),
        cmocka_unit_test(test_conformance_with_unified_cells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
