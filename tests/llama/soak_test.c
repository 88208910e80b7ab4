/* soak_test.c: random prefills, decodes, forks, cancels, prompts that do not fit, failing calls and rows that are no
 * numbers, of several tenants and ranks, in every layout. Afterwards each item has had one outcome, and the engine
 * holds nothing but what it keeps on purpose.
 *
 * TEOLA_SOAK_ITEMS: how many items in each of the engines (40); TEOLA_SOAK_SEED: another run (1). For a long soak:
 *     TEOLA_SOAK_ITEMS=20000 build/tests/llama_soak_test */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/engines.h"
#include "engine/llama/llama_internal.h"
#include "engine/llama/llama_test_support.h"

#define ALIVE 24   /* items at once */
#define HANDLES 12 /* kv values that are kept for later items */

/* One item, while the engine holds it. */
struct ticket {
    struct tl_item item; /* first: found from the item */
    struct tl_arena arena;
    struct tl_attributes attributes;
    struct tl_value *inputs[2];
    bool held;           /* by the engine */
    uint64_t pieces;
};

struct soak {
    struct tl_engine *engine;
    struct tl_emit emit;
    struct ticket tickets[ALIVE];
    struct tl_value *handles[HANDLES];
    uint64_t random, next_id;
    size_t submitted, finished, failed, cancelled, cancels, refused;
};

static uint64_t draw(struct soak *soak, uint64_t below) {
    soak->random = tl_hash_u64(soak->random, 99);
    return (soak->random >> 11) % below;
}

/* ---- outcomes ---- */

static void settle(struct soak *soak, struct tl_item *item) {
    struct ticket *ticket = (struct ticket *)item;
    assert_true(ticket->held); /* no item is answered twice */
    ticket->held = false;
    soak->finished++;
    for (size_t i = 0; i < item->input_count; i++)
        tl_value_unref(ticket->inputs[i]);
    tl_arena_fini(&ticket->arena);
}

static void on_done(void *context, struct tl_item *item, struct tl_value **outputs, size_t count,
                    const struct tl_usage *usage) {
    struct soak *soak = context;
    assert_true(usage->tokens_reused <= usage->tokens_in);
    for (size_t i = 0; i < count; i++) {
        if (tl_type_equal(outputs[i]->type, TL_TYPE_OF(KV, 0)) && draw(soak, 4) > 0) {
            struct tl_value **place = &soak->handles[draw(soak, HANDLES)];
            tl_value_unref(*place);
            *place = outputs[i];
        } else {
            tl_value_unref(outputs[i]);
        }
    }
    settle(soak, item);
}

static void on_fail(void *context, struct tl_item *item, enum tl_status status, const char *message) {
    struct soak *soak = context;
    assert_true(strlen(message) > 8); /* a sentence */
    soak->failed++;
    soak->cancelled += status == TL_ERR_CANCELLED;
    soak->refused += status == TL_ERR_LIMIT;
    settle(soak, item);
}

static void on_piece(void *context, struct tl_item *item, size_t position, struct tl_value *value) {
    (void)context;
    assert_int_equal(((struct ticket *)item)->pieces++, position);
    tl_value_unref(value);
}

static void on_delta(void *context, struct tl_item *item, const char *text, size_t length) {
    (void)context, (void)text;
    assert_true(((struct ticket *)item)->held && length > 0);
}

static void on_notice(void *context, struct tl_item *item, const char *message) {
    (void)context, (void)message;
    assert_true(((struct ticket *)item)->held);
}

/* ---- faults ---- */

static int32_t failing_decode(void *context, int32_t result) {
    return draw(context, 40) == 0 ? -3 : result;
}

static void poison(void *context, const struct tl_item *item, const float *logits, size_t count) {
    (void)item;
    if (draw(context, 150) == 0)
        ((float *)logits)[count / 3] = NAN;
}

/* ---- items ---- */

static const char *const beginnings[] = {
    "Answer the question from the passages below, in one short sentence, and say when they do not hold the answer.\n\n",
    "You rewrite questions for a search engine: short, one line each, other words than before.\n\n",
    "Name what the text below is about.\n\n"};

static const char *const endings[] = {"What is a primary key?", "Where does SQLite keep a database?", "bread recipe",
                                      "Who wrote it, and when was that?", "\n", "colours of the rainbow, please"};

