/* Tests of the engine "sqlite": the conformance suite, temporary collections and their life,
 * ingest in parts, results in the shape of the queries, cancel between queries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/conformance/conformance.h"
#include "engine/engines.h"
#include "engine/sqlite/sqlite_temporary.h"

#define DIMENSION 4

static char directory[] = "/tmp/teola-engine-XXXXXX";
static char settings[512];

static const char *const texts[] = {"the copper engine", "a river of stone", "the violin player", "meadow and cloud",
                                    "engine room", "stone bridge over the river"};
#define TEXTS (sizeof texts / sizeof texts[0])

static struct tl_value *vector_value(uint32_t i) {
    const float data[DIMENSION] = {i % 2 ? 0.6f : 0.8f, i % 2 ? 0.8f : 0.6f, 0, 0};
    const float axis[DIMENSION] = {0, 0, i % 3 ? 0 : 1, i % 3 ? 1 : 0};
    return tl_value_vector(i % 5 < 3 ? data : axis, DIMENSION);
}

static struct tl_value *chunk_value(uint32_t document, uint32_t ordinal) {
    char id[32], uri[32];
    snprintf(id, sizeof id, "%016x:%u", document, ordinal);
    snprintf(uri, sizeof uri, "document %u", document);
    const char *text = texts[(document + ordinal) % TEXTS];
    const struct tl_chunk chunk = {.id = id,
                                   .uri = uri,
                                   .title = "Title",
                                   .heading = "",
                                   .text = text,
                                   .length = strlen(text),
                                   .ordinal = ordinal};
    return tl_value_chunk(&chunk);
}

/* Chunks [from, to), three a document, with their vectors. */
static void ingest_item(struct tl_conformance_item *item, uint32_t from, uint32_t to, struct tl_value *into) {
    struct tl_value *chunks[64], *vectors[64];
    for (uint32_t i = from; i < to; i++) {
        chunks[i - from] = chunk_value(i / 3, i % 3);
        vectors[i - from] = vector_value(i);
    }
    item->op = TL_OP_INGEST;
    tl_conformance_input(item, "chunks", tl_value_list(TL_TYPE_OF(CHUNK, 0), chunks, to - from));
    tl_conformance_input(item, "vectors", tl_value_list(TL_TYPE_OF(VECTOR, 0), vectors, to - from));
    tl_conformance_input(item, "into", into);
}

static struct tl_value *ingest(struct tl_conformance *run, uint32_t from, uint32_t to, struct tl_value *into) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    ingest_item(&item, from, to, into);
    return tl_conformance_compute(run, &item);
}

static void query_item(struct tl_conformance_item *item, enum tl_primitive op, struct tl_value *query,
                       struct tl_value *index) {
    item->op = op;
    tl_conformance_input(item, "query", query);
    tl_conformance_input(item, "index", index);
}

static struct tl_value *text_value(const char *text) { return tl_value_text(text, strlen(text)); }

enum {
    NEW_COLLECTION,
    INGEST_TEMPORARY,
    INGEST_EMPTY,
    INGEST_LASTING,
    SEARCH_ONE,
    SEARCH_NESTED,
    SEARCH_NONE,
    SEARCH_EMPTY_INDEX,
    MATCH_LIST,
    BAD_COUNT,
    BAD_LENGTHS,
    BAD_COLLECTION,
    BAD_DIMENSION,
    KINDS
};

