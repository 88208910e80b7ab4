/* Kills the indexer at 50 moments and lets a second run complete it.
 *
 * A moment is a point of the run's own progress, not of the clock: each question whether to
 * stop (between steps of the model) and each system call by which SQLite changes its files
 * (through the hook that its VFS has for that) counts one. An undisturbed run in a child process
 * counts them all; then children kill themselves (SIGKILL) at moments chosen from a seed. Every second one
 * that falls on a write does half of the write first.
 *
 * After each kill: the collection opens and holds whole documents of the undisturbed content only,
 * with the counts that belong to them; a second run completes it, and the content is byte for byte
 * that of the undisturbed run. A third of the kills happens over a collection that has older
 * content, so that replacing and pruning are killed as well as adding.
 */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/str.h"
#include "engine/sqlite/store.h"
#include "indexer/indexer.h"

#define KILLS 50
#define DOCUMENTS 10

static char top[] = "/tmp/teola-kill-XXXXXX";
static char docs[64], store_path[64];

/* ---- moments ---- */

/* In memory shared by the parent and its children. */
static struct shared {
    uint64_t moments; /* so far in this run */
    uint64_t writes;  /* of them, writes of SQLite */
} *shared;

static uint64_t kill_at; /* 0: never */
static bool torn;        /* do half of a write first */

static bool is_last_moment(void) { return ++shared->moments == kill_at; }

static void moment(void) {
    if (is_last_moment())
        raise(SIGKILL);
}

static ssize_t counted_pwrite(int fd, const void *data, size_t size, off_t offset) {
    shared->writes++;
    if (is_last_moment()) {
        if (torn && size > 1 && pwrite(fd, data, size / 2, offset) < 0)
            _exit(3);
        raise(SIGKILL);
    }
    return pwrite(fd, data, size, offset);
}

static int counted_ftruncate(int fd, off_t size) {
    moment();
    return ftruncate(fd, size);
}

static int counted_unlink(const char *path) {
    moment();
    return unlink(path);
}

