/* Tests of the indexer with the real embedding model on small documents: what is added,
 * replaced, kept, removed and skipped; what a stop leaves; readers beside it; model checks. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/sqlite/store.h"
#include "indexer/indexer.h"

struct fixture {
    char top[64];  /* removed with all below it */
    char docs[80]; /* what is indexed */
    char store[80];
    char model[PATH_MAX];
    struct tl_str events; /* "added a.txt\n" ... */
    uint64_t stops_left;  /* stop after so many questions; 0: never */
    uint64_t stops;       /* questions so far */
    struct tl_collection *reader; /* looked at from inside of the run */
    uint64_t reader_looks;
};

static void remove_tree(const char *path) {
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", "--", path, (char *)NULL);
        _exit(127);
    }
    waitpid(child, NULL, 0);
}

static int setup(void **state) {
    struct fixture *fixture = tl_mem_zalloc(sizeof *fixture);
    snprintf(fixture->top, sizeof fixture->top, "/tmp/teola-index-XXXXXX");
    const char *models = getenv("TEOLA_TEST_MODELS");
    if (!models || !mkdtemp(fixture->top)) {
        fputs("TEOLA_TEST_MODELS is not set\n", stderr);
        return -1;
    }
    snprintf(fixture->model, sizeof fixture->model, "%s/all-minilm-l6-v2-f16.gguf", models);
    snprintf(fixture->docs, sizeof fixture->docs, "%s/docs", fixture->top);
    snprintf(fixture->store, sizeof fixture->store, "%s/store.db", fixture->top);
    mkdir(fixture->docs, 0700);
    tl_str_init(&fixture->events);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    tl_str_fini(&fixture->events);
    remove_tree(fixture->top);
    tl_mem_free(fixture);
    return 0;
}

/* Writes a document; its time is a fixed one in the past, `version` seconds later. */
static void put(struct fixture *fixture, const char *name, const char *content, size_t length, int version) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", fixture->docs, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, length, file), length);
    fclose(file);
    const struct timespec times[2] = {{1700000000 + version, 5}, {1700000000 + version, 5}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void put_text(struct fixture *fixture, const char *name, const char *text, int version) {
    put(fixture, name, text, strlen(text), version);
}

static void delete_file(struct fixture *fixture, const char *name) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", fixture->docs, name);
    assert_int_equal(remove(path), 0);
}

static void on_event(void *context, enum tl_index_event event, const char *uri, const char *detail) {
    static const char *const words[] = {"added", "replaced", "unchanged", "removed", "skipped"};
    struct fixture *fixture = context;
    const char *slash = strrchr(uri, '/');
    tl_str_printf(&fixture->events, "%s %s%s%s\n", words[event], slash ? slash + 1 : uri, *detail ? ": " : "", detail);
}

/* Everything in the collection belongs to whole documents. */
static bool check_document(void *context, const struct tl_store_document *document) {
    (void)context;
    assert_true(document->chunks > 0);
    return true;
}

static bool on_stop(void *context) {
    struct fixture *fixture = context;
    fixture->stops++;
    if (fixture->reader) {
        struct tl_value *hits = NULL;
        struct tl_error error = {0};
        if (tl_collection_match(fixture->reader, "river", 5, 5, &hits, &error) != TL_OK)
            fail_msg("%s", error.message);
        tl_value_unref(hits);
        assert_int_equal(tl_document_each(fixture->reader, check_document, NULL, NULL), TL_OK);
        fixture->reader_looks++;
    }
    return fixture->stops_left > 0 && --fixture->stops_left == 0;
}

struct run {
    bool prune;
    uint32_t chunk_size;
    int64_t overlap;
    const char *digest; /* NULL: of the file */
    const char *path;   /* NULL: the documents' directory */
};