static struct tl_value *random_prompt(struct soak *soak, bool *open) {
    static char large[6000];
    memset(large, 'a', sizeof large - 1);
    for (size_t i = 0; i + 1 < sizeof large; i += 5)
        large[i] = ' ';
    const char *texts[] = {beginnings[draw(soak, 3)], endings[draw(soak, 6)], endings[draw(soak, 6)]};
    struct tl_prompt_part parts[4];
    size_t count = 0, wanted = 1 + draw(soak, 3);
    for (; count < wanted; count++)
        parts[count] = (struct tl_prompt_part){.role = TL_ROLE_USER,
                                               .flags = count == 0 ? TL_PART_STATIC : 0,
                                               .text = texts[count],
                                               .length = strlen(texts[count])};
    if (draw(soak, 12) == 0) /* does not fit, or is cut */
        parts[count++] = (struct tl_prompt_part){.role = TL_ROLE_USER,
                                                 .flags = draw(soak, 2) ? TL_PART_TRIMMABLE : 0,
                                                 .text = large,
                                                 .length = sizeof large - 1};
    *open = draw(soak, 3) == 0;
    if (*open)
        parts[count - 1].flags |= TL_PART_OPEN;
    return tl_value_prompt(parts, count);
}

static void make_prefill(struct soak *soak, struct ticket *ticket) {
    static const char *const names[] = {"prompt", "kv"};
    bool open;
    struct tl_value *kv = soak->handles[draw(soak, HANDLES)];
    ticket->inputs[0] = random_prompt(soak, &open);
    ticket->inputs[1] = kv && draw(soak, 2) ? tl_value_ref(kv) : NULL;
    ticket->item.op = open                ? TL_OP_PARTIAL_PREFILL
                      : ticket->inputs[1] ? TL_OP_FULL_PREFILL
                                          : TL_OP_PREFILL;
    ticket->item.input_names = names;
    ticket->item.input_count = 2;
}

static void make_decode(struct soak *soak, struct ticket *ticket, struct tl_value *kv) {
    static const char *const names[] = {"kv"};
    ticket->inputs[0] = tl_value_ref(kv);
    ticket->item.op = draw(soak, 2) ? TL_OP_DECODE : TL_OP_PARTIAL_DECODE;
    ticket->item.input_names = names;
    ticket->item.input_count = 1;
    ticket->item.stream = draw(soak, 2) == 0;
    ticket->item.pieces = draw(soak, 2) == 0;
    tl_attributes_set_integer(&ticket->attributes, &ticket->arena, "max_tokens", 1 + (int64_t)draw(soak, 12));
    if (draw(soak, 3) == 0) {
        tl_attributes_set_string(&ticket->attributes, &ticket->arena, "format", "list");
        tl_attributes_set_integer(&ticket->attributes, &ticket->arena, "items", 1 + (int64_t)draw(soak, 3));
    }
    if (draw(soak, 3) == 0)
        tl_attributes_set_number(&ticket->attributes, &ticket->arena, "temperature", 1);
}

static void submit(struct soak *soak) {
    static const char *const tenants[] = {NULL, "", "one", "another"};
    struct ticket *ticket = soak->tickets;
    while (ticket->held)
        ticket++;
    *ticket = (struct ticket){.held = true};
    tl_arena_init(&ticket->arena);
    ticket->item.id = ++soak->next_id;
    ticket->item.label = "soak";
    ticket->item.rank = (double)draw(soak, 5) * 100;
    ticket->item.tenant = tenants[draw(soak, 4)];
    ticket->item.inputs = ticket->inputs;
    ticket->item.attributes = &ticket->attributes;
    struct tl_value *kv = soak->handles[draw(soak, HANDLES)];
    if (kv && draw(soak, 3) > 0)
        make_decode(soak, ticket, kv);
    else
        make_prefill(soak, ticket);
    struct tl_item *item = &ticket->item;
    soak->submitted++;
    soak->engine->ops->submit(soak->engine, &item, 1);
}

static size_t alive(const struct soak *soak) {
    return soak->submitted - soak->finished;
}