static void make(struct tl_conformance *run, size_t kind, uint32_t variation, struct tl_conformance_item *item) {
    item->incomparable = kind <= INGEST_LASTING; /* handles, and a version that counts */
    item->fails = kind >= BAD_COUNT;
    if (kind == NEW_COLLECTION) {
        item->op = TL_OP_COLLECTION;
    } else if (kind == INGEST_TEMPORARY || kind == INGEST_EMPTY) {
        ingest_item(item, variation, kind == INGEST_EMPTY ? variation : variation + 7, NULL);
    } else if (kind == INGEST_LASTING || kind == BAD_COLLECTION) {
        ingest_item(item, variation, variation + 5, NULL);
        tl_attributes_set_string(&item->attributes, item->arena, "collection",
                                 kind == BAD_COLLECTION ? "no; such" : "lasting");
    } else if (kind == BAD_LENGTHS) {
        ingest_item(item, 0, 3, NULL);
        tl_value_unref(item->inputs[1]);
        item->inputs[1] = tl_value_list(TL_TYPE_OF(VECTOR, 0), NULL, 0);
    } else if (kind == SEARCH_ONE || kind == BAD_COUNT) {
        query_item(item, TL_OP_SEARCH, vector_value(variation), ingest(run, 0, 20, NULL));
        tl_attributes_set_integer(&item->attributes, item->arena, "count", kind == BAD_COUNT ? 0 : 5);
    } else if (kind == SEARCH_NESTED) {
        struct tl_value *inner[] = {vector_value(variation), vector_value(variation + 1)};
        struct tl_value *outer[] = {tl_value_list(TL_TYPE_OF(VECTOR, 0), inner, 2),
                                    tl_value_list(TL_TYPE_OF(VECTOR, 0), NULL, 0)};
        query_item(item, TL_OP_SEARCH, tl_value_list(TL_TYPE_OF(VECTOR, 1), outer, 2), ingest(run, 3, 20, NULL));
    } else if (kind == SEARCH_NONE) {
        query_item(item, TL_OP_SEARCH, tl_value_list(TL_TYPE_OF(VECTOR, 0), NULL, 0), ingest(run, 0, 4, NULL));
    } else if (kind == SEARCH_EMPTY_INDEX) {
        query_item(item, TL_OP_SEARCH, vector_value(variation), ingest(run, 0, 0, NULL));
    } else if (kind == MATCH_LIST) {
        struct tl_value *queries[] = {text_value(texts[variation % TEXTS]), text_value(""), text_value("\"river* OR")};
        query_item(item, TL_OP_MATCH, tl_value_list(TL_TYPE_OF(TEXT, 0), queries, 3), ingest(run, 0, 20, NULL));
    } else { /* BAD_DIMENSION */
        const float data[2] = {1, 0};
        query_item(item, TL_OP_SEARCH, tl_value_vector(data, 2), ingest(run, 0, 4, NULL));
    }
}

static void check_at_rest(struct tl_engine *engine) {
    (void)engine;
    assert_int_equal(tl_sqlite_temporary_count(), 0);
}

static const struct tl_conformance_subject subject = {
    .ops = &tl_sqlite_engine,
    .settings = settings,
    .kinds = KINDS,
    .make = make,
    .check_at_rest = check_at_rest,
};

static void test_conformance(void **state) {
    (void)state;
    tl_conformance_check(&subject);
}

static struct tl_value *answer(struct tl_conformance *run, enum tl_primitive op, struct tl_value *query,
                               struct tl_value *index, int64_t count) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    query_item(&item, op, query, index);
    tl_attributes_set_integer(&item.attributes, item.arena, "count", count);
    return tl_conformance_compute(run, &item);
}

static void test_temporary_grows_and_goes(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_value *all = ingest(run, 0, 30, NULL);
    /* The same in three parts, of which the cuts are inside of documents. */
    struct tl_value *first = ingest(run, 0, 0, NULL);
    struct tl_value *second = ingest(run, 0, 13, tl_value_ref(first));
    struct tl_value *third = ingest(run, 13, 30, tl_value_ref(second));
    assert_int_equal(tl_sqlite_temporary_count(), 2);
    tl_value_unref(second);
    for (uint32_t i = 0; i < 8; i++) {
        struct tl_value *a = answer(run, TL_OP_SEARCH, vector_value(i), tl_value_ref(all), 20);
        struct tl_value *b = answer(run, TL_OP_SEARCH, vector_value(i), tl_value_ref(first), 20); /* the same store */
        struct tl_value *c = answer(run, TL_OP_MATCH, text_value(texts[i % TEXTS]), tl_value_ref(all), 20);
        struct tl_value *d = answer(run, TL_OP_MATCH, text_value(texts[i % TEXTS]), tl_value_ref(third), 20);
        assert_int_equal(a->as.list.count, 20);
        assert_true(tl_value_equal(a, b));
        assert_true(c->as.list.count > 0);
        assert_true(tl_value_equal(c, d));
        tl_value_unref(a);
        tl_value_unref(b);
        tl_value_unref(c);
        tl_value_unref(d);
    }
    tl_value_unref(all);
    assert_int_equal(tl_sqlite_temporary_count(), 1);
    tl_value_unref(first);
    assert_int_equal(tl_sqlite_temporary_count(), 1);
    tl_conformance_stop(run);
    tl_conformance_close(run);
    tl_value_unref(third); /* after its engine: nothing of the engine is needed any more */
    assert_int_equal(tl_sqlite_temporary_count(), 0);
}