static enum tl_status run(struct fixture *fixture, const struct run *how, struct tl_index_report *report,
                          struct tl_error *error) {
    json_t *embed = json_pack("{s:s, s:i}", "model", fixture->model, "threads", 1);
    if (how->digest)
        json_object_set_new(embed, "model_digest", json_string(how->digest));
    const char *paths[] = {how->path ? how->path : fixture->docs};
    const struct tl_index_options options = {
        .paths = paths,
        .path_count = 1,
        .collection = "docs",
        .store = fixture->store,
        .embed = embed,
        .model = "minilm",
        .chunk_size = how->chunk_size,
        .chunk_overlap = how->overlap,
        .prune = how->prune,
        .event = on_event,
        .stop = on_stop,
        .context = fixture,
    };
    tl_str_clear(&fixture->events);
    *error = (struct tl_error){0};
    enum tl_status status = tl_index_run(&options, report, error);
    json_decref(embed);
    return status;
}

static const struct run plain = {.overlap = -1};

/* Runs and compares the events. */
static struct tl_index_report expect(struct fixture *fixture, const struct run *how, const char *events) {
    struct tl_index_report report;
    struct tl_error error;
    if (run(fixture, how, &report, &error) != TL_OK)
        fail_msg("%s", error.message);
    assert_string_equal(fixture->events.data, events);
    return report;
}

static bool append(void *context, const char *data, size_t length) {
    tl_str_append(context, data, length);
    return true;
}

static struct tl_store *open_store(struct fixture *fixture, struct tl_collection **collection) {
    struct tl_store *store = NULL;
    struct tl_error error = {0};
    const struct tl_store_options options = {.path = fixture->store};
    if (tl_store_open(&options, &store, &error) != TL_OK ||
        tl_collection_open(store, "docs", collection, &error) != TL_OK)
        fail_msg("%s", error.message);
    return store;
}

static void dump(struct fixture *fixture, struct tl_str *out) {
    struct tl_collection *collection = NULL;
    struct tl_store *store = open_store(fixture, &collection);
    tl_str_clear(out);
    assert_int_equal(tl_collection_dump(collection, append, out, NULL), TL_OK);
    tl_store_close(store);
}

static void test_incremental(void **state) {
    struct fixture *fixture = *state;
    put_text(fixture, "a.txt", "The river flows to the sea.", 0);
    put_text(fixture, "b.md", "# Stones\n\nA stone is hard.\n\n## More\n\nGranite is a stone.", 0);
    put_text(fixture, "c.html", "<html><title>Clouds</title><body><p>Clouds are wet.</p></body></html>", 0);
    struct tl_index_report report = expect(fixture, &plain, "added a.txt\nadded b.md\nadded c.html\n");
    assert_true(report.created);
    assert_true(report.chunks >= 3);
    assert_true(report.tokens > 20);

    report = expect(fixture, &plain, "unchanged a.txt\nunchanged b.md\nunchanged c.html\n");
    assert_false(report.created);
    assert_int_equal(report.chunks, 0); /* nothing embedded */
    struct tl_str before = TL_STR_INIT, after = TL_STR_INIT;
    dump(fixture, &before);

    put_text(fixture, "a.txt", "The river flows to the sea.", 1); /* touched: hashed, the same */
    expect(fixture, &plain, "unchanged a.txt\nunchanged b.md\nunchanged c.html\n");
    put_text(fixture, "a.txt", "The river flows to the SEA.", 1); /* changed behind the recorded size and time: the shortcut */
    expect(fixture, &plain, "unchanged a.txt\nunchanged b.md\nunchanged c.html\n");
    dump(fixture, &after);
    assert_string_equal(before.data, after.data);

    put_text(fixture, "a.txt", "The violin is made of wood.", 2);
    delete_file(fixture, "b.md");
    put_text(fixture, "d.txt", "A lantern gives light.", 0);
    expect(fixture, &plain, "replaced a.txt\nunchanged c.html\nadded d.txt\n"); /* b.md stays without --prune */
    dump(fixture, &after);
    assert_non_null(strstr(after.data, "b.md"));
    const struct run prune = {.overlap = -1, .prune = true};
    char inner[PATH_MAX];
    snprintf(inner, sizeof inner, "%s/d.txt", fixture->docs);
    const struct run elsewhere = {.overlap = -1, .prune = true, .path = inner};
    expect(fixture, &elsewhere, "unchanged d.txt\n"); /* pruned below the given paths only */
    report = expect(fixture, &prune, "unchanged a.txt\nunchanged c.html\nunchanged d.txt\nremoved b.md\n");
    assert_int_equal(report.removed, 1);
    dump(fixture, &after);
    assert_null(strstr(after.data, "b.md"));
    tl_str_fini(&before);
    tl_str_fini(&after);
}

