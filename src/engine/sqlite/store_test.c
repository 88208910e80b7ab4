/* Tests of the store: random documents in and out against a naive reference and against a
 * store made afresh; model checks; foreign and damaged files; readers beside a writer. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/sqlite/store.h"

#define DIMENSION 8
#define DOCUMENTS 12
#define CHUNKS_MAX 9

static const char digest[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct fixture {
    char directory[64];
    char path[96];
};

static int setup(void **state) {
    struct fixture *fixture = tl_mem_zalloc(sizeof *fixture);
    snprintf(fixture->directory, sizeof fixture->directory, "/tmp/teola-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof fixture->path, "%s/sub/store.db", fixture->directory);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    static const char *const names[] = {"sub/store.db", "sub/store.db-wal", "sub/store.db-shm", "sub", "other.db",
                                        "other.db-wal", "other.db-shm", ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s", fixture->directory, names[i]);
        remove(path);
    }
    tl_mem_free(fixture);
    return 0;
}

static struct tl_store *open_store(const char *path) {
    struct tl_error error = {0};
    struct tl_store *store = NULL;
    const struct tl_store_options options = {.path = path, .create = true, .busy_ms = 1};
    if (tl_store_open(&options, &store, &error) != TL_OK)
        fail_msg("%s", error.message);
    return store;
}

static struct tl_collection *make_collection(struct tl_store *store, const char *name) {
    struct tl_error error = {0};
    struct tl_collection *collection = NULL;
    const struct tl_collection_spec spec = {.name = name,
                                            .model = "tiny",
                                            .model_digest = digest,
                                            .dimension = DIMENSION,
                                            .chunk_size = 64,
                                            .chunk_overlap = 8};
    if (tl_collection_create(store, &spec, &collection, &error) != TL_OK)
        fail_msg("%s", error.message);
    return collection;
}

static void expect_ok(enum tl_status status, const struct tl_error *error) {
    if (status != TL_OK)
        fail_msg("%s", error->message);
}

/* ---- content made from numbers: the same numbers, the same document ---- */

static const char *const vocabulary[] = {"apple", "river", "stone", "cloud", "engine", "violin", "harbor", "pencil",
                                         "meadow", "copper", "lantern", "whisper"};
#define VOCABULARY (sizeof vocabulary / sizeof vocabulary[0])

struct content {
    uint32_t generation; /* 0: the document is not there */
    uint32_t chunks;
};

struct made_chunk {
    struct tl_chunk chunk;
    char id[32], uri[32], title[64], text[200];
    float vector[DIMENSION];
};

static uint64_t number(uint32_t document, uint32_t generation, uint32_t ordinal, uint32_t i) {
    return tl_hash_u64(((uint64_t)document << 48) | ((uint64_t)generation << 24) | (ordinal << 8) | i, 99);
}

static void make_chunk(uint32_t document, uint32_t generation, uint32_t ordinal, struct made_chunk *out) {
    memset(out, 0, sizeof *out);
    snprintf(out->uri, sizeof out->uri, "docs/%u", document);
    snprintf(out->title, sizeof out->title, "Title %s", vocabulary[number(document, generation, 0, 200) % VOCABULARY]);
    snprintf(out->id, sizeof out->id, "%04x%04x:%u", document, generation, ordinal);
    size_t length = 0;
    for (uint32_t i = 0; i < 8; i++)
        length += (size_t)snprintf(out->text + length, sizeof out->text - length, "%s ",
                                   vocabulary[number(document, generation, ordinal, i) % VOCABULARY]);
    double squares = 0;
    for (uint32_t i = 0; i < DIMENSION; i++) { /* few values, so that equal vectors happen */
        out->vector[i] = (float)(number(document, generation, ordinal, 16 + i / 3) % 3) + (i == 0);
        squares += out->vector[i] * out->vector[i];
    }
    for (uint32_t i = 0; i < DIMENSION; i++)
        out->vector[i] /= (float)sqrt(squares);
    out->chunk = (struct tl_chunk){.id = out->id,
                                   .uri = out->uri,
                                   .title = out->title,
                                   .heading = ordinal % 2 ? "Heading" : "",
                                   .text = out->text,
                                   .length = strlen(out->text),
                                   .begin = ordinal * 100,
                                   .end = ordinal * 100 + strlen(out->text),
                                   .ordinal = ordinal,
                                   .tokens = 8};
}

