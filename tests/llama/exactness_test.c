/* exactness_test.c: at temperature 0
 *   - the same token ids go into the model whether a prefill is split or not, wherever it is cut;
 *   - what comes out is equal with one query and with eight at once, forked or not, and when a prompt is computed in the
 *     calls of one that writes;
 *   - KV that was saved and loaded gives the same logits to the bit.
 * Kernels round differently by the shape of a batch (a chunk of 17 tokens or of 128, one row or
 * eight), so where shapes differ, logits are compared within TOLERANCE and by their largest. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "engine/engines.h"
#include "engine/llama/llama_internal.h"
#include "engine/llama/llama_test_support.h"

/* What two logits of the same token may differ by, once the mean difference of the row is taken
 * off (a common shift changes no probability): the largest of a row, and the root of the mean
 * square. The logits of a row span about 40. Plain llama.cpp calls that cut this prompt in two at
 * various places differ by up to 1.1 and 0.16 with these Q8_0 weights on a Zen 4. */
#define TOLERANCE 1.5
#define TOLERANCE_MEAN 0.3

#define MOST_TOKENS 512
#define MOST_ROWS 16
#define VOCABULARY 49152

/* What one item fed and got: recorded by the hooks. */
struct record {
    uint64_t id;
    llama_token ids[MOST_TOKENS]; /* by position; -1: not fed by this item */
    size_t end;                   /* behind the last position fed */
    float *logits[MOST_ROWS];     /* of the first rows sampled from; owned */
    size_t rows;
};

struct recorder {
    struct record records[64];
    size_t count;
};

static struct record *record_of(struct recorder *recorder, uint64_t id) {
    for (size_t i = 0; i < recorder->count; i++)
        if (recorder->records[i].id == id)
            return &recorder->records[i];
    assert_true(recorder->count < 64);
    struct record *record = &recorder->records[recorder->count++];
    *record = (struct record){.id = id};
    for (size_t i = 0; i < MOST_TOKENS; i++)
        record->ids[i] = -1;
    return record;
}

static void on_fed(void *context, const struct tl_item *item, size_t position, const llama_token *ids, size_t count) {
    struct record *record = record_of(context, item->id);
    assert_true(position + count <= MOST_TOKENS);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(record->ids[position + i], -1); /* nothing is computed twice by one item */
        record->ids[position + i] = ids[i];
    }
    record->end = position + count;
}

static void on_logits(void *context, const struct tl_item *item, const float *logits, size_t count) {
    struct record *record = record_of(context, item->id);
    assert_int_equal(count, VOCABULARY);
    if (record->rows == MOST_ROWS)
        return;
    float *copy = tl_mem_alloc(count * sizeof *copy);
    memcpy(copy, logits, count * sizeof *copy);
    record->logits[record->rows++] = copy;
}

static struct recorder *record(struct tl_conformance *run) {
    struct recorder *recorder = tl_mem_zalloc(sizeof *recorder);
    struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
    engine->hooks = (struct tl_llama_hooks){.context = recorder, .fed = on_fed, .logits = on_logits};
    return recorder;
}

/* Nothing that was computed before is found any more. */
static void clear_cache(struct tl_conformance *run) {
    struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
    engine->rows -= tl_llm_handles_drain(engine->handles);
    tl_llm_clear(engine->core, true);
}

static void forget(struct recorder *recorder) {
    for (size_t i = 0; i < recorder->count; i++)
        for (size_t k = 0; k < recorder->records[i].rows; k++)
            tl_mem_free(recorder->records[i].logits[k]);
    recorder->count = 0;
}