static void test_young_files_are_hashed(void **state) {
    struct fixture *fixture = *state;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/now.txt", fixture->docs);
    for (int i = 0; i < 2; i++) { /* the same size and, for all that the clock says, maybe the same time */
        FILE *file = fopen(path, "w");
        fputs(i ? "The second text" : "The former text", file);
        fclose(file);
        const struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
        assert_int_equal(utimensat(AT_FDCWD, path, now, 0), 0);
        expect(fixture, &plain, i ? "replaced now.txt\n" : "added now.txt\n");
    }
}

static void test_odd_documents(void **state) {
    struct fixture *fixture = *state;
    put(fixture, "binary", "\0\1\2\3", 4, 0);
    put_text(fixture, "broken.txt", "The caf\xc3 stands by the river of stones, where clouds and boats go by.", 0);
    put_text(fixture, "empty.txt", "", 0);
    put_text(fixture, "new\nline.txt", "A name with a newline.", 0);
    put_text(fixture, "name\xff.txt", "A name that is not UTF-8.", 0);
    put_text(fixture, "spaces.txt", "  \n\t ", 0);
    struct tl_index_report report;
    struct tl_error error;
    if (run(fixture, &plain, &report, &error) != TL_OK)
        fail_msg("%s", error.message);
    assert_int_equal(report.added, 3);
    assert_int_equal(report.skipped, 3);
    assert_non_null(strstr(fixture->events.data, "skipped binary: is binary"));
    assert_non_null(strstr(fixture->events.data, "skipped empty.txt: is empty"));
    assert_non_null(strstr(fixture->events.data, "added new\nline.txt"));

    /* A document that becomes unreadable content must not be found by what it was. */
    put(fixture, "broken.txt", "\0\0\0\0\0", 5, 1);
    if (run(fixture, &plain, &report, &error) != TL_OK)
        fail_msg("%s", error.message);
    struct tl_str content = TL_STR_INIT;
    dump(fixture, &content);
    assert_null(strstr(content.data, "broken.txt"));
    assert_non_null(strstr(content.data, "new\\nline.txt"));
    tl_str_fini(&content);
}

static void test_other_settings_are_refused(void **state) {
    struct fixture *fixture = *state;
    put_text(fixture, "a.txt", "The river flows to the sea.", 0);
    const struct run small = {.chunk_size = 64, .overlap = 8};
    expect(fixture, &small, "added a.txt\n");
    expect(fixture, &plain, "unchanged a.txt\n"); /* not stated: as the collection has it */
    struct tl_index_report report;
    struct tl_error error;
    const struct run other_size = {.chunk_size = 128, .overlap = -1}, other_overlap = {.overlap = 9};
    assert_int_equal(run(fixture, &other_size, &report, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "64 tokens"));
    assert_int_equal(run(fixture, &other_overlap, &report, &error), TL_ERR_INVALID);
    const struct run other_model = {.overlap = -1, .digest = "feedfacefeedface"};
    assert_int_equal(run(fixture, &other_model, &report, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "feedfacefeed"));
    assert_non_null(strstr(error.message, "minilm"));

    struct tl_collection *collection = NULL; /* nor can it be searched with another one */
    struct tl_store *store = open_store(fixture, &collection);
    assert_int_equal(tl_collection_check_model(collection, "other", "feedface", 384, &error), TL_ERR_INVALID);
    assert_int_equal(tl_store_drop(store, "docs", &error), TL_OK);
    tl_store_close(store);
    const struct run too_long = {.chunk_size = 4000, .overlap = 0};
    assert_int_equal(run(fixture, &too_long, &report, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "512"));
    const struct run missing = {.overlap = -1, .path = "/nowhere"};
    assert_int_equal(run(fixture, &missing, &report, &error), TL_ERR_NOT_FOUND);
}