/* Writes chunks [from, to) of a document. */
static void write_part(struct tl_collection *collection, uint32_t document, uint32_t generation, uint32_t from,
                       uint32_t to, enum tl_document_mode mode) {
    struct tl_error error = {0};
    struct made_chunk made;
    char sha256[16];
    make_chunk(document, generation, from, &made);
    snprintf(sha256, sizeof sha256, "%04x%04x", document, generation);
    const struct tl_store_document row = {.uri = made.uri, .sha256 = sha256, .size = generation, .title = made.title};
    expect_ok(tl_document_begin(collection, &row, mode, &error), &error);
    for (uint32_t ordinal = from; ordinal < to; ordinal++) {
        make_chunk(document, generation, ordinal, &made);
        const struct tl_vector vector = {made.vector, DIMENSION};
        expect_ok(tl_document_add(collection, &made.chunk, &vector, &error), &error);
    }
    expect_ok(tl_document_commit(collection, &error), &error);
}

static bool append(void *context, const char *data, size_t length) {
    tl_str_append(context, data, length);
    return true;
}

static void dump(struct tl_collection *collection, struct tl_str *out) {
    struct tl_error error = {0};
    tl_str_clear(out);
    expect_ok(tl_collection_dump(collection, append, out, &error), &error);
}

static struct tl_value *search(struct tl_collection *collection, const float *vector, size_t count) {
    struct tl_error error = {0};
    struct tl_value *hits = NULL;
    const struct tl_vector query = {vector, DIMENSION};
    expect_ok(tl_collection_search(collection, &query, count, &hits, &error), &error);
    return hits;
}

static struct tl_value *match(struct tl_collection *collection, const char *text, size_t count) {
    struct tl_error error = {0};
    struct tl_value *hits = NULL;
    expect_ok(tl_collection_match(collection, text, strlen(text), count, &hits, &error), &error);
    return hits;
}

/* ---- the reference ---- */

/* Cosine of the query with every chunk, by hand. */
static double cosine_of(const float *query, const struct tl_chunk *chunk) {
    unsigned document, generation, ordinal;
    assert_int_equal(sscanf(chunk->id, "%4x%4x:%u", &document, &generation, &ordinal), 3);
    struct made_chunk made;
    make_chunk(document, generation, ordinal, &made);
    assert_string_equal(made.uri, chunk->uri);
    assert_string_equal(made.title, chunk->title);
    assert_string_equal(made.text, chunk->text);
    assert_string_equal(made.chunk.heading, chunk->heading);
    assert_int_equal(made.chunk.begin, chunk->begin);
    assert_int_equal(made.chunk.end, chunk->end);
    assert_int_equal(made.chunk.tokens, chunk->tokens);
    double sum = 0;
    for (int i = 0; i < DIMENSION; i++)
        sum += (double)query[i] * made.vector[i];
    return sum;
}

static int descending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x > y ? -1 : x < y;
}

static void check_search(struct tl_collection *collection, const struct content *contents, const float *query,
                         size_t count) {
    double expected[DOCUMENTS * CHUNKS_MAX];
    size_t total = 0;
    for (uint32_t d = 0; d < DOCUMENTS; d++) {
        for (uint32_t c = 0; contents[d].generation && c < contents[d].chunks; c++) {
            struct made_chunk made;
            make_chunk(d, contents[d].generation, c, &made);
            expected[total++] = cosine_of(query, &made.chunk);
        }
    }
    qsort(expected, total, sizeof expected[0], descending);
    struct tl_value *hits = search(collection, query, count);
    assert_int_equal(hits->as.list.count, total < count ? total : count);
    for (size_t i = 0; i < hits->as.list.count; i++) {
        const struct tl_hit *hit = &hits->as.list.items[i]->as.hit;
        assert_int_equal(hit->rank, i);
        assert_true(fabs(hit->retrieval - expected[i]) < 1e-5);
        assert_true(fabs(hit->retrieval - cosine_of(query, &hit->chunk->as.chunk)) < 1e-5);
        if (i > 0) {
            const struct tl_hit *before = &hits->as.list.items[i - 1]->as.hit;
            assert_true(before->retrieval >= hit->retrieval);
            if (before->retrieval == hit->retrieval)
                assert_true(strcmp(before->chunk->as.chunk.id, hit->chunk->as.chunk.id) < 0);
        }
    }
    tl_value_unref(hits);
}

