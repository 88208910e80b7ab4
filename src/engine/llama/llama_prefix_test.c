/* llama_prefix_test.c: what one engine has pinned, the next one reads from files instead of computing it, and writes
 * the same; only what is the same for every query is written, and nothing that is wrong is used. */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/engines.h"
#include "engine/llama/llama_internal.h"
#include "engine/llama/llama_test_support.h"
#include "engine/llama/prefix_test_support.h"
#include "engine/llm/llm_impl.h"

static struct tl_prefix_test cache;

static struct tl_conformance *open_engine(const char *more) {
    static struct tl_conformance_subject subject = {.ops = &tl_llama_engine, .kinds = 1};
    static char settings[1024];
    char all[512];
    snprintf(all, sizeof all, "\"context_size\": 512, \"parallel\": 2, \"threads\": 1, %s", more);
    tl_llama_test_settings(settings, sizeof settings, all);
    subject.settings = settings;
    return tl_conformance_open(&subject);
}

#define DIGEST "\"model_digest\": \"abc\""

static const char secret[] = "The amber river meets the coast at Port Ellen.";

/* A beginning that every query has, and one query's own text behind it. */
static struct tl_value *prompt_of(const char *text) {
    static const char beginning[] =
        "You write search queries. Give different queries that would find the answer to the "
        "question that follows here. ";
    const struct tl_prompt_part parts[] = {
        {.role = TL_ROLE_SYSTEM, .flags = TL_PART_STATIC, .text = "Be brief.", .length = 9},
        {.role = TL_ROLE_USER,
         .message = 1,
         .flags = TL_PART_STATIC,
         .text = beginning,
         .length = sizeof beginning - 1},
        {.role = TL_ROLE_USER, .message = 1, .text = text, .length = strlen(text)}};
    return tl_value_prompt(parts, 3);
}

/* What a query gave: its text, its first row of logits, and what its prefill says. */
struct answer {
    float *logits; /* owned */
    size_t vocabulary;
    char text[400], notice[512];
    struct tl_usage usage;
};

static void keep_first(void *context, const struct tl_item *item, const float *logits, size_t count) {
    struct answer *answer = context;
    (void)item;
    if (answer->logits)
        return;
    answer->logits = tl_mem_alloc(count * sizeof *logits);
    answer->vocabulary = count;
    memcpy(answer->logits, logits, count * sizeof *logits);
}

static struct answer query_of(struct tl_conformance *run, const char *text, const char *tenant) {
    struct answer answer = {0};
    struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
    struct tl_conformance_item item;
    engine->hooks = (struct tl_llama_hooks){.context = &answer, .logits = keep_first};
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_PREFILL;
    item.tenant = tenant;
    tl_conformance_input(&item, "prompt", prompt_of(text));
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    if (outcome->status != TL_OK)
        fail_msg("%s", outcome->message);
    answer.usage = outcome->usage;
    snprintf(answer.notice, sizeof answer.notice, "%s", outcome->notice);
    tl_llama_test_decode(run, tl_value_ref(outcome->outputs[0]), 8, &item);
    item.tenant = tenant;
    held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    outcome = tl_conformance_outcome(held);
    assert_int_equal(outcome->status, TL_OK);
    snprintf(answer.text, sizeof answer.text, "%s", outcome->outputs[0]->as.text.data);
    engine->hooks = (struct tl_llama_hooks){0};
    return answer;
}

/* One process: an engine that answers one query. */
static struct answer process(const char *more, const char *text, const char *tenant) {
    struct tl_conformance *run = open_engine(more);
    struct answer answer = query_of(run, text, tenant);
    tl_conformance_close(run);
    return answer;
}

static void drop(struct answer *answer) {
    tl_mem_free(answer->logits);
}

static int empty(void **state) {
    (void)state;
    tl_prefix_test_empty(&cache);
    return 0;
}

/* The same KV, so the same logits to the bit where what is computed behind it is cut alike. */
static void the_next_process_reads_it(void **state) {
    (void)state;
    struct answer first = process(DIGEST, secret, NULL), second = process(DIGEST, secret, NULL);
    assert_int_equal(first.usage.tokens_loaded, 0);
    assert_int_equal(first.usage.tokens_reused, 0);
    assert_true(second.usage.tokens_loaded >= 20);
    assert_int_equal(second.usage.tokens_reused, second.usage.tokens_loaded);
    assert_int_equal(second.usage.tokens_computed, second.usage.tokens_in - second.usage.tokens_loaded);
    assert_string_equal(second.notice, "");
    assert_int_equal(first.vocabulary, second.vocabulary);
    assert_memory_equal(first.logits, second.logits, first.vocabulary * sizeof *first.logits);
    assert_string_equal(first.text, second.text);
    assert_int_equal(tl_prefix_test_count(&cache), 1);
    drop(&first);
    drop(&second);
}

/* Another query's text makes the same file, to the byte: nothing of it is in there. Not either when the copy that is
 * pinned is of a longer prompt, or when the query is a tenant's. */