/* Stopped at any question: whole documents only, and the next run completes it. */
static void test_stop(void **state) {
    struct fixture *fixture = *state;
    struct tl_str text = TL_STR_INIT, expected = TL_STR_INIT, content = TL_STR_INIT;
    for (int i = 0; i < 120; i++)
        tl_str_printf(&text, "Sentence number %d speaks of the river. ", i);
    put_text(fixture, "a.txt", "The river flows to the sea.", 0);
    put_text(fixture, "b.txt", text.data, 0);
    put_text(fixture, "c.txt", "The last one.", 0);
    const struct run small = {.chunk_size = 16, .overlap = 4};
    expect(fixture, &small, "added a.txt\nadded b.txt\nadded c.txt\n");
    dump(fixture, &expected);
    uint64_t questions = fixture->stops;
    assert_true(questions > 20);
    for (uint64_t at = 1; at < questions; at += questions / 5 + 1) {
        remove_tree(fixture->store);
        char companion[128];
        snprintf(companion, sizeof companion, "%s-wal", fixture->store);
        remove_tree(companion);
        struct tl_index_report report;
        struct tl_error error;
        fixture->stops_left = at;
        assert_int_equal(run(fixture, &small, &report, &error), TL_ERR_CANCELLED);
        dump(fixture, &content); /* each line of it is a line of the whole */
        for (char *line = content.data; *line; line = strchr(line, '\n') + 1)
            assert_non_null(memmem(expected.data, expected.length, line, (size_t)(strchr(line, '\n') - line)));
        fixture->stops_left = 0;
        if (run(fixture, &small, &report, &error) != TL_OK)
            fail_msg("%s", error.message);
        dump(fixture, &content);
        assert_string_equal(content.data, expected.data);
    }
    tl_str_fini(&text);
    tl_str_fini(&expected);
    tl_str_fini(&content);
}

/* A document of more chunks than are held in memory, with somebody reading all the while. */
static void test_large_document_beside_reader(void **state) {
    struct fixture *fixture = *state;
    put_text(fixture, "a.txt", "The river flows to the sea.", 0);
    const struct run small = {.chunk_size = 16, .overlap = 0};
    expect(fixture, &small, "added a.txt\n");
    struct tl_str text = TL_STR_INIT;
    for (int i = 0; i < 1150; i++)
        tl_str_printf(&text, "River %d has a bridge and a boat.\n\n", i);
    put_text(fixture, "large.txt", text.data, 0);
    struct tl_store *store = open_store(fixture, &fixture->reader);
    struct tl_index_report report = expect(fixture, &small, "unchanged a.txt\nadded large.txt\n");
    assert_true(report.chunks > 1030);
    assert_true(fixture->reader_looks > 70);
    struct tl_value *hits = NULL;
    struct tl_error error = {0};
    if (tl_collection_match(fixture->reader, "bridge", 6, 1000, &hits, &error) != TL_OK)
        fail_msg("%s", error.message);
    assert_int_equal(hits->as.list.count, 1000);
    tl_value_unref(hits);
    fixture->reader = NULL;
    tl_store_close(store);
    tl_str_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_incremental, setup, teardown),
        cmocka_unit_test_setup_teardown(test_young_files_are_hashed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_documents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_settings_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_document_beside_reader, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