/* The words of `text` find exactly the chunks that hold one of them in title or text. */
static void check_match(struct tl_collection *collection, const struct content *contents, const char *word) {
    size_t expected = 0;
    for (uint32_t d = 0; d < DOCUMENTS; d++) {
        for (uint32_t c = 0; contents[d].generation && c < contents[d].chunks; c++) {
            struct made_chunk made;
            make_chunk(d, contents[d].generation, c, &made);
            expected += strstr(made.title, word) || strstr(made.text, word);
        }
    }
    struct tl_value *hits = match(collection, word, TL_STORE_COUNT_MAX);
    assert_int_equal(hits->as.list.count, expected);
    for (size_t i = 0; i < hits->as.list.count; i++) {
        const struct tl_chunk *chunk = &hits->as.list.items[i]->as.hit.chunk->as.chunk;
        assert_true(strstr(chunk->title, word) || strstr(chunk->text, word));
        if (i > 0)
            assert_true(hits->as.list.items[i - 1]->as.hit.retrieval >= hits->as.list.items[i]->as.hit.retrieval);
    }
    tl_value_unref(hits);
}

/* A store that never saw anything else gives the same bytes and the same hits. */
static void check_against_fresh(struct tl_collection *collection, const struct content *contents) {
    struct tl_store *store = open_store(":memory:");
    struct tl_collection *fresh = make_collection(store, "books");
    for (uint32_t d = DOCUMENTS; d-- > 0;) /* in another order */
        if (contents[d].generation)
            write_part(fresh, d, contents[d].generation, 0, contents[d].chunks, TL_DOCUMENT_REPLACE);
    struct tl_str a = TL_STR_INIT, b = TL_STR_INIT;
    dump(collection, &a);
    dump(fresh, &b);
    assert_string_equal(a.data, b.data);
    tl_str_fini(&a);
    tl_str_fini(&b);
    for (uint32_t i = 0; i < VOCABULARY; i++) {
        struct made_chunk made;
        make_chunk(i, 1000, 0, &made);
        for (size_t count = 1; count < 20; count += 6) {
            struct tl_value *x = search(collection, made.vector, count), *y = search(fresh, made.vector, count);
            assert_true(tl_value_equal(x, y));
            tl_value_unref(x);
            tl_value_unref(y);
            x = match(collection, made.text, count), y = match(fresh, made.text, count);
            assert_true(tl_value_equal(x, y)); /* bm25 too: nothing deleted is left in the statistics */
            tl_value_unref(x);
            tl_value_unref(y);
        }
    }
    tl_store_close(store);
}

static void test_random_operations(void **state) {
    struct fixture *fixture = *state;
    struct tl_store *store = open_store(fixture->path);
    struct tl_collection *collection = make_collection(store, "books");
    write_part(make_collection(store, "decoy"), 3, 7, 0, 5, TL_DOCUMENT_REPLACE); /* must never be seen */
    struct content contents[DOCUMENTS] = {{0, 0}};
    struct tl_error error = {0};
    uint64_t seed = 0;
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t document = (uint32_t)(tl_hash_u64(++seed, 3) % DOCUMENTS);
        uint32_t chunks = (uint32_t)(tl_hash_u64(++seed, 3) % CHUNKS_MAX) + 1;
        struct content *content = &contents[document];
        struct tl_collection_info before, after;
        tl_collection_describe(collection, &before);
        switch (tl_hash_u64(++seed, 3) % 6) {
        case 0: {
            struct made_chunk made;
            make_chunk(document, 1, 0, &made);
            expect_ok(tl_document_remove(collection, made.uri, &error), &error);
            tl_collection_describe(collection, &after);
            assert_int_equal(after.version, before.version + (content->generation != 0));
            content->generation = 0;
            break;
        }
        case 1: /* more of the same, and some of it again */
            if (content->generation) {
                uint32_t end = content->chunks < CHUNKS_MAX ? content->chunks + 1 : content->chunks;
                write_part(collection, document, content->generation, content->chunks / 2, end, TL_DOCUMENT_EXTEND);
                content->chunks = end;
            }
            break;
        default:
            *content = (struct content){round + 1, chunks};
            write_part(collection, document, content->generation, 0, chunks,
                       round % 2 ? TL_DOCUMENT_REPLACE : TL_DOCUMENT_EXTEND);
            tl_collection_describe(collection, &after);
            assert_int_equal(after.version, before.version + 1);
        }
        struct made_chunk query;
        make_chunk(document, 5000 + round, 0, &query);
        check_search(collection, contents, query.vector, 1 + round % 16);
        check_match(collection, contents, vocabulary[round % VOCABULARY]);
        if (round == 120) { /* and after opening again */
            tl_store_close(store);
            store = open_store(fixture->path);
            expect_ok(tl_collection_open(store, "books", &collection, &error), &error);
        }
    }
    check_against_fresh(collection, contents);
    tl_store_close(store);
}