static size_t largest(const float *logits) {
    size_t best = 0;
    for (size_t i = 1; i < VOCABULARY; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static double worst, worst_mean; /* seen, printed at the end */
static unsigned ties;            /* texts that parted at a near tie */

/* Compares the rows up to the first where the two would take different tokens, which only a near
 * tie may do: their gap is within the tolerance. False when there is one: the texts part there. */
static bool compare_logits(const struct record *a, const struct record *b) {
    for (size_t row = 0; row < a->rows && row < b->rows; row++) {
        const float *x = a->logits[row], *y = b->logits[row];
        double shift = 0, most = 0, square = 0;
        for (size_t i = 0; i < VOCABULARY; i++)
            shift += ((double)x[i] - y[i]) / VOCABULARY;
        for (size_t i = 0; i < VOCABULARY; i++) {
            double difference = fabs((double)x[i] - y[i] - shift);
            most = fmax(most, difference);
            square += difference * difference;
        }
        double mean = sqrt(square / VOCABULARY);
        worst = fmax(worst, most);
        worst_mean = fmax(worst_mean, mean);
        if (!(most <= TOLERANCE && mean <= TOLERANCE_MEAN))
            fail_msg("logits of row %zu differ by up to %g, %g on average", row, most, mean);
        if (largest(x) == largest(y))
            continue;
        if (!((double)x[largest(x)] - x[largest(y)] <= TOLERANCE))
            fail_msg("row %zu: different tokens are taken, but there is no near tie", row);
        ties++;
        return false;
    }
    assert_int_equal(a->rows, b->rows);
    return true;
}

static struct tl_conformance_subject subject = {.ops = &tl_llama_engine};
static char settings[1024];

static struct tl_conformance *open_engine(const char *more) {
    tl_llama_test_settings(settings, sizeof settings, more);
    subject.settings = settings;
    subject.kinds = 1;
    return tl_conformance_open(&subject);
}

static const char *const parts[] = {
    "You answer questions from the text below.\n\n",
    ("SQLite reads and writes directly to ordinary disk files. A complete SQL database with multiple tables, indices, "
     "triggers, and views, is contained in a single disk file. "),
    "The database file format is cross-platform: you can freely copy a database between 32-bit and 64-bit systems.\n\n",
    "Question: Where does SQLite keep a database? Answer in one sentence.",
};
#define PART_COUNT (sizeof parts / sizeof parts[0])

/* Decodes from kv (taken) and returns the id of the decode item; the text goes to out. */
static uint64_t decode(struct tl_conformance *run, struct tl_value *kv, struct tl_str *out) {
    struct tl_conformance_item item;
    tl_llama_test_decode(run, kv, MOST_ROWS, &item);
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    assert_int_equal(outcome->status, TL_OK);
    tl_str_clear(out);
    tl_str_append(out, outcome->outputs[0]->as.text.data, outcome->outputs[0]->as.text.length);
    uint64_t id = tl_conformance_item_of(held)->id;
    tl_conformance_release(held);
    return id;
}

/* The ids that the model holds for the last item of a chain, by position. */
static size_t merged(const struct recorder *recorder, llama_token ids[MOST_TOKENS]) {
    size_t end = 0;
    for (size_t i = 0; i < MOST_TOKENS; i++)
        ids[i] = -1;
    for (size_t r = 0; r < recorder->count; r++) {
        const struct record *record = &recorder->records[r];
        for (size_t i = 0; i < record->end; i++)
            if (record->ids[i] >= 0)
                ids[i] = record->ids[i];
        end = record->end > end ? record->end : end;
    }
    return end;
}

/* A reference run: one prefill, one decode. */
struct whole {
    llama_token ids[MOST_TOKENS];
    size_t prompt;         /* tokens of the prompt */
    struct record decoded; /* its logits are owned here */
    struct tl_str text;
};

static void run_whole(struct tl_conformance *run, struct recorder *recorder, struct whole *whole) {
    tl_str_init(&whole->text);
    decode(run, tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_prompt(parts, PART_COUNT, false), NULL),
           &whole->text);
    merged(recorder, whole->ids);
    whole->prompt = recorder->records[0].end + 1; /* the last token is left to the decode */
    whole->decoded = recorder->records[recorder->count - 1];
    recorder->records[recorder->count - 1].rows = 0; /* moved */
    assert_true(whole->decoded.rows > 4);
    forget(recorder);
}

static void free_whole(struct whole *whole) {
    for (size_t i = 0; i < whole->decoded.rows; i++)
        tl_mem_free(whole->decoded.logits[i]);
    tl_str_fini(&whole->text);
}

static void compare_with_whole(const struct recorder *recorder, const struct whole *whole, const struct tl_str *text) {
    llama_token ids[MOST_TOKENS];
    merged(recorder, ids);
    assert_memory_equal(ids, whole->ids, whole->prompt * sizeof *ids);
    if (compare_logits(&whole->decoded, &recorder->records[recorder->count - 1]))
        assert_string_equal(text->data, whole->text.data);
}

/* Prefill in two or more steps, cut at every border between parts, then at all of them. */
static void test_split_at_part_borders(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine("\"context_size\": 512, \"parallel\": 2, \"reserve\": 64, \"threads\": 1");
    struct recorder *recorder = record(run);
    struct whole whole;
    run_whole(run, recorder, &whole);
    struct tl_str text = TL_STR_INIT;
    for (unsigned cuts = 1; cuts < 1u << (PART_COUNT - 1); cuts++) {
        struct tl_value *kv = NULL;
        clear_cache(run);
        for (size_t known = 1; known < PART_COUNT; known++) {
            if (!(cuts & 1u << (known - 1)))
                continue;
            struct tl_value *next =
                tl_llama_test_kv(run, TL_OP_PARTIAL_PREFILL, tl_llama_test_prompt(parts, known, true), kv);
            kv = next; /* its own kv input was taken by the call */
        }
        kv = tl_llama_test_kv(run, TL_OP_FULL_PREFILL, tl_llama_test_prompt(parts, PART_COUNT, false), kv);
        decode(run, kv, &text);
        compare_with_whole(recorder, &whole, &text);
        /* Every token of the prompt was computed once, by one of the items. */
        size_t fed = 0;
        for (size_t r = 0; r < recorder->count; r++)
            for (size_t i = 0; i < whole.prompt; i++)
                fed += recorder->records[r].ids[i] >= 0;
        assert_int_equal(fed, whole.prompt);
        forget(recorder);
    }
    tl_str_fini(&text);
    free_whole(&whole);
    tl_conformance_close(run);
    tl_mem_free(recorder);
}

/* Cut inside words too: there the open prompt's last tokens are left out. */
static void test_split_at_random_places(void **state) {
    (void)state;
    struct tl_conformance *run =
        open_engine("\"context_size\": 512, \"parallel\": 2, \"reserve\": 64, \"threads\": 1, \"chunk\": 33");
    struct recorder *recorder = record(run);
    struct whole whole;
    run_whole(run, recorder, &whole);
    struct tl_str all = TL_STR_INIT, text = TL_STR_INIT;
    for (size_t i = 0; i < PART_COUNT; i++)
        tl_str_puts(&all, parts[i]);
    for (uint64_t round = 0; round < 8; round++) {
        size_t cut = tl_utf8_border(all.data, all.length, tl_hash_u64(round, 5) % all.length);
        char known[1024];
        snprintf(known, sizeof known, "%.*s", (int)cut, all.data);
        const char *begun[] = {known};
        clear_cache(run);
        struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PARTIAL_PREFILL, tl_llama_test_prompt(begun, 1, true), NULL);
        kv = tl_llama_test_kv(run, TL_OP_FULL_PREFILL, tl_llama_test_prompt(parts, PART_COUNT, false), kv);
        decode(run, kv, &text);
        compare_with_whole(recorder, &whole, &text);
        forget(recorder);
    }
    tl_str_fini(&all);
    tl_str_fini(&text);
    free_whole(&whole);
    tl_conformance_close(run);
    tl_mem_free(recorder);
}

