/* documents_engine_test.c: the engine alone, by the conformance suite and by its own promises: what it
 * leaves out is told, and how it counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/conformance/conformance.h"
#include "engine/documents/documents_engine.h"

static struct tl_value *document(const char *uri, const char *data) {
    struct tl_document given = {.uri = uri, .data = data, .length = data != NULL ? strlen(data) : 0};
    return tl_value_document(&given);
}

static void add_documents(struct tl_conformance_item *item, struct tl_value **documents, size_t count) {
    item->op = TL_OP_CHUNK;
    tl_conformance_input(item, "documents", tl_value_list(TL_TYPE_OF(DOCUMENT, 0), documents, count));
}

static void make(struct tl_conformance *run, size_t kind, uint32_t variation, struct tl_conformance_item *item) {
    (void)run;
    struct tl_value *documents[3];
    struct tl_str text = TL_STR_INIT;
    switch (kind) {
    case 0: /* some documents of several formats */
        for (uint32_t i = 0; i < 40 + variation % 7 * 30; i++)
            tl_str_printf(&text, "Sentence %u of variation %u. ", (unsigned)i, (unsigned)variation);
        documents[0] = document("a.txt", text.data);
        documents[1] = document("b.md", "# Title\n\nMarkdown text.");
        documents[2] = document("c.html", "<title>T</title><p>HTML text.");
        add_documents(item, documents, 3);
        tl_attributes_set_integer(&item->attributes, item->arena, "size", 16 + variation % 3 * 20);
        tl_attributes_set_integer(&item->attributes, item->arena, "overlap", variation % 8);
        item->pieces = variation % 2 == 0;
        break;
    case 1: /* none */
        add_documents(item, documents, 0);
        break;
    case 2: /* one that is left out beside one that is not */
        documents[0] = document("empty.txt", "");
        documents[1] = document("b.md", "text");
        add_documents(item, documents, 2);
        item->pieces = true;
        break;
    case 3: /* nothing that can be used */
        documents[0] = document("/nonexistent/file", NULL);
        add_documents(item, documents, 1);
        item->fails = true;
        break;
    case 4: /* wrong settings */
        documents[0] = document("a.txt", "text");
        add_documents(item, documents, 1);
        tl_attributes_set_integer(&item->attributes, item->arena, "size", variation % 2 ? 3 : 100000000);
        item->fails = true;
        break;
    default:
        fail_msg("no kind %zu", kind);
    }
    tl_str_fini(&text);
}

static const struct tl_conformance_subject subject = {
    .ops = &tl_documents_engine,
    .settings = "{\"tokenizer\": \"approximate\"}",
    .kinds = 5,
    .make = make,
};

static void test_conformance(void **state) {
    (void)state;
    tl_conformance_check(&subject);
}

static struct tl_conformance_outcome *run_item(struct tl_conformance *run, struct tl_value **documents, size_t count,
                                               bool pieces) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    add_documents(&item, documents, count);
    item.pieces = pieces;
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    return tl_conformance_outcome(held);
}

static void test_leaves_out_and_says_so(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_value *documents[] = {document("a.txt", "Some text."), document("/nonexistent/b\nc.txt", NULL)};
    struct tl_conformance_outcome *outcome = run_item(run, documents, 2, true);
    assert_int_equal(outcome->status, TL_OK);
    assert_string_equal(outcome->notice, "left out: /nonexistent/b\\nc.txt cannot be read: No such file or directory");
    assert_int_equal(outcome->outputs[0]->as.list.count, 1);
    const struct tl_chunk *chunk = &outcome->outputs[0]->as.list.items[0]->as.chunk;
    assert_string_equal(chunk->text, "Some text.");
    assert_string_equal(chunk->uri, "a.txt");
    assert_string_equal(chunk->title, "a.txt");
    assert_string_equal(chunk->id, "13b4c5aecd1b6d74:0");
    assert_int_equal(outcome->piece_count, 1);
    assert_int_equal(outcome->usage.units, 1);
    assert_int_equal(outcome->usage.tokens_in, chunk->tokens);
    tl_conformance_close(run);
}

static void test_nothing_usable(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_value *one[] = {document("e.txt", "")};
    struct tl_conformance_outcome *outcome = run_item(run, one, 1, false);
    assert_int_equal(outcome->status, TL_ERR_INVALID);
    assert_string_equal(outcome->message, "e.txt is empty");
    struct tl_value *two[] = {document("e.txt", ""), document("f.html", "<p>")};
    outcome = run_item(run, two, 2, false);
    assert_int_equal(outcome->status, TL_ERR_INVALID);
    assert_string_equal(outcome->message, "none of 2 documents could be used; the last: f.html holds no text");
    tl_conformance_close(run);
}