static void test_ties_at_the_border(void **state) {
    (void)state;
    struct tl_store *store = open_store(":memory:");
    struct tl_collection *collection = make_collection(store, "ties");
    const float one[DIMENSION] = {1};
    struct tl_error error = {0};
    /* Sixty equal vectors, written in an order that is not that of their ids. */
    for (unsigned i = 0; i < 60; i++) {
        char id[32], uri[32];
        snprintf(id, sizeof id, "%02u:0", i * 37 % 60);
        snprintf(uri, sizeof uri, "d%u", i);
        const struct tl_store_document document = {.uri = uri, .sha256 = id, .title = ""};
        const struct tl_chunk chunk =
            {.id = id, .uri = uri, .title = "", .heading = "", .text = "same words", .length = 10};
        const struct tl_vector vector = {one, DIMENSION};
        expect_ok(tl_document_begin(collection, &document, TL_DOCUMENT_REPLACE, &error), &error);
        expect_ok(tl_document_add(collection, &chunk, &vector, &error), &error);
        expect_ok(tl_document_commit(collection, &error), &error);
    }
    for (int by_words = 0; by_words < 2; by_words++) {
        struct tl_value *hits = by_words ? match(collection, "words", 5) : search(collection, one, 5);
        assert_int_equal(hits->as.list.count, 5);
        for (unsigned i = 0; i < 5; i++) {
            char id[32];
            snprintf(id, sizeof id, "%02u:0", i);
            assert_string_equal(hits->as.list.items[i]->as.hit.chunk->as.chunk.id, id);
        }
        tl_value_unref(hits);
    }
    tl_store_close(store);
}

static void test_hostile_queries(void **state) {
    (void)state;
    struct tl_store *store = open_store(":memory:");
    struct tl_collection *collection = make_collection(store, "books");
    write_part(collection, 1, 1, 0, 9, TL_DOCUMENT_REPLACE);
    static const char *const hostile[] = {
        "\"", "\"\"", "'", "apple OR", "NEAR(", "NEAR(apple river, 2)", "title : apple", "{title text} : apple",
        "apple*", "^apple", "-apple", "(((((((((", "apple AND NOT river", "'; DROP TABLE collections; --",
        "\xff\xfe\x80", "\xe2\x80\x94", "\xe3\x80\x82", "_", "___", "c1_text", "rank:bm25", "+", "a\x01\x02z",
        "\xf0\x9f\x98\x80",
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        tl_value_unref(match(collection, hostile[i], 10));
    struct tl_error error = {0};
    char bytes[300];
    for (uint64_t round = 0; round < 500; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)tl_hash_u64(round * 1000 + i, 17);
        struct tl_value *hits = NULL;
        expect_ok(tl_collection_match(collection, bytes, sizeof bytes, 10, &hits, &error), &error);
        tl_value_unref(hits);
    }
    /* Operators are words: a text that would exclude in FTS5 syntax finds here. */
    struct tl_value *plain = match(collection, "apple river", 10), *syntax = match(collection, "apple NOT river*", 10);
    assert_true(plain->as.list.count > 0);
    assert_true(tl_value_equal(plain, syntax)); /* "not" is a stop word */
    tl_value_unref(plain);
    tl_value_unref(syntax);
    tl_store_close(store);
}

static void test_names(void **state) {
    struct fixture *fixture = *state;
    struct tl_store *store = open_store(fixture->path);
    static const char *const bad[] = {"", "A", "1a", "a b", "a\"b", "a;drop", "../x", "a.b", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tl_collection *collection = NULL;
        const struct tl_collection_spec spec = {.name = bad[i], .dimension = DIMENSION};
        assert_int_equal(tl_collection_create(store, &spec, &collection, NULL), TL_ERR_USAGE);
        assert_null(collection);
    }
    char longest[65];
    memset(longest, 'a', 64);
    longest[64] = '\0';
    assert_false(tl_collection_name_valid(longest));
    longest[63] = '\0';
    assert_true(tl_collection_name_valid(longest));
    make_collection(store, longest);
    make_collection(store, "_a-9");
    tl_store_close(store);
}

