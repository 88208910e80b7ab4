/* emulated_test.c: the emulated engine passes the conformance suite for everything that it stands
 * for, gives the same text however a prompt was split, and fails and hangs as it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/conformance/conformance.h"
#include "engine/engines.h"

static struct tl_value *text(const char *prefix, uint32_t variation) {
    struct tl_str out = TL_STR_INIT;
    tl_str_printf(&out, "%s %u", prefix, variation);
    struct tl_value *value = tl_value_text(out.data, out.length);
    tl_str_fini(&out);
    return value;
}

static struct tl_value *prompt(uint32_t variation, bool open) {
    char question[32];
    int length = snprintf(question, sizeof question, "question %u", variation);
    struct tl_prompt_part parts[] = {
        {TL_ROLE_SYSTEM, 0, TL_PART_STATIC, "Answer in one sentence.", 23},
        {TL_ROLE_USER, 1, 0, "About ", 6},
        {TL_ROLE_USER, 1, open ? TL_PART_OPEN : 0, question, (size_t)length},
    };
    return tl_value_prompt(parts, open ? 2 : 3);
}

static struct tl_value *prefilled(struct tl_conformance *run, uint32_t variation) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_PREFILL;
    tl_conformance_input(&item, "prompt", prompt(variation, false));
    return tl_conformance_compute(run, &item);
}

static struct tl_value *documents(uint32_t variation) {
    char uri[16];
    snprintf(uri, sizeof uri, "doc-%u", variation);
    struct tl_value *document = tl_value_document(&(struct tl_document){.uri = uri});
    return tl_value_list(TL_TYPE_OF(DOCUMENT, 0), &document, 1);
}

static struct tl_value *chunks(struct tl_conformance *run, uint32_t variation) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_CHUNK;
    tl_conformance_input(&item, "documents", documents(variation));
    return tl_conformance_compute(run, &item);
}

static struct tl_value *vectors(struct tl_conformance *run, struct tl_value *of) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_EMBED;
    tl_conformance_input(&item, "input", of);
    return tl_conformance_compute(run, &item);
}

static struct tl_value *filled(struct tl_conformance *run, uint32_t variation) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_INGEST;
    struct tl_value *all = chunks(run, variation);
    tl_conformance_input(&item, "chunks", all);
    tl_conformance_input(&item, "vectors", vectors(run, tl_value_ref(all)));
    return tl_conformance_compute(run, &item);
}

static struct tl_value *hits(struct tl_conformance *run, uint32_t variation) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_MATCH;
    tl_attributes_set_integer(&item.attributes, item.arena, "count", 3);
    tl_conformance_input(&item, "query", text("ash den oak", variation));
    tl_conformance_input(&item, "index", tl_value_index("some collection", NULL, 0));
    return tl_conformance_compute(run, &item);
}

enum kind { PREFILL,
            DECODE,
            LIST,
            EMBED,
            SCORE,
            INGEST,
            SEARCH,
            CHUNK,
            TOO_LONG,
            KINDS };

static void make(struct tl_conformance *run, size_t kind, uint32_t variation, struct tl_conformance_item *item) {
    switch ((enum kind)kind) {
    case PREFILL:
        item->op = TL_OP_PREFILL;
        item->incomparable = true;
        tl_conformance_input(item, "prompt", prompt(variation, false));
        break;
    case LIST:
        tl_attributes_set_string(&item->attributes, item->arena, "format", "list");
        tl_attributes_set_integer(&item->attributes, item->arena, "items", variation);
        item->pieces = true;
        __attribute__((fallthrough));
    case DECODE:
        item->op = TL_OP_DECODE;
        item->stream = kind == DECODE;
        tl_conformance_input(item, "kv", prefilled(run, variation));
        break;
    case EMBED:
        item->op = TL_OP_EMBED;
        tl_conformance_input(item, "input", text("ash lea", variation));
        break;
    case SCORE:
        item->op = TL_OP_SCORE;
        tl_conformance_input(item, "hits", hits(run, variation));
        tl_conformance_input(item, "query", text("ash", variation));
        break;
    case INGEST:
        item->op = TL_OP_INGEST;
        item->incomparable = true;
        tl_conformance_input(item, "chunks", chunks(run, variation));
        tl_conformance_input(item, "vectors", vectors(run, chunks(run, variation)));
        break;
    case SEARCH:
        item->op = TL_OP_SEARCH;
        tl_conformance_input(item, "query", vectors(run, text("water", variation)));
        tl_conformance_input(item, "index", filled(run, variation));
        break;
    case CHUNK:
        item->op = TL_OP_CHUNK;
        item->pieces = true;
        tl_conformance_input(item, "documents", documents(variation));
        break;
    case TOO_LONG: {
        char *long_text = tl_mem_zalloc(4000);
        memset(long_text, 'x', 3999);
        struct tl_prompt_part part = {TL_ROLE_USER, 0, 0, long_text, 3999};
        item->op = TL_OP_PREFILL;
        item->fails = true;
        tl_conformance_input(item, "prompt", tl_value_prompt(&part, 1));
        tl_mem_free(long_text);
        break;
    }
    case KINDS:
        break;
    }
}

static const struct tl_conformance_subject subject = {
    .ops = &tl_emulated_engine,
    .settings = "{\"scale\": 0, \"serves\": [\"llm\", \"embed\", \"rerank\", \"store\", \"documents\"], "
                "\"context_tokens\": 500}",
    .kinds = KINDS,
    .make = make,
};

static void conforms(void **state) {
    (void)state;
    tl_conformance_check(&subject);
}

static struct tl_value *found(struct tl_conformance *run, struct tl_value *query) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_MATCH;
    tl_conformance_input(&item, "query", query);
    tl_conformance_input(&item, "index", tl_value_index("notes", NULL, 1));
    return tl_conformance_compute(run, &item);
}

/* A search for nothing leaves a collection as it was: regions of no items do not search at all. */
static void no_query_makes_no_collection(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    tl_value_unref(found(run, tl_value_list(TL_TYPE_OF(TEXT, 0), NULL, 0)));
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_INGEST;
    tl_attributes_set_string(&item.attributes, item.arena, "collection", "notes");
    tl_conformance_input(&item, "chunks", tl_value_list(TL_TYPE_OF(CHUNK, 0), NULL, 0));
    tl_conformance_input(&item, "vectors", tl_value_list(TL_TYPE_OF(VECTOR, 0), NULL, 0));
    tl_value_unref(tl_conformance_compute(run, &item));
    struct tl_value *hits_found = found(run, text("ash den oak", 1));
    assert_int_equal(hits_found->as.list.count, 0);
    tl_value_unref(hits_found);
    tl_conformance_close(run);
}