static void nothing_of_a_query_is_written(void **state) {
    (void)state;
    char path[400];
    struct tl_error error;
    struct tl_str contents[2] = {TL_STR_INIT, TL_STR_INIT};
    for (int i = 0; i < 2; i++) {
        struct answer answer = process(DIGEST, i ? secret : "What is two plus two?", NULL);
        drop(&answer);
        assert_int_equal(tl_prefix_test_count(&cache), 1);
        tl_prefix_test_find(&cache, path);
        assert_int_equal(tl_file_read(path, 1 << 24, &contents[i], &error), TL_OK);
        unlink(path);
    }
    assert_int_equal(contents[0].length, contents[1].length);
    assert_memory_equal(contents[0].data, contents[1].data, contents[0].length);
    struct answer answer = process(DIGEST, secret, "somebody");
    drop(&answer);
    assert_int_equal(tl_prefix_test_count(&cache), 0);
    tl_str_fini(&contents[0]);
    tl_str_fini(&contents[1]);

    /* The pinned copy goes, the whole prompt stays in its sequence, and is saved whole for the pin. */
    struct tl_conformance *run = open_engine(DIGEST);
    struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
    answer = query_of(run, secret, NULL);
    drop(&answer);
    while (tl_llm_next_pinned(engine->core, NULL))
        tl_llm_copy_drop(engine->core, (struct tl_llm_copy *)tl_llm_next_pinned(engine->core, NULL));
    answer = query_of(run, secret, NULL);
    drop(&answer);
    const struct tl_llm_copy *copy = tl_llm_next_pinned(engine->core, NULL);
    assert_true(!copy || copy->saved_length > copy->mark.length);
    tl_conformance_close(run);
    assert_int_equal(tl_prefix_test_count(&cache), 0);
}

static void expect_unused(const char *why) {
    struct answer answer = process(DIGEST, secret, NULL);
    assert_int_equal(answer.usage.tokens_loaded, 0);
    assert_int_equal(answer.usage.tokens_reused, 0);
    if (!strstr(answer.notice, why))
        fail_msg("the notice is '%s', not '%s'", answer.notice, why);
    assert_int_equal(tl_prefix_test_count(&cache), 1); /* written anew */
    drop(&answer);
}

/* Wrong files are not used, but reported and written anew; then they are read again. */
static void what_is_wrong_is_not_used(void **state) {
    (void)state;
    char path[400];
    struct answer answer = process(DIGEST, secret, NULL);
    drop(&answer);
    tl_prefix_test_find(&cache, path);
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    struct stat info;
    assert_int_equal(fstat(file, &info), 0);
    uint8_t byte;
    assert_int_equal(pread(file, &byte, 1, info.st_size / 2), 1);
    byte ^= 4;
    assert_int_equal(pwrite(file, &byte, 1, info.st_size / 2), 1);
    close(file);
    expect_unused("its checksum is wrong");
    assert_int_equal(truncate(path, info.st_size - 1), 0);
    expect_unused("it has another size");
    assert_int_equal(chmod(path, 0666), 0);
    expect_unused("does not belong to this user alone");
    answer = process(DIGEST, secret, NULL);
    assert_true(answer.usage.tokens_loaded >= 20);
    assert_string_equal(answer.notice, "");
    drop(&answer);
}

static void other_circumstances_find_nothing(void **state) {
    (void)state;
    struct answer answer = process(DIGEST, secret, NULL);
    drop(&answer);
    static const char *const others[] = {"\"model_digest\": \"abd\"", DIGEST ", \"kv\": \"unified\"",
                                         DIGEST ", \"file_bytes\": 0", "\"reserve\": 64"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        answer = process(others[i], secret, NULL);
        assert_int_equal(answer.usage.tokens_loaded, 0);
        drop(&answer);
    }
    answer = process(DIGEST, secret, "somebody");
    assert_int_equal(answer.usage.tokens_loaded, 0);
    drop(&answer);
    assert_int_equal(tl_prefix_test_count(&cache), 3); /* two of them have written their own */
}

/* What an engine that has failed has computed is not handed on. */
static int32_t fail_always(void *context, int32_t result) {
    (void)context;
    (void)result;
    return -3;
}

static void a_failed_engine_writes_nothing(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine(DIGEST);
    struct answer answer = query_of(run, secret, NULL);
    drop(&answer);
    struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
    engine->hooks = (struct tl_llama_hooks){.decode = fail_always};
    struct tl_conformance_held *held =
        tl_llama_test_prefill(run, TL_OP_PREFILL, tl_llama_test_ask("Name a colour."), NULL);
    tl_conformance_finish(run);
    assert_int_equal(tl_conformance_outcome(held)->status, TL_ERR_ENGINE);
    tl_conformance_close(run);
    assert_int_equal(tl_prefix_test_count(&cache), 0);
}

/* A cache folder that cannot be had, or is open to others, costs no query. */
static void without_a_folder_all_goes_on(void **state) {
    (void)state;
    tl_log_set_level(TL_LOG_ERROR); /* it warns */
    assert_int_equal(chmod(cache.folder, 0755), 0);
    struct answer answer = process(DIGEST, secret, NULL);
    drop(&answer);
    assert_int_equal(tl_prefix_test_count(&cache), 0);
    assert_int_equal(chmod(cache.folder, 0700), 0);
    setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
    answer = process(DIGEST, secret, NULL);
    drop(&answer);
    setenv("XDG_CACHE_HOME", cache.cache, 1);
    tl_log_set_level(TL_LOG_WARN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_next_process_reads_it, empty),
        cmocka_unit_test_teardown(nothing_of_a_query_is_written, empty),
        cmocka_unit_test_teardown(what_is_wrong_is_not_used, empty),
        cmocka_unit_test_teardown(other_circumstances_find_nothing, empty),
        cmocka_unit_test_teardown(a_failed_engine_writes_nothing, empty),
        cmocka_unit_test_teardown(without_a_folder_all_goes_on, empty),
    };
    if (!tl_prefix_test_open(&cache))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tl_prefix_test_close(&cache);
    return failed;
}
