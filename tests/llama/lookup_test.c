/* lookup_test.c: with proposals looked up in prompt and answer (setting lookup) the same ids are chosen, at temperature 0,
 * on questions over passages as workflows ask them; in fewer calls.
 * Rows of a larger call are rounded otherwise than one alone, so the ids may part at a near tie, and there only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "engine/engines.h"
#include "engine/llama/llama_internal.h"
#include "engine/llama/llama_test_support.h"

#define MOST_WRITTEN 48
#define NEAR_TIE 1.0f /* between the two largest logits of a row; a row spans about 40 */

static const char passage[] =
    "The lighthouse at Cape Orla was built in 1871 from grey granite that was shipped from the quarries of Tesk. Its "
    "lamp burned colza oil until 1903, when it was changed to paraffin. The keeper lived in the round house below the "
    "tower with his family, and rowed to the village of Lund for flour and letters. In the storm of November 1911 the "
    "gallery was torn away, and the light was out for nine nights. Since 1964 the lamp is electric, and since 1987 no "
    "keeper has lived there. ";

static const char *const questions[] = {
    "When was the lighthouse built, and from what?",
    "What did the lamp burn until 1903?",
    "Where did the keeper live?",
    "Repeat the sentence about the storm word for word.",
    "Why did the keeper row to the village of Lund?",
    "For how many nights was the light out?",
    "Since when is the lamp electric?",
    "List all years that the text names.",
    "Summarise the text in two sentences.",
    "Copy the text.",
};

enum { QUESTIONS = sizeof questions / sizeof *questions };

struct written {
    size_t count;
    llama_token ids[MOST_WRITTEN];
    float gaps[MOST_WRITTEN]; /* between the two largest logits */
};

/* One row for each token that is chosen. */
static void on_logits(void *context, const struct tl_item *item, const float *logits, size_t count) {
    struct written *written = context;
    (void)item;
    size_t best = 0;
    float second = -1e30f;
    for (size_t i = 1; i < count; i++) {
        if (logits[i] > logits[best]) {
            second = logits[best];
            best = i;
        } else if (logits[i] > second) {
            second = logits[i];
        }
    }
    assert_true(written->count < MOST_WRITTEN);
    written->gaps[written->count] = logits[best] - second;
    written->ids[written->count++] = (llama_token)best;
}

/* Returns the calls of decodes. */
static uint64_t answer_all(const char *lookup, struct written *written, struct tl_llm_counters *counters) {
    struct tl_str settings = TL_STR_INIT;
    tl_str_printf(&settings, "\"context_size\": 512, \"parallel\": 1, \"reserve\": 64, \"threads\": 1, \"lookup\": %s",
                  lookup);
    static char all[1024];
    tl_llama_test_settings(all, sizeof all, settings.data);
    const struct tl_conformance_subject subject = {.ops = &tl_llama_engine, .settings = all, .kinds = 1};
    struct tl_conformance *run = tl_conformance_open(&subject);
    tl_str_fini(&settings);
    struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
    for (size_t i = 0; i < QUESTIONS; i++) {
        struct tl_str text = TL_STR_INIT;
        tl_str_puts(&text, passage);
        tl_str_puts(&text, questions[i]);
        struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(text.data), NULL);
        engine->hooks = (struct tl_llama_hooks){.context = &written[i], .logits = on_logits};
        struct tl_conformance_item item;
        tl_llama_test_decode(run, kv, MOST_WRITTEN, &item);
        tl_conformance_submit(run, &item);
        tl_conformance_finish(run);
        engine->hooks = (struct tl_llama_hooks){0};
        tl_str_fini(&text);
    }
    *counters = tl_llama_count(engine);
    tl_conformance_close(run);
    return counters->write_calls;
}

static void test_the_same_ids_in_fewer_calls(void **state) {
    (void)state;
    static struct written alone[QUESTIONS], looked_up[QUESTIONS];
    struct tl_llm_counters counters;
    uint64_t calls = answer_all("0", alone, &counters);
    assert_int_equal(counters.drafted, 0);
    uint64_t fewer = answer_all("7", looked_up, &counters);
    size_t total = 0, parted = 0;
    for (size_t i = 0; i < QUESTIONS; i++) {
        const struct written *a = &alone[i], *b = &looked_up[i];
        size_t same = 0;
        while (same < a->count && same < b->count && a->ids[same] == b->ids[same])
            same++;
        total += a->count;
        if (same == a->count && same == b->count)
            continue;
        parted++;
        assert_true(same < a->count && same < b->count && a->gaps[same] < NEAR_TIE && b->gaps[same] < NEAR_TIE);
    }
    print_message("%zu tokens in %llu calls, %llu when %llu proposals were looked up, %llu of them right; answers that "
                  "parted at a near tie: %zu of %d\n",
                  total, (unsigned long long)calls, (unsigned long long)fewer, (unsigned long long)counters.drafted,
                  (unsigned long long)counters.accepted, parted, QUESTIONS);
    assert_true(parted <= 1);
    assert_true(counters.accepted > 20 && fewer + 20 < calls);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_ids_in_fewer_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