static char *decoded(struct tl_conformance *run, struct tl_value *kv) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_DECODE;
    tl_conformance_input(&item, "kv", kv);
    struct tl_value *output = tl_conformance_compute(run, &item);
    char *copy = tl_mem_strdup(output->as.text.data);
    tl_value_unref(output);
    return copy;
}

static void a_split_prompt_gives_the_same_text(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_PARTIAL_PREFILL;
    tl_conformance_input(&item, "prompt", prompt(3, true));
    struct tl_value *partial = tl_conformance_compute(run, &item);
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_FULL_PREFILL;
    tl_conformance_input(&item, "prompt", prompt(3, false));
    tl_conformance_input(&item, "kv", partial);
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    assert_true(outcome->usage.tokens_reused > 0);
    assert_int_equal(outcome->usage.tokens_reused + outcome->usage.tokens_computed, outcome->usage.tokens_in);
    char *split = decoded(run, tl_value_ref(outcome->outputs[0])), *whole = decoded(run, prefilled(run, 3));
    char *other = decoded(run, prefilled(run, 4));
    assert_string_equal(split, whole);
    assert_string_not_equal(split, other);
    tl_mem_free(split);
    tl_mem_free(whole);
    tl_mem_free(other);
    tl_conformance_close(run);
}

static struct tl_conformance_held *write_list(struct tl_conformance *run, uint32_t variation, const char *on_error) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_DECODE;
    item.pieces = true;
    tl_attributes_set_string(&item.attributes, item.arena, "format", "list");
    tl_attributes_set_integer(&item.attributes, item.arena, "items", 4);
    if (on_error) tl_attributes_set_string(&item.attributes, item.arena, "on_error", on_error);
    tl_conformance_input(&item, "kv", prefilled(run, variation));
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    return held;
}