static const char *const questions[] = {
    "What is the capital of France?",   "Name three colours of the rainbow.", "What is a database index?",
    "Who wrote Romeo and Juliet?",      "How many days has a week?",          "What is the boiling point of water?",
    "Explain what a primary key is.",   "Write one sentence about the sea.",
};

static void test_one_query_and_eight(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine("\"context_size\": 256, \"parallel\": 8, \"reserve\": 64, \"threads\": 1");
    struct recorder *alone = record(run);
    struct tl_str texts[8];
    uint64_t ids[8];
    for (size_t i = 0; i < 8; i++) {
        tl_str_init(&texts[i]);
        ids[i] = decode(run, tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(questions[i]), NULL), &texts[i]);
    }
    struct recorder *together = record(run);
    clear_cache(run);
    struct tl_conformance_held *prefills[8], *decodes[8];
    for (size_t i = 0; i < 8; i++)
        prefills[i] = tl_llama_test_prefill(run, TL_OP_PREFILL, tl_llama_test_ask(questions[i]), NULL);
    tl_conformance_finish(run);
    for (size_t i = 0; i < 8; i++) {
        struct tl_conformance_item item;
        tl_llama_test_decode(run, tl_value_ref(tl_conformance_outcome(prefills[i])->outputs[0]), MOST_ROWS, &item);
        decodes[i] = tl_conformance_submit(run, &item);
    }
    tl_conformance_finish(run);
    for (size_t i = 0; i < 8; i++) {
        const struct tl_conformance_outcome *outcome = tl_conformance_outcome(decodes[i]);
        assert_int_equal(outcome->usage.batch_units, 8);
        const struct record *a = record_of(alone, ids[i]);
        const struct record *b = record_of(together, tl_conformance_item_of(decodes[i])->id);
        if (compare_logits(a, b)) {
            assert_memory_equal(a->ids, b->ids, sizeof a->ids);
            assert_string_equal(outcome->outputs[0]->as.text.data, texts[i].data);
        }
        tl_str_fini(&texts[i]);
    }
    forget(alone);
    forget(together);
    tl_mem_free(alone);
    tl_conformance_close(run);
    tl_mem_free(together);
}