static void test_notice_of_repair(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_value *documents[] = {document("a.txt", "a text with one \xff malformed byte")};
    struct tl_conformance_outcome *outcome = run_item(run, documents, 1, false);
    assert_int_equal(outcome->status, TL_OK);
    assert_string_equal(outcome->notice, "a.txt has 1 malformed bytes, each read as U+FFFD");
    tl_conformance_close(run);
}

/* One document, or a bounded number of chunks, a step: so a cancel is prompt. */
static void test_steps_are_small(void **state) {
    (void)state;
    struct tl_str text = TL_STR_INIT;
    for (size_t i = 0; i < 200000; i++)
        tl_str_printf(&text, "word%zu ", i % 1000);
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    struct tl_value *documents[] = {document("long.txt", text.data), document("b.txt", "x")};
    add_documents(&item, documents, 2);
    item.pieces = true;
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    assert_true(tl_conformance_step(run)); /* reads */
    assert_int_equal(outcome->piece_count, 0);
    assert_true(tl_conformance_step(run));
    assert_in_range(outcome->piece_count, 1, 256);
    assert_false(outcome->finished);
    tl_conformance_cancel(run, held);
    tl_conformance_finish(run);
    assert_int_equal(outcome->status, TL_ERR_CANCELLED);
    tl_conformance_close(run);
    tl_str_fini(&text);
}

/* With the vocabulary of a real embedding model. */
static void test_model_tokens(void **state) {
    (void)state;
    const char *models = getenv("TEOLA_TEST_MODELS");
    if (models == NULL)
        fail_msg("TEOLA_TEST_MODELS is not set");
    char settings[1024];
    snprintf(settings, sizeof settings, "{\"tokenizer\": \"%s/all-minilm-l6-v2-f16.gguf\"}", models);
    struct tl_conformance_subject real = subject;
    real.settings = settings;
    struct tl_conformance *run = tl_conformance_open(&real);
    struct tl_value *documents[] = {document("a.txt", "Tokenization of sqlite3_prepare_v2 by WordPiece.")};
    struct tl_conformance_outcome *outcome = run_item(run, documents, 1, false);
    assert_int_equal(outcome->status, TL_OK);
    /* token ##ization of sql ##ite ##3 _ prepare _ v ##2 by word ##piece . */
    assert_int_equal(outcome->outputs[0]->as.list.items[0]->as.chunk.tokens, 15);
    tl_conformance_close(run);
}

static void check_refused(const char *settings, const char *message) {
    struct tl_engine *engine = NULL;
    struct tl_error error = {TL_OK, ""};
    json_t *json = json_loads(settings, 0, NULL);
    assert_int_equal(tl_documents_engine.create("docs", json, &engine, &error), TL_ERR_INVALID);
    assert_null(engine);
    assert_string_equal(error.message, message);
    json_decref(json);
}

static void test_settings(void **state) {
    (void)state;
    check_refused("{}", "engine docs: setting tokenizer is missing: the path of the embedding model, or "
                        "\"approximate\"");
    check_refused("{\"tokenizer\": 3}", "engine docs: setting tokenizer is not a path");
    check_refused("{\"tokenizer\": \"x\", \"max_bytes\": 0}", "engine docs: setting max_bytes is not an integer from 1 "
                                                              "to 2147483647");
    check_refused("{\"tokeniser\": \"x\"}", "engine docs: unknown setting tokeniser, expected tokenizer, max_bytes, "
                                            "pdf_seconds or pdftotext");
    struct tl_engine *engine = NULL;
    struct tl_error error = {TL_OK, ""};
    json_t *json = json_loads("{\"tokenizer\": \"/nonexistent.gguf\"}", 0, NULL);
    assert_int_equal(tl_documents_engine.create("docs", json, &engine, &error), TL_OK);
    json_decref(json);
    assert_int_not_equal(tl_documents_engine.open(engine, NULL, &error), TL_OK);
    assert_non_null(strstr(error.message, "/nonexistent.gguf"));
    tl_documents_engine.destroy(engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conformance),     cmocka_unit_test(test_leaves_out_and_says_so),
        cmocka_unit_test(test_nothing_usable),  cmocka_unit_test(test_notice_of_repair),
        cmocka_unit_test(test_steps_are_small), cmocka_unit_test(test_model_tokens),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