static const struct tl_conformance_outcome *write_format(struct tl_conformance *run, const char *format,
                                                         const char *name, const char *value) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_DECODE;
    item.pieces = true;
    tl_attributes_set_string(&item.attributes, item.arena, "format", format);
    tl_attributes_set_string(&item.attributes, item.arena, name, value);
    tl_conformance_input(&item, "kv", prefilled(run, 5));
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    return tl_conformance_outcome(held);
}

/* The passages of a document by the settings "size" 10 and "overlap" 2. */
static const struct tl_value *cut(struct tl_conformance *run, const struct tl_document *given) {
    struct tl_conformance_item item;
    struct tl_value *document = tl_value_document(given);
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_CHUNK;
    tl_attributes_set_integer(&item.attributes, item.arena, "size", 10);
    tl_attributes_set_integer(&item.attributes, item.arena, "overlap", 2);
    tl_conformance_input(&item, "documents", tl_value_list(TL_TYPE_OF(DOCUMENT, 0), &document, 1));
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    return tl_conformance_outcome(held)->outputs[0];
}

static void has_passages(const struct tl_value *list, size_t count, uint32_t last) {
    assert_int_equal(list->as.list.count, count);
    for (size_t i = 0; i < count; i++) {
        const struct tl_chunk *chunk = &list->as.list.items[i]->as.chunk;
        assert_int_equal(chunk->tokens, i + 1 < count ? 10 : last);
        assert_int_equal(chunk->length, 4 * chunk->tokens);
        assert_int_equal(chunk->ordinal, i);
    }
}

/* Whether its text is there or not, a document of so many bytes has passages of the same sizes. */
static void passages_are_as_long_as_asked_for(void **state) {
    (void)state;
    char text[4 * 45 + 1];
    struct tl_conformance *run = tl_conformance_open(&subject);
    memset(text, 'a', sizeof text);
    has_passages(cut(run, &(struct tl_document){.uri = "a", .data = text, .length = 4 * 45}), 6, 5);
    has_passages(cut(run, &(struct tl_document){.uri = "a", .length = 4 * 45}), 6, 5);
    has_passages(cut(run, &(struct tl_document){.uri = "a", .data = text, .length = 40}), 1, 10);
    has_passages(cut(run, &(struct tl_document){.uri = "a", .length = 40}), 1, 10);
    has_passages(cut(run, &(struct tl_document){.uri = "a", .length = 44}), 2, 3);
    has_passages(cut(run, &(struct tl_document){.uri = "a", .data = "", .length = 0}), 0, 0);
    has_passages(cut(run, &(struct tl_document){.uri = "a"}), 4, 10); /* as document_chunks says */
    tl_conformance_close(run);
}