static void test_model_is_checked(void **state) {
    struct fixture *fixture = *state;
    struct tl_store *store = open_store(fixture->path);
    struct tl_collection *collection = make_collection(store, "books"), *other = NULL;
    struct tl_error error = {0};
    struct tl_collection_spec spec = {
        .name = "books", .model = "other-model", .model_digest = "ffff0000ffff0000", .dimension = DIMENSION};
    assert_int_equal(tl_collection_create(store, &spec, &other, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "other-model"));
    assert_non_null(strstr(error.message, "tiny"));
    assert_non_null(strstr(error.message, "0123456789ab"));
    assert_non_null(strstr(error.message, "ffff0000ffff"));
    spec = (struct tl_collection_spec){.name = "books", .model_digest = digest, .dimension = 384};
    assert_int_equal(tl_collection_create(store, &spec, &other, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "384"));
    assert_non_null(strstr(error.message, "8 dimensions"));
    spec = (struct tl_collection_spec){.name = "books", .dimension = DIMENSION, .chunk_size = 128};
    assert_int_equal(tl_collection_create(store, &spec, &other, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "64 tokens"));
    spec = (struct tl_collection_spec){.name = "books"};
    expect_ok(tl_collection_create(store, &spec, &other, &error), &error);
    assert_ptr_equal(other, collection);
    spec.name = "undimensioned";
    assert_int_equal(tl_collection_create(store, &spec, &other, &error), TL_ERR_INVALID);

    /* A vector of another length is refused wherever it comes in. */
    const float values[3] = {1, 0, 0}, zero[DIMENSION] = {0};
    struct tl_vector vector = {values, 3};
    struct tl_value *hits = NULL;
    assert_int_equal(tl_collection_search(collection, &vector, 3, &hits, &error), TL_ERR_INVALID);
    vector = (struct tl_vector){zero, DIMENSION};
    assert_int_equal(tl_collection_search(collection, &vector, 3, &hits, &error), TL_ERR_INVALID);
    assert_int_equal(tl_collection_open(store, "boks", &other, &error), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "books"));
    tl_store_close(store);
}

static void test_failed_document_leaves_nothing(void **state) {
    struct fixture *fixture = *state;
    struct tl_store *store = open_store(fixture->path);
    struct tl_collection *collection = make_collection(store, "books");
    write_part(collection, 1, 1, 0, 3, TL_DOCUMENT_REPLACE);
    struct tl_str before = TL_STR_INIT, after = TL_STR_INIT;
    dump(collection, &before);

    struct tl_error error = {0};
    struct made_chunk made;
    make_chunk(1, 2, 0, &made);
    const struct tl_store_document row = {.uri = made.uri, .sha256 = "x", .title = made.title};
    const struct tl_vector good = {made.vector, DIMENSION}, bad = {made.vector, DIMENSION - 1};
    expect_ok(tl_document_begin(collection, &row, TL_DOCUMENT_REPLACE, &error), &error);
    expect_ok(tl_document_add(collection, &made.chunk, &good, &error), &error);
    made.chunk.ordinal = 1;
    assert_int_equal(tl_document_add(collection, &made.chunk, &bad, &error), TL_ERR_INVALID);
    dump(collection, &after);
    assert_string_equal(before.data, after.data);

    expect_ok(tl_document_begin(collection, &row, TL_DOCUMENT_REPLACE, &error), &error);
    expect_ok(tl_document_add(collection, &made.chunk, &good, &error), &error);
    tl_store_close(store); /* with the document open */
    store = open_store(fixture->path);
    expect_ok(tl_collection_open(store, "books", &collection, &error), &error);
    dump(collection, &after);
    assert_string_equal(before.data, after.data);
    tl_str_fini(&before);
    tl_str_fini(&after);
    tl_store_close(store);
}