/* Stages of an ingest: a new collection handed from one to the next holds what one ingest of all would. */
static void test_stages_fill_a_new_collection(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_COLLECTION;
    struct tl_value *staged = tl_conformance_compute(run, &item);
    for (uint32_t from = 0; from < 20; from += 6)
        staged = ingest(run, from, from + 6 < 20 ? from + 6 : 20, staged);
    struct tl_value *a = answer(run, TL_OP_SEARCH, vector_value(3), staged, 16);
    struct tl_value *b = answer(run, TL_OP_SEARCH, vector_value(3), ingest(run, 0, 20, NULL), 16);
    assert_int_equal(a->as.list.count, 16);
    assert_true(tl_value_equal(a, b));
    tl_value_unref(a);
    tl_value_unref(b);
    assert_int_equal(tl_sqlite_temporary_count(), 0);
    tl_conformance_stop(run);
    tl_conformance_close(run);
}

static void test_documents_of_one_name(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    struct tl_value *chunks[3], *vectors[3];
    for (uint32_t i = 0; i < 3; i++) {
        char id[32];
        snprintf(id, sizeof id, "%016x:0", i);
        const struct tl_chunk chunk =
            {.id = id, .uri = "notes", .title = "", .heading = "", .text = texts[0], .length = 17};
        chunks[i] = tl_value_chunk(&chunk);
        vectors[i] = vector_value(0);
    }
    item.op = TL_OP_INGEST;
    tl_conformance_input(&item, "chunks", tl_value_list(TL_TYPE_OF(CHUNK, 0), chunks, 3));
    tl_conformance_input(&item, "vectors", tl_value_list(TL_TYPE_OF(VECTOR, 0), vectors, 3));
    struct tl_value *index = tl_conformance_compute(run, &item);
    struct tl_value *hits = answer(run, TL_OP_MATCH, text_value("copper"), index, 9);
    assert_int_equal(hits->as.list.count, 3);
    tl_value_unref(hits);
    tl_conformance_close(run);
}

static void test_lasting_collection(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_conformance_item item;
    uint64_t versions[2];
    for (int i = 0; i < 2; i++) { /* twice the same: nothing twice in it */
        tl_conformance_item_init(run, &item);
        ingest_item(&item, 0, 10, NULL);
        tl_attributes_set_string(&item.attributes, item.arena, "collection", "books");
        struct tl_value *index = tl_conformance_compute(run, &item);
        assert_string_equal(index->as.index.collection, "books");
        assert_null(index->as.index.resource);
        versions[i] = index->as.index.version;
        tl_value_unref(index);
    }
    assert_true(versions[1] > versions[0]);
    struct tl_engine *engine = tl_conformance_engine(run);
    assert_int_equal(engine->ops->version(engine, "books"), versions[1]);
    assert_int_equal(engine->ops->version(engine, "nowhere"), 0);
    tl_conformance_close(run);
    run = tl_conformance_open(&subject); /* it outlives the instance */
    struct tl_value *hits = answer(run, TL_OP_SEARCH, vector_value(1), tl_value_index("books", NULL, 0), 100);
    assert_int_equal(hits->as.list.count, 10);
    tl_value_unref(hits);
    tl_conformance_item_init(run, &item); /* made without a chunk, it is there and empty */
    ingest_item(&item, 0, 0, NULL);
    tl_attributes_set_string(&item.attributes, item.arena, "collection", "empty");
    hits = answer(run, TL_OP_SEARCH, vector_value(1), tl_conformance_compute(run, &item), 100);
    assert_int_equal(hits->as.list.count, 0);
    tl_value_unref(hits);
    tl_conformance_close(run);
}

static void expect_failure(struct tl_conformance *run, struct tl_conformance_item *item, enum tl_status status,
                           const char *part) {
    struct tl_conformance_held *held = tl_conformance_submit(run, item);
    tl_conformance_finish(run);
    const struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    assert_int_equal(outcome->status, status);
    if (!strstr(outcome->message, part))
        fail_msg("\"%s\" is not in: %s", part, outcome->message);
}