static void count_system_calls(void) {
    sqlite3_initialize();
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    const struct {
        const char *name;
        sqlite3_syscall_ptr function;
    } calls[] = {
        {"pwrite", (sqlite3_syscall_ptr)counted_pwrite},
        {"pwrite64", (sqlite3_syscall_ptr)counted_pwrite},
        {"ftruncate", (sqlite3_syscall_ptr)counted_ftruncate},
        {"unlink", (sqlite3_syscall_ptr)counted_unlink},
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        vfs->xSetSystemCall(vfs, calls[i].name, calls[i].function);
}

static bool on_stop(void *context) {
    (void)context;
    moment();
    return false;
}

/* ---- runs ---- */

/* What a child does; returns its exit status. */
static int index_docs(void) {
    count_system_calls();
    char model[PATH_MAX];
    snprintf(model, sizeof model, "%s/all-minilm-l6-v2-f16.gguf", getenv("TEOLA_TEST_MODELS"));
    json_t *embed = json_pack("{s:s, s:i}", "model", model, "threads", 1);
    const char *paths[] = {docs};
    const struct tl_index_options options = {
        .paths = paths,
        .path_count = 1,
        .collection = "docs",
        .store = store_path,
        .embed = embed,
        .chunk_size = 24,
        .chunk_overlap = 4,
        .prune = true,
        .stop = on_stop,
    };
    struct tl_index_report report;
    struct tl_error error = {0};
    enum tl_status status = tl_index_run(&options, &report, &error);
    if (status != TL_OK)
        fprintf(stderr, "index: %s\n", error.message);
    json_decref(embed);
    return status == TL_OK ? 0 : 1;
}

/* Runs the indexer in a child that dies at this moment (0: not); true when it came to its end. */
static bool run_child(uint64_t moment_of_death, bool torn_write) {
    shared->moments = shared->writes = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kill_at = moment_of_death;
        torn = torn_write;
        _exit(index_docs());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return false;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return true;
}

/* ---- documents and content ---- */

static void put(uint32_t document, uint32_t version) {
    char path[128];
    snprintf(path, sizeof path, "%s/%02u.txt", docs, document);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (uint32_t i = 0; i < 1 + document * 2 % 5; i++)
        fprintf(file, "Paragraph %u of document %u speaks of river number %u and of its stones.\n\n", i, document,
                i * 7 + version);
    fclose(file);
    const struct timespec times[2] = {{1700000000 + version, 0}, {1700000000 + version, 0}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void remove_document(uint32_t document) {
    char path[128];
    snprintf(path, sizeof path, "%s/%02u.txt", docs, document);
    remove(path);
}

static void remove_store(void) {
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s%s", store_path, endings[i]);
        remove(path);
    }
}

/* Copies the store's file (closed, so there is no log beside it), or puts the copy back. */
static void copy_store(bool back) {
    char kept[96];
    snprintf(kept, sizeof kept, "%s.kept", store_path);
    struct tl_str bytes = TL_STR_INIT;
    struct tl_error error = {0};
    if (tl_file_read(back ? kept : store_path, SIZE_MAX / 2, &bytes, &error) != TL_OK ||
        tl_file_write_atomic(back ? store_path : kept, bytes.data, bytes.length, &error) != TL_OK)
        fail_msg("%s", error.message);
    tl_str_fini(&bytes);
}

/* The older state: other versions of some documents, some that will be gone, some not there yet. */
static void put_old(void) {
    for (uint32_t i = 0; i < DOCUMENTS; i++)
        if (i % 3 == 2)
            remove_document(i);
        else
            put(i, i % 2);
    put(40, 0);
    put(41, 0);
}

static void put_new(void) {
    for (uint32_t i = 0; i < DOCUMENTS; i++)
        put(i, 0);
    remove_document(40);
    remove_document(41);
}

static bool append(void *context, const char *data, size_t length) {
    tl_str_append(context, data, length);
    return true;
}

/* The content, with every index asked once; "" when the collection is not made yet. */
static void read_content(struct tl_str *out) {
    struct tl_error error = {0};
    struct tl_store *store = NULL;
    struct tl_collection *collection = NULL;
    const struct tl_store_options options = {.path = store_path, .create = true};
    tl_str_clear(out);
    if (tl_store_open(&options, &store, &error) != TL_OK)
        fail_msg("%s", error.message);
    enum tl_status status = tl_collection_open(store, "docs", &collection, &error);
    if (status == TL_OK) {
        struct tl_value *hits = NULL;
        if (tl_collection_dump(collection, append, out, &error) != TL_OK)
            fail_msg("%s", error.message);
        if (tl_collection_match(collection, "river", 5, 1000, &hits, &error) != TL_OK)
            fail_msg("%s", error.message);
        tl_str_printf(out, "matches %zu\n", hits->as.list.count);
        tl_value_unref(hits);
        float axis[384] = {1};
        const struct tl_vector vector = {axis, 384};
        if (tl_collection_search(collection, &vector, 1000, &hits, &error) != TL_OK)
            fail_msg("%s", error.message);
        tl_str_printf(out, "neighbours %zu\n", hits->as.list.count);
        tl_value_unref(hits);
    } else if (status != TL_ERR_NOT_FOUND) {
        fail_msg("%s", error.message);
    }
    tl_store_close(store);
}

static size_t count_lines(const char *text, const char *start) {
    size_t count = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        count += strncmp(line, start, strlen(start)) == 0;
    return count;
}

/* Each document, with its chunks, is as in one of the two whole states, and both indexes have just them. */
static void check_whole(const struct tl_str *content, const struct tl_str *old, const struct tl_str *new) {
    if (content->length == 0)
        return;
    const char *document = strstr(content->data, "\ndocument ");
    while (document) {
        const char *end = strstr(document + 1, "\ndocument ");
        if (!end)
            end = strstr(document + 1, "\nmatches ");
        size_t length = (size_t)(end - document) + 1; /* with the newline that ends its last line */
        if (!memmem(new->data, new->length, document, length) && !memmem(old->data, old->length, document, length))
            fail_msg("not as in any whole state:\n%.*s", (int)length, document);
        document = strstr(document + 1, "\ndocument ");
    }
    char expected[64];
    size_t chunks = count_lines(content->data, "chunk ");
    snprintf(expected, sizeof expected, "matches %zu\nneighbours %zu\n", chunks, chunks);
    assert_non_null(strstr(content->data, expected));
}

/* ---- the test ---- */

static void test_kill(void **state) {
    (void)state;
    struct tl_str old = TL_STR_INIT, new = TL_STR_INIT, content = TL_STR_INIT;
    put_old();
    assert_true(run_child(0, false));
    read_content(&old);
    copy_store(false);
    put_new();
    assert_true(run_child(0, false)); /* from old to new */
    uint64_t moments_update = shared->moments;
    read_content(&content);
    remove_store();
    assert_true(run_child(0, false)); /* from nothing to new */
    uint64_t moments_fresh = shared->moments;
    assert_true(shared->writes > 50);
    read_content(&new);
    assert_int_equal(count_lines(new.data, "document "), DOCUMENTS);
    assert_string_equal(content.data, new.data);

    unsigned killed_with_content = 0;
    for (uint64_t i = 0; i < KILLS; i++) {
        bool update = i % 3 == 0;
        remove_store();
        if (update)
            copy_store(true);
        uint64_t moments = update ? moments_update : moments_fresh;
        uint64_t at = 1 + tl_hash_u64(i, 2024) % moments;
        if (run_child(at, i % 2))
            fail_msg("moment %llu of %llu was not reached", (unsigned long long)at, (unsigned long long)moments);
        read_content(&content);
        check_whole(&content, &old, &new);
        killed_with_content += content.length > 0 && strcmp(content.data, new.data) != 0;
        assert_true(run_child(0, false));
        read_content(&content);
        assert_string_equal(content.data, new.data);
    }
    assert_true(killed_with_content > KILLS / 2); /* the moments were not all before or after the work */
    tl_str_fini(&old);
    tl_str_fini(&new);
    tl_str_fini(&content);
}

static int group_setup(void **state) {
    (void)state;
    if (!getenv("TEOLA_TEST_MODELS") || !mkdtemp(top)) {
        fputs("TEOLA_TEST_MODELS is not set\n", stderr);
        return -1;
    }
    snprintf(docs, sizeof docs, "%s/docs", top);
    snprintf(store_path, sizeof store_path, "%s/store.db", top);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED || mkdir(docs, 0700) != 0 ? -1 : 0;
}

static int group_teardown(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 50; i++)
        remove_document(i);
    remove_store();
    char kept[96];
    snprintf(kept, sizeof kept, "%s.kept", store_path);
    remove(kept);
    rmdir(docs);
    rmdir(top);
    munmap(shared, sizeof *shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill)};
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