static void test_reader_beside_writer(void **state) {
    struct fixture *fixture = *state;
    struct tl_store *writer = open_store(fixture->path), *reader = open_store(fixture->path);
    struct tl_collection *written = make_collection(writer, "books"), *read = NULL;
    struct tl_error error = {0};
    expect_ok(tl_collection_open(reader, "books", &read, &error), &error);
    write_part(written, 1, 1, 0, 4, TL_DOCUMENT_REPLACE);
    struct content contents[DOCUMENTS] = {{0, 0}, {1, 4}};
    struct made_chunk made;
    make_chunk(1, 2, 0, &made);
    const struct tl_store_document row = {.uri = made.uri, .sha256 = "x", .title = made.title};
    const struct tl_vector vector = {made.vector, DIMENSION};
    expect_ok(tl_document_begin(written, &row, TL_DOCUMENT_REPLACE, &error), &error);
    for (uint32_t i = 0; i < 6; i++) {
        make_chunk(1, 2, i, &made);
        expect_ok(tl_document_add(written, &made.chunk, &vector, &error), &error);
        check_search(read, contents, made.vector, 8); /* the old content, all of it, and nothing new */
        check_match(read, contents, vocabulary[i]);
    }
    /* A second writer is told to come again, and nothing is lost. */
    assert_int_equal(tl_document_begin(read, &row, TL_DOCUMENT_REPLACE, &error), TL_ERR_BUSY);
    expect_ok(tl_document_commit(written, &error), &error);
    contents[1] = (struct content){2, 6};
    check_search(read, contents, made.vector, 8);
    check_match(read, contents, "apple");

    /* Dropped under the reader's hands: an error that says so, and a new one of that name is found. */
    expect_ok(tl_store_drop(writer, "books", &error), &error);
    struct tl_value *hits = NULL;
    assert_int_equal(tl_collection_match(read, "apple", 5, 3, &hits, &error), TL_ERR_NOT_FOUND);
    assert_int_equal(tl_collection_open(reader, "books", &read, &error), TL_ERR_NOT_FOUND);
    written = make_collection(writer, "books");
    write_part(written, 2, 1, 0, 2, TL_DOCUMENT_REPLACE);
    expect_ok(tl_collection_open(reader, "books", &read, &error), &error);
    memset(contents, 0, sizeof contents);
    contents[2] = (struct content){1, 2};
    check_search(read, contents, made.vector, 8);
    tl_store_close(writer);
    tl_store_close(reader);
}

static enum tl_status open_status(const char *path, struct tl_error *error) {
    struct tl_store *store = NULL;
    const struct tl_store_options options = {.path = path};
    enum tl_status status = tl_store_open(&options, &store, error);
    assert_true((status == TL_OK) == (store != NULL));
    tl_store_close(store);
    return status;
}

static void run_sql(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* Makes the store that another connection is just being opened on. */
static bool meddling;
static int meddle(unsigned kind, void *path, void *statement, void *sql) {
    (void)kind, (void)statement;
    if (meddling || !strstr(sql, "user_version"))
        return 0;
    meddling = true;
    const struct tl_store_options options = {.path = path, .create = true, .busy_ms = 1};
    struct tl_store *other;
    tl_store_open(&options, &other, NULL);
    tl_store_close(other);
    return 0;
}

static char meddled_path[96];

static int watch(sqlite3 *db, char **message, const struct sqlite3_api_routines *api) {
    (void)message, (void)api;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, meddle, meddled_path);
}

/* A store is made by two processes at once: none takes what it sees of it for another program's file. */
static void test_made_by_two(void **state) {
    const struct fixture *fixture = *state;
    struct tl_store *store;
    struct tl_error error = {0};
    const struct tl_store_options options = {.path = fixture->path, .create = true};
    memcpy(meddled_path, fixture->path, sizeof meddled_path);
    meddling = false;
    assert_int_equal(sqlite3_auto_extension((void (*)(void))watch), SQLITE_OK);
    enum tl_status status = tl_store_open(&options, &store, &error);
    sqlite3_cancel_auto_extension((void (*)(void))watch);
    assert_true(meddling);
    expect_ok(status, &error);
    tl_store_close(store);
}