/* Several decodes of one handle at once: one works in place, the others in copies. */
static void test_forks(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine("\"context_size\": 256, \"parallel\": 3, \"reserve\": 64, \"threads\": 1");
    struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
    struct recorder *recorder = record(run);
    struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(questions[2]), NULL);
    struct tl_str text = TL_STR_INIT;
    uint64_t alone = decode(run, tl_value_ref(kv), &text);
    assert_int_equal(tl_llama_count(engine).saves, 0);
    struct tl_conformance_held *held[3];
    for (size_t i = 0; i < 3; i++) {
        struct tl_conformance_item item;
        tl_llama_test_decode(run, tl_value_ref(kv), MOST_ROWS, &item);
        held[i] = tl_conformance_submit(run, &item);
    }
    tl_conformance_finish(run);
    assert_int_equal(tl_llama_count(engine).saves, 1); /* with the first one's text behind it */
    assert_int_equal(tl_llama_count(engine).loads, 2);
    assert_int_equal(tl_llama_count(engine).lost, 0);
    for (size_t i = 0; i < 3; i++) {
        if (compare_logits(record_of(recorder, alone), record_of(recorder, tl_conformance_item_of(held[i])->id)))
            assert_string_equal(tl_conformance_outcome(held[i])->outputs[0]->as.text.data, text.data);
    }
    tl_value_unref(kv);
    tl_str_fini(&text);
    forget(recorder);
    tl_conformance_close(run);
    tl_mem_free(recorder);
}

/* With one sequence each decode pushes the other prefix out to host memory. The shapes of the
 * calls are the same, so the logits must be too, to the bit. */
static void test_saved_and_loaded(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine("\"context_size\": 256, \"parallel\": 1, \"reserve\": 64, \"threads\": 1");
    struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
    struct recorder *recorder = record(run);
    struct tl_str first = TL_STR_INIT, second = TL_STR_INIT;
    struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(questions[2]), NULL);
    uint64_t before = decode(run, tl_value_ref(kv), &first);
    struct tl_value *other = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(questions[3]), NULL);
    assert_int_equal(tl_llama_count(engine).saves, 1);
    assert_true(tl_llama_count(engine).saved_bytes > 0);
    decode(run, other, &second);
    uint64_t after = decode(run, tl_value_ref(kv), &second);
    assert_true(tl_llama_count(engine).loads >= 1);
    assert_string_equal(first.data, second.data);
    const struct record *a = record_of(recorder, before), *b = record_of(recorder, after);
    assert_int_equal(a->rows, b->rows);
    for (size_t row = 0; row < a->rows; row++)
        assert_memory_equal(a->logits[row], b->logits[row], VOCABULARY * sizeof(float));
    tl_value_unref(kv);
    tl_str_fini(&first);
    tl_str_fini(&second);
    forget(recorder);
    tl_conformance_close(run);
    tl_mem_free(recorder);
}