static void act(struct soak *soak, size_t items) {
    struct ticket *ticket = &soak->tickets[draw(soak, ALIVE)];
    uint64_t what = draw(soak, 10);
    if (what < 4 && alive(soak) < ALIVE && soak->submitted < items) {
        submit(soak);
    } else if (what == 4 && ticket->held && draw(soak, 2)) {
        soak->cancels++;
        soak->engine->ops->cancel(soak->engine, &ticket->item);
    } else if (what == 5) {
        struct tl_value **handle = &soak->handles[draw(soak, HANDLES)];
        tl_value_unref(*handle);
        *handle = NULL;
    } else {
        bool more = soak->engine->ops->step(soak->engine);
        assert_int_equal(more, alive(soak) > 0); /* no item is lost */
    }
}

static void run(const char *more, uint64_t seed, size_t items) {
    char settings[1024];
    tl_llama_test_settings(settings, sizeof settings, more);
    struct soak *soak = tl_mem_zalloc(sizeof *soak);
    *soak = (struct soak){.random = seed};
    soak->emit = (struct tl_emit){soak, on_done, on_fail, on_piece, on_delta, on_notice, NULL};
    struct tl_error error = {0};
    json_t *json = json_loads(settings, 0, NULL);
    assert_int_equal(tl_llama_engine.create("soak", json, &soak->engine, &error), TL_OK);
    json_decref(json);
    if (soak->engine->ops->open(soak->engine, &soak->emit, &error) != TL_OK)
        fail_msg("%s", error.message);
    struct tl_llama_engine *engine = (struct tl_llama_engine *)soak->engine;
    engine->hooks = (struct tl_llama_hooks){.context = soak, .decode = failing_decode, .logits = poison};
    for (size_t steps = 0; soak->submitted < items || alive(soak) > 0; steps++) {
        act(soak, items);
        if (steps % 8 == 0)
            tl_llm_check(engine->core);
    }
    for (size_t i = 0; i < HANDLES; i++)
        tl_value_unref(soak->handles[i]);
    assert_false(soak->engine->ops->step(soak->engine)); /* takes the handles back */
    struct tl_llm_counters counters = tl_llama_count(engine);
    assert_int_equal(counters.requests + counters.handles, 0);
    assert_int_equal(soak->finished, items);
    tl_llm_clear(engine->core, false);
    counters = tl_llama_count(engine);
    assert_int_equal(counters.resident, 0);
    assert_int_equal(counters.saved, counters.pinned);
    for (uint32_t i = 0; i < engine->sequences; i++) /* and the library agrees */
        assert_int_equal(llama_memory_seq_pos_max(engine->memory, (llama_seq_id)i), -1);
    print_message("%zu items: %zu failed, %zu of them cancelled, %zu refused; of %llu prompt tokens %llu computed, "
                  "%llu lost; %llu saves, %llu loads, %llu shares, %llu waits, %llu preemptions; %zu pinned\n",
                  soak->finished, soak->failed, soak->cancelled, soak->refused, (unsigned long long)counters.asked,
                  (unsigned long long)counters.computed, (unsigned long long)counters.lost,
                  (unsigned long long)counters.saves, (unsigned long long)counters.loads,
                  (unsigned long long)counters.shares, (unsigned long long)counters.waits,
                  (unsigned long long)counters.preemptions, counters.pinned);
    soak->engine->ops->close(soak->engine);
    soak->engine->ops->destroy(soak->engine);
    tl_mem_free(soak);
}

static uint64_t number_of(const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

#define SMALL "\"context_size\": 192, \"reserve\": 32, \"threads\": 1, \"preempt_margin\": 50, "

static void test_soak(void **state) {
    (void)state;
    static const char *const engines[] = {
        SMALL "\"parallel\": 3, \"chunk\": 32, \"lookup\": 5",
        SMALL "\"parallel\": 2, \"chunk\": 64, \"cache_bytes\": 4000000, \"pin_bytes\": 1500000, \"keep\": \"held\", "
              "\"jump_forward\": 0",
        SMALL "\"parallel\": 3, \"chunk\": 48, \"kv\": \"unified\", \"lookup\": -1",
    };
    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++)
        run(engines[i], number_of("TEOLA_SOAK_SEED", 1) + i, number_of("TEOLA_SOAK_ITEMS", 40));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_soak)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