static void test_foreign_files(void **state) {
    struct fixture *fixture = *state;
    struct tl_error error = {0};
    assert_int_equal(open_status(fixture->path, &error), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, fixture->path));
    char other[96];
    snprintf(other, sizeof other, "%s/other.db", fixture->directory);
    FILE *file = fopen(other, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    assert_int_equal(open_status(other, &error), TL_ERR_CORRUPT);
    assert_non_null(strstr(error.message, "no SQLite file"));
    remove(other);
    run_sql(other, "CREATE TABLE bookmarks(url)");
    assert_int_equal(open_status(other, &error), TL_ERR_CORRUPT);
    assert_non_null(strstr(error.message, "another program"));

    struct tl_store *store = open_store(fixture->path);
    struct stat facts;
    assert_int_equal(stat(fixture->path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    write_part(make_collection(store, "books"), 1, 1, 0, 9, TL_DOCUMENT_REPLACE);
    tl_store_close(store);
    assert_int_equal(open_status(fixture->path, &error), TL_OK);
    run_sql(fixture->path, "PRAGMA user_version = 2");
    assert_int_equal(open_status(fixture->path, &error), TL_ERR_CORRUPT);
    assert_non_null(strstr(error.message, "newer"));
    run_sql(fixture->path, "PRAGMA user_version = 1; ALTER TABLE chunks RENAME TO pieces");
    assert_int_equal(open_status(fixture->path, &error), TL_ERR_CORRUPT);
    assert_non_null(strstr(error.message, "damaged"));
}

/* Whatever is overwritten in the file: no crash, and either an error or an answer. */
static void test_damaged_files(void **state) {
    struct fixture *fixture = *state;
    struct tl_store *store = open_store(fixture->path);
    struct tl_collection *collection = make_collection(store, "books");
    for (uint32_t d = 0; d < 10; d++)
        write_part(collection, d, 1, 0, CHUNKS_MAX, TL_DOCUMENT_REPLACE);
    tl_store_close(store);
    struct stat facts;
    assert_int_equal(stat(fixture->path, &facts), 0);
    char *good = tl_mem_alloc((size_t)facts.st_size);
    int fd = open(fixture->path, O_RDWR);
    assert_int_equal(pread(fd, good, (size_t)facts.st_size, 0), facts.st_size);
    for (uint64_t round = 0; round < 60; round++) {
        char noise[64];
        off_t at = (off_t)(tl_hash_u64(round, 5) % (uint64_t)(facts.st_size - (off_t)sizeof noise));
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (char)tl_hash_u64(round * 100 + i, 6);
        assert_int_equal(pwrite(fd, noise, sizeof noise, at), sizeof noise);
        struct tl_store *damaged = NULL;
        struct tl_error error = {0};
        const struct tl_store_options options = {.path = fixture->path};
        if (tl_store_open(&options, &damaged, &error) == TL_OK &&
            tl_collection_open(damaged, "books", &collection, &error) == TL_OK) {
            struct made_chunk made;
            make_chunk(1, 1, 1, &made);
            const struct tl_vector vector = {made.vector, DIMENSION};
            struct tl_value *hits = NULL;
            tl_collection_search(collection, &vector, 10, &hits, &error);
            tl_value_unref(hits);
            hits = NULL;
            tl_collection_match(collection, "apple river", 11, 10, &hits, &error);
            tl_value_unref(hits);
        }
        tl_store_close(damaged);
        assert_int_equal(pwrite(fd, good + at, sizeof noise, at), sizeof noise);
        assert_int_equal(ftruncate(fd, facts.st_size), 0);
        char companion[128];
        snprintf(companion, sizeof companion, "%s-wal", fixture->path);
        remove(companion);
    }
    close(fd);
    tl_mem_free(good);
}

static bool count_one(void *context, const struct tl_collection_info *info) {
    uint64_t *totals = context;
    totals[0]++;
    totals[1] += info->documents;
    totals[2] += info->chunks;
    assert_string_equal(info->model, "tiny");
    return true;
}

static void test_list_and_drop(void **state) {
    struct fixture *fixture = *state;
    struct tl_store *store = open_store(fixture->path);
    struct tl_error error = {0};
    for (uint32_t d = 0; d < 40; d++)
        write_part(make_collection(store, "large"), d, 1, 0, CHUNKS_MAX, TL_DOCUMENT_REPLACE);
    write_part(make_collection(store, "small"), 1, 1, 0, 2, TL_DOCUMENT_REPLACE);
    uint64_t totals[3] = {0};
    expect_ok(tl_store_list(store, count_one, totals, &error), &error);
    assert_int_equal(totals[0], 2);
    assert_int_equal(totals[1], 41);
    assert_int_equal(totals[2], 40 * CHUNKS_MAX + 2);
    expect_ok(tl_store_drop(store, "large", &error), &error);
    assert_int_equal(tl_store_drop(store, "large", &error), TL_ERR_NOT_FOUND);
    memset(totals, 0, sizeof totals);
    expect_ok(tl_store_list(store, count_one, totals, &error), &error);
    assert_int_equal(totals[0], 1);
    assert_int_equal(totals[2], 2);
    struct content contents[DOCUMENTS] = {{0, 0}, {1, 2}};
    struct made_chunk made;
    make_chunk(1, 9, 0, &made);
    check_search(make_collection(store, "small"), contents, made.vector, 5);
    tl_store_close(store);
}

/* Random replacement leaves holes in vec0's blocks; compacting loses nothing but them. */
/* What was found in the one must not pass for what the other holds. */
static void test_made_anew_is_another_version(void **state) {
    struct fixture *fixture = *state;
    struct tl_store *store = open_store(fixture->path);
    struct tl_error error = {0};
    struct tl_collection_info before, after;
    write_part(make_collection(store, "books"), 1, 1, 0, 2, TL_DOCUMENT_REPLACE);
    tl_collection_describe(make_collection(store, "books"), &before);
    uint64_t version = before.version;
    expect_ok(tl_store_drop(store, "books", &error), &error);
    write_part(make_collection(store, "books"), 2, 1, 0, 2, TL_DOCUMENT_REPLACE);
    tl_collection_describe(make_collection(store, "books"), &after);
    assert_true(after.version > version);
    tl_store_close(store);
}

static void test_compact(void **state) {
    (void)state;
    struct tl_store *store = open_store(":memory:");
    struct tl_collection *collection = make_collection(store, "books");
    struct tl_error error = {0};
    struct content contents[DOCUMENTS] = {{0, 0}};
    bool done = true;
    expect_ok(tl_collection_compact(collection, &done, &error), &error);
    assert_false(done);
    unsigned times = 0;
    for (uint32_t round = 1; round < 400; round++) {
        uint32_t document = (uint32_t)(tl_hash_u64(round, 8) % DOCUMENTS);
        contents[document] = (struct content){round, 1 + round % CHUNKS_MAX};
        write_part(collection, document, round, 0, contents[document].chunks, TL_DOCUMENT_REPLACE);
        expect_ok(tl_collection_compact(collection, &done, &error), &error);
        times += done;
        if (done) {
            expect_ok(tl_collection_compact(collection, &done, &error), &error);
            assert_false(done);
        }
    }
    assert_true(times > 0);
    check_against_fresh(collection, contents);
    tl_store_close(store);
}

static void test_limits(void **state) {
    (void)state;
    struct tl_store *store = open_store(":memory:");
    struct tl_collection *collection = make_collection(store, "books");
    struct tl_error error = {0};
    struct tl_value *hits = NULL;
    assert_int_equal(tl_collection_match(collection, "a", 1, 0, &hits, &error), TL_ERR_INVALID);
    assert_int_equal(tl_collection_match(collection, "a", 1, TL_STORE_COUNT_MAX + 1, &hits, &error), TL_ERR_INVALID);
    const float one[DIMENSION] = {1};
    hits = search(collection, one, TL_STORE_COUNT_MAX); /* of an empty collection */
    assert_int_equal(hits->as.list.count, 0);
    tl_value_unref(hits);
    hits = match(collection, "", 5);
    assert_int_equal(hits->as.list.count, 0);
    tl_value_unref(hits);
    tl_store_close(store);
}

static void test_vec0_is_named_when_missing(void **state) {
    (void)state;
    char *known = tl_mem_strdup(getenv("TEOLA_VEC0"));
    assert_non_null(known);
    struct tl_error error = {0};
    struct tl_store *store = NULL;
    setenv("TEOLA_VEC0", "/nowhere/vec0.so", 1);
    struct tl_store_options options = {.path = ":memory:"};
    assert_int_equal(tl_store_open(&options, &store, &error), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nowhere/vec0.so"));
    setenv("TEOLA_VEC0", "/etc/passwd", 1);
    assert_int_equal(tl_store_open(&options, &store, &error), TL_ERR_UNSUPPORTED);
    unsetenv("TEOLA_VEC0");
    options.vec0 = known;
    expect_ok(tl_store_open(&options, &store, &error), &error);
    tl_store_close(store);
    setenv("TEOLA_VEC0", known, 1);
    tl_mem_free(known);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_random_operations, setup, teardown),
        cmocka_unit_test(test_ties_at_the_border),
        cmocka_unit_test(test_hostile_queries),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_model_is_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_document_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_beside_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_made_by_two, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_and_drop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_made_anew_is_another_version, setup, teardown),
        cmocka_unit_test(test_compact),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_vec0_is_named_when_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