/* The second time everything is found, in each layout: the same ids stand in the KV, and what is written is the same. */
static void test_cached_and_uncached(void **state) {
    (void)state;
    for (int unified = 0; unified < 2; unified++) {
        struct tl_conformance *run = open_engine(
            unified ? "\"context_size\": 512, \"parallel\": 2, \"reserve\": 64, \"threads\": 1, \"kv\": \"unified\""
                    : "\"context_size\": 512, \"parallel\": 2, \"reserve\": 64, \"threads\": 1");
        struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
        struct recorder *recorder = record(run);
        struct whole whole;
        run_whole(run, recorder, &whole);
        struct tl_str text = TL_STR_INIT;
        for (int round = 0; round < 3; round++) {
            struct tl_llm_counters before = tl_llama_count(engine);
            decode(run, tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_prompt(parts, PART_COUNT, false), NULL),
                   &text);
            const struct record *decoded = &recorder->records[recorder->count - 1];
            assert_int_equal(decoded->ids[whole.prompt - 1], whole.ids[whole.prompt - 1]);
            assert_int_equal(tl_llama_count(engine).computed - before.computed, 1); /* the last token of the prompt */
            assert_int_equal(tl_llama_count(engine).lost, 0);
            if (compare_logits(&whole.decoded, decoded))
                assert_string_equal(text.data, whole.text.data);
            forget(recorder);
        }
        tl_str_fini(&text);
        free_whole(&whole);
        tl_conformance_close(run);
        tl_mem_free(recorder);
    }
}

/* Has the core believe that it knows what calls take, so that it tries joint ones. */
static void measure_calls(struct tl_llama_engine *engine) {
    struct tl_llm_range range = {0};
    for (int i = 0; i < 16; i++) {
        tl_llm_measured(engine->core, &(struct tl_llm_call){&range, 1, 1, 1, 0}, 10);
        tl_llm_measured(engine->core, &(struct tl_llm_call){&range, 1, 32, 0, 0}, 32);
    }
}

/* A prompt that is computed in the calls of another item that writes: both as if they were alone, in each layout. */
static void test_joint_calls(void **state) {
    (void)state;
    static const char base[] = "\"context_size\": 512, \"parallel\": 3, \"reserve\": 64, \"threads\": 1, \"chunk\": 33";
    for (int unified = 0; unified < 2; unified++) {
        char more[200];
        snprintf(more, sizeof more, "%s, \"kv\": \"%s\"", base, unified ? "unified" : "stream");
        struct tl_conformance *run = open_engine(more);
        struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
        struct recorder *recorder = record(run), *alone = record(run);
        struct whole whole;
        struct tl_str text = TL_STR_INIT;
        struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(questions[6]), NULL);
        uint64_t before = decode(run, tl_value_ref(kv), &text);
        engine->hooks.context = recorder;
        run_whole(run, recorder, &whole);
        clear_cache(run);
        measure_calls(engine);
        struct tl_conformance_item item;
        tl_llama_test_decode(run, kv, MOST_ROWS, &item);
        struct tl_conformance_held *writes = tl_conformance_submit(run, &item);
        tl_conformance_step(run); /* its prompt, which is not in the cache any more */
        tl_conformance_step(run);
        struct tl_conformance_held *fills =
            tl_llama_test_prefill(run, TL_OP_PREFILL, tl_llama_test_prompt(parts, PART_COUNT, false), NULL);
        tl_conformance_finish(run);
        assert_in_range(tl_llama_count(engine).joint_calls, 3, 8);
        uint64_t id = tl_conformance_item_of(writes)->id;
        if (compare_logits(record_of(alone, before), record_of(recorder, id)))
            assert_string_equal(tl_conformance_outcome(writes)->outputs[0]->as.text.data, text.data);
        const struct record *filled = record_of(recorder, tl_conformance_item_of(fills)->id);
        assert_memory_equal(filled->ids, whole.ids, filled->end * sizeof *filled->ids);
        forget(recorder);
        decode(run, tl_value_ref(tl_conformance_outcome(fills)->outputs[0]), &text);
        if (compare_logits(&whole.decoded, &recorder->records[recorder->count - 1]))
            assert_string_equal(text.data, whole.text.data);
        forget(recorder);
        forget(alone);
        free_whole(&whole);
        tl_str_fini(&text);
        tl_conformance_close(run);
        tl_mem_free(recorder);
        tl_mem_free(alone);
    }
}