static void test_failures_are_explained(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject), *other = tl_conformance_open(&subject);
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    query_item(&item, TL_OP_SEARCH, vector_value(1), tl_value_index("nowhere", NULL, 0));
    expect_failure(run, &item, TL_ERR_NOT_FOUND, "nowhere");

    struct tl_value *foreign = ingest(other, 0, 3, NULL);
    tl_conformance_item_init(run, &item);
    query_item(&item, TL_OP_SEARCH, vector_value(1), tl_value_ref(foreign));
    expect_failure(run, &item, TL_ERR_INVALID, "another engine");
    tl_conformance_item_init(run, &item);
    ingest_item(&item, 0, 3, foreign);
    expect_failure(run, &item, TL_ERR_INVALID, "another engine");

    struct tl_value *own = ingest(run, 0, 3, NULL);
    tl_conformance_item_init(run, &item);
    ingest_item(&item, 0, 3, own);
    tl_attributes_set_string(&item.attributes, item.arena, "collection", "books");
    expect_failure(run, &item, TL_ERR_INVALID, "books");
    tl_conformance_close(run);
    tl_conformance_close(other);

    /* Another model than the collection's. */
    char changed[600];
    snprintf(changed, sizeof changed, "{\"path\": \"%s/store.db\", \"model\": \"new\", \"model_digest\": \"beef\"}",
             directory);
    struct tl_conformance_subject second = subject;
    second.settings = changed;
    run = tl_conformance_open(&second);
    tl_conformance_item_init(run, &item);
    query_item(&item, TL_OP_SEARCH, vector_value(1), tl_value_index("books", NULL, 0));
    expect_failure(run, &item, TL_ERR_INVALID, "beef");
    tl_conformance_item_init(run, &item); /* words need no model */
    query_item(&item, TL_OP_MATCH, text_value("engine"), tl_value_index("books", NULL, 0));
    tl_value_unref(tl_conformance_compute(run, &item));
    tl_conformance_close(run);
}

static void test_cancel_between_queries(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_value *index = ingest(run, 0, 20, NULL), *queries[10];
    for (uint32_t i = 0; i < 10; i++)
        queries[i] = vector_value(i);
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    query_item(&item, TL_OP_SEARCH, tl_value_list(TL_TYPE_OF(VECTOR, 0), queries, 10), index);
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    for (int i = 0; i < 4; i++)
        assert_true(tl_conformance_step(run)); /* one query each */
    tl_conformance_cancel(run, held);
    assert_int_equal(tl_conformance_outcome(held)->status, TL_ERR_CANCELLED);
    assert_false(tl_conformance_step(run));
    tl_conformance_close(run);
    assert_int_equal(tl_sqlite_temporary_count(), 0);
}

static void test_no_file_for_temporary_work(void **state) {
    (void)state;
    char path[128], unused[256];
    snprintf(path, sizeof path, "%s/unused.db", directory);
    snprintf(unused, sizeof unused, "{\"path\": \"%s\"}", path);
    struct tl_conformance_subject second = subject;
    second.settings = unused;
    struct tl_conformance *run = tl_conformance_open(&second);
    tl_value_unref(ingest(run, 0, 10, NULL));
    assert_int_not_equal(access(path, F_OK), 0);
    tl_conformance_close(run);
}

static int group_setup(void **state) {
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(settings, sizeof settings,
             "{\"path\": \"%s/store.db\", \"model\": \"tiny\", \"model_digest\": \"cafe\", \"dimension\": %d}",
             directory, DIMENSION);
    return 0;
}

static int group_teardown(void **state) {
    (void)state;
    static const char *const names[] = {"store.db", "store.db-wal", "store.db-shm", ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        remove(path);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conformance),
        cmocka_unit_test(test_temporary_grows_and_goes),
        cmocka_unit_test(test_stages_fill_a_new_collection),
        cmocka_unit_test(test_documents_of_one_name),
        cmocka_unit_test(test_lasting_collection),
        cmocka_unit_test(test_failures_are_explained),
        cmocka_unit_test(test_cancel_between_queries),
        cmocka_unit_test(test_no_file_for_temporary_work),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