/* What is asked for in a form has it. */
static void forms_are_kept(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    const struct tl_conformance_outcome *outcome =
        write_format(run, "json", "schema", "{\"type\":\"array\",\"minItems\":2,\"items\":{\"type\":\"integer\"}}");
    assert_int_equal(outcome->status, TL_OK);
    assert_true(tl_type_equal(outcome->outputs[0]->type, TL_TYPE_OF(JSON, 1)));
    assert_int_equal(outcome->outputs[0]->as.list.count, 2);
    assert_int_equal(outcome->piece_count, 2);
    outcome = write_format(run, "json", "schema", "{\"properties\":{\"a\":{\"const\":1}},\"required\":[\"a\"]}");
    assert_int_equal(json_integer_value(json_object_get(outcome->outputs[0]->as.json, "a")), 1);
    outcome = write_format(run, "choice", "choices", "[\"yes\", \"no\"]");
    assert_non_null(strstr("yes no", outcome->outputs[0]->as.text.data));
    outcome = write_format(run, "tool_call", "tools", "[{\"name\":\"f\"}]");
    assert_int_equal(json_array_size(json_object_get(outcome->outputs[0]->as.json, "tool_calls")), 1);
    outcome = write_format(run, "json", "schema", "{\"type\":\"x\"}");
    assert_int_equal(outcome->status, TL_ERR_INVALID);
    assert_non_null(strstr(outcome->message, "schema.type"));
    tl_conformance_close(run);
}

/* Broken lists keep the items that are whole, the same whichever way they are asked for; or they are failures. */
static void lists_break_off(void **state) {
    (void)state;
    struct tl_conformance_subject breaking = subject;
    breaking.settings = "{\"scale\": 0, \"list_broken\": 2}";
    struct tl_conformance *run = tl_conformance_open(&breaking);
    size_t broken = 0, seen[4] = {0};
    for (uint32_t i = 0; i < 40; i++) {
        const struct tl_conformance_outcome *skip = tl_conformance_outcome(write_list(run, i, NULL));
        assert_int_equal(skip->status, TL_OK);
        size_t whole = skip->outputs[0]->as.list.count;
        assert_int_equal(skip->piece_count, whole);
        const struct tl_conformance_outcome *fail = tl_conformance_outcome(write_list(run, i, "fail"));
        if (whole == 4) {
            assert_int_equal(fail->status, TL_OK);
            continue;
        }
        char message[80];
        snprintf(message, sizeof message, "the list that the model wrote breaks off after %zu whole items", whole);
        assert_int_equal(fail->status, TL_ERR_ENGINE);
        assert_string_equal(fail->message, message);
        broken++;
        seen[whole]++;
    }
    assert_in_range(broken, 10, 30);
    for (size_t i = 0; i < 4; i++) assert_true(seen[i] > 0);
    tl_conformance_close(run);
}

static void fails_every_nth(void **state) {
    (void)state;
    struct tl_conformance_subject failing = subject;
    failing.settings = "{\"scale\": 0, \"fail_every\": 3}";
    struct tl_conformance *run = tl_conformance_open(&failing);
    for (uint32_t i = 1; i <= 6; i++) {
        struct tl_conformance_item item;
        tl_conformance_item_init(run, &item);
        make(run, EMBED, i, &item);
        struct tl_conformance_held *held = tl_conformance_submit(run, &item);
        tl_conformance_finish(run);
        assert_int_equal(tl_conformance_outcome(held)->status, i % 3 == 0 ? TL_ERR_ENGINE : TL_OK);
    }
    tl_conformance_close(run);
}

static void hangs_until_cancelled(void **state) {
    (void)state;
    struct tl_conformance_subject hanging = subject;
    hanging.settings = "{\"hang\": true}";
    struct tl_conformance *run = tl_conformance_open(&hanging);
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    make(run, EMBED, 1, &item);
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    assert_false(tl_conformance_step(run));
    assert_false(tl_conformance_outcome(held)->finished);
    tl_conformance_cancel(run, held);
    assert_int_equal(tl_conformance_outcome(held)->status, TL_ERR_CANCELLED);
    tl_conformance_close(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conforms),
        cmocka_unit_test(no_query_makes_no_collection),
        cmocka_unit_test(a_split_prompt_gives_the_same_text),
        cmocka_unit_test(lists_break_off),
        cmocka_unit_test(passages_are_as_long_as_asked_for),
        cmocka_unit_test(forms_are_kept),
        cmocka_unit_test(fails_every_nth),
        cmocka_unit_test(hangs_until_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