/* A decode whose only sequence is taken from it in the middle goes on with the same tokens, none of them computed
 * again. */
static void test_preempted_and_alone(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine("\"context_size\": 256, \"parallel\": 1, \"reserve\": 64, \"threads\": 1");
    struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
    struct recorder *recorder = record(run);
    struct tl_str text = TL_STR_INIT;
    struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(questions[6]), NULL);
    uint64_t alone = decode(run, tl_value_ref(kv), &text);
    struct tl_conformance_item item;
    tl_llama_test_decode(run, kv, MOST_ROWS, &item);
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    for (int i = 0; i < 6; i++)
        tl_conformance_step(run);
    assert_false(tl_conformance_outcome(held)->finished);
    struct tl_conformance_held *urgent =
        tl_llama_test_prefill(run, TL_OP_PREFILL, tl_llama_test_ask(questions[7]), NULL);
    tl_llm_first(engine->core)->next->rank = 1e9;
    while (!tl_conformance_outcome(urgent)->finished)
        tl_conformance_step(run);
    assert_false(tl_conformance_outcome(held)->finished);
    tl_conformance_finish(run);
    assert_int_equal(tl_llama_count(engine).preemptions, 1);
    assert_int_equal(tl_llama_count(engine).lost, 0);
    const struct record *a = record_of(recorder, alone);
    const struct record *b = record_of(recorder, tl_conformance_item_of(held)->id);
    assert_int_equal(a->rows, b->rows);
    for (size_t row = 0; row < a->rows; row++) /* calls of the same shapes, so to the bit */
        assert_memory_equal(a->logits[row], b->logits[row], VOCABULARY * sizeof(float));
    assert_memory_equal(a->ids, b->ids, sizeof a->ids);
    assert_string_equal(tl_conformance_outcome(held)->outputs[0]->as.text.data, text.data);
    tl_str_fini(&text);
    forget(recorder);
    tl_conformance_close(run);
    tl_mem_free(recorder);
}

/* Eight prompts with one beginning, all at once: the beginning is computed once, and each gets its own continuation. */
static void test_a_shared_beginning(void **state) {
    (void)state;
    struct tl_conformance *run =
        open_engine("\"context_size\": 256, \"parallel\": 8, \"reserve\": 64, \"threads\": 1, \"chunk\": 64");
    struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
    struct recorder *recorder = record(run);
    struct tl_conformance_held *held[8];
    size_t asked = 0, fed = 0;
    for (size_t i = 0; i < 8; i++) {
        const char *two[] = {parts[1], questions[i]};
        held[i] = tl_llama_test_prefill(run, TL_OP_PREFILL, tl_llama_test_prompt(two, 2, false), NULL);
    }
    tl_conformance_finish(run);
    llama_token ids[MOST_TOKENS];
    size_t whole = merged(recorder, ids), first = recorder->records[0].end;
    assert_true(whole > 0);
    for (size_t i = 0; i < 8; i++) {
        const struct record *record = record_of(recorder, tl_conformance_item_of(held[i])->id);
        asked += tl_conformance_outcome(held[i])->usage.tokens_in;
        for (size_t k = 0; k < record->end; k++)
            fed += record->ids[k] >= 0;
    }
    assert_int_equal(fed, tl_llama_count(engine).computed);
    assert_true(asked > 8 * 40);
    assert_true(fed < first + 7 * 20); /* one whole prompt, and seven questions */
    forget(recorder);
    tl_conformance_close(run);
    tl_mem_free(recorder);
}

static int report(void **state) {
    (void)state;
    print_message("logits differ by at most %g (tolerance %g), %g on average (%g); texts parted at a near tie: %u\n",
                  worst, TOLERANCE, worst_mean, TOLERANCE_MEAN, ties);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_at_part_borders),
        cmocka_unit_test(test_split_at_random_places),
        cmocka_unit_test(test_one_query_and_eight),
        cmocka_unit_test(test_forks),
        cmocka_unit_test(test_saved_and_loaded),
        cmocka_unit_test(test_cached_and_uncached),
        cmocka_unit_test(test_joint_calls),
        cmocka_unit_test(test_preempted_and_alone),
        cmocka_unit_test(test_a_shared_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, report);
}
