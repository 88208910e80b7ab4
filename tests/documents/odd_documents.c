/* odd_documents.c: reads each odd document from a file and cuts it: no crash, no hang, no leak (run it
 * under the sanitizers), and either chunks that keep their promises or a sentence that names the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/utf8.h"
#include "documents/odd_files.h"
#include "engine/documents/chunker.h"

#define NOBODY 65534

static char folder[] = "/tmp/teola-odd-XXXXXX";

static void path_of(const char *name, struct tl_str *path) {
    tl_str_clear(path);
    tl_str_printf(path, "%s/%s", folder, name);
}

static void make_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int file = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(file >= 0);
    assert_int_equal(bind(file, (struct sockaddr *)&address, sizeof address), 0);
    close(file);
}

/* Those that are no ordinary files. */
static void make_special(const char *name, const char *path) {
    int result = 0;
    if (strcmp(name, "directory") == 0) {
        result = mkdir(path, 0755);
    } else if (strcmp(name, "fifo.txt") == 0) {
        result = mkfifo(path, 0644);
    } else if (strcmp(name, "socket") == 0) {
        make_socket(path);
    } else if (strcmp(name, "device") == 0) {
        result = symlink("/dev/zero", path);
    } else if (strcmp(name, "dangling.txt") == 0) {
        result = symlink("nowhere", path);
    } else if (strcmp(name, "circle.txt") == 0) {
        result = symlink("circle.txt", path);
    } else if (strcmp(name, "memory") == 0) {
        result = symlink("/proc/self/mem", path);
    } else if (strcmp(name, "status") == 0) {
        result = symlink("/proc/self/status", path);
    } else if (strcmp(name, "secret.txt") == 0) {
        int file = open(path, O_WRONLY | O_CREAT, 0600);
        result = close(file) != 0 || chmod(path, 0) != 0 ? -1 : 0;
    } else if (strcmp(name, "sparse.txt") == 0) {
        int file = open(path, O_WRONLY | O_CREAT, 0600);
        result = ftruncate(file, (off_t)1 << 40);
        close(file);
    } else {
        assert_string_equal(name, "missing.txt");
    }
    if (result != 0)
        fail_msg("%s: %s", path, strerror(errno));
}

static void make_file(const struct odd_file *odd, const char *path) {
    if (odd->make == NULL) {
        make_special(odd->name, path);
        return;
    }
    struct tl_str content = TL_STR_INIT;
    odd->make(&content);
    struct tl_error error = {TL_OK, ""};
    if (tl_file_write_atomic(path, content.data, content.length, &error) != TL_OK)
        fail_msg("%s", error.message);
    tl_str_fini(&content);
}

static void check_chunks(const struct tl_extracted *extracted, const char *uri) {
    struct tl_chunking chunking = {TL_CHUNK_SIZE, TL_CHUNK_OVERLAP, tl_token_counter_approximate};
    struct tl_chunker *chunker = tl_chunker_create(extracted, uri, &chunking);
    struct tl_chunk chunk;
    size_t count = 0, covered = 0;
    while (tl_chunker_next(chunker, &chunk)) {
        assert_true(tl_utf8_is_valid(chunk.text, chunk.length));
        assert_true(chunk.tokens <= TL_CHUNK_SIZE);
        assert_true(chunk.end > covered && chunk.length < 64 * TL_CHUNK_SIZE);
        for (size_t i = covered; i < chunk.begin; i++)
            assert_non_null(strchr(" \n\t", extracted->text[i]));
        covered = chunk.end;
        count++;
    }
    tl_chunker_destroy(chunker);
    assert_true(count > 0);
    assert_int_equal(covered, extracted->length);
}

static void check_one(const struct odd_file *odd, const char *path) {
    struct tl_document_source source = {.uri = path};
    struct tl_document_limits limits = TL_DOCUMENT_LIMITS_DEFAULT;
    limits.pdf_seconds = 60;
    struct tl_extracted extracted;
    struct tl_error error = {TL_OK, ""};
    bool as_nobody = strcmp(odd->name, "secret.txt") == 0 && geteuid() == 0;
    if (as_nobody)
        assert_int_equal(seteuid(NOBODY), 0);
    enum tl_status status = tl_document_extract(&source, &extracted, &limits, &error);
    if (as_nobody)
        assert_int_equal(seteuid(0), 0);
    if (status != TL_OK) {
        assert_true(tl_document_is_skip(status));
        assert_int_equal(error.status, status);
        assert_true(tl_utf8_is_valid(error.message, strlen(error.message)));
        assert_null(strpbrk(error.message, "\n\t\x01\x1b"));
        assert_memory_equal(error.message, folder, strlen(folder));
        if (odd->outcome == ODD_READ)
            fail_msg("%s was left out: %s", odd->name, error.message);
        if (odd->outcome == ODD_SKIP)
            assert_int_equal(status, odd->status);
        if (odd->contains != NULL && strstr(error.message, odd->contains) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", error.message, odd->contains);
        return;
    }
    if (odd->outcome == ODD_SKIP)
        fail_msg("%s was read", odd->name);
    assert_true(tl_utf8_is_valid(extracted.text, extracted.length));
    assert_true(tl_utf8_is_valid(extracted.title, strlen(extracted.title)));
    assert_null(strpbrk(extracted.title, "\n\t"));
    assert_true(extracted.title[0] != '\0');
    if (odd->contains != NULL && strstr(extracted.text, odd->contains) == NULL)
        fail_msg("the text of %s has no \"%s\"", odd->name, odd->contains);
    check_chunks(&extracted, path);
    tl_extracted_fini(&extracted);
}

static void test_odd_documents(void **state) {
    (void)state;
    struct tl_str path = TL_STR_INIT;
    assert_true(odd_file_count >= 50);
    for (size_t i = 0; i < odd_file_count; i++) {
        path_of(odd_files[i].name, &path);
        make_file(&odd_files[i], path.data);
        check_one(&odd_files[i], path.data);
        if (remove(path.data) != 0)
            assert_int_equal(errno, ENOENT);
    }
    tl_str_fini(&path);
}

/* A good PDF, and programs in the place of pdftotext that do as no program should. */
static void test_bad_pdftotext(void **state) {
    (void)state;
    static const struct {
        const char *script, *message;
        enum tl_status status;
    } programs[] = {
        {"#!/bin/sh\nexec sleep 1000\n", "took longer than 1 seconds", TL_ERR_LIMIT},
        {"#!/bin/sh\nexec yes\n", "holds more than 100000 bytes of text", TL_ERR_LIMIT},
        {"#!/bin/sh\nkill -SEGV $$\n", "is broken, or needs more time or memory than allowed", TL_ERR_INVALID},
        {"#!/bin/sh\nexit 0\n", "is a broken PDF (pdftotext: no explanation)", TL_ERR_INVALID},
        {"#!/bin/sh\necho no such option >&2; exit 99\n", "is a broken PDF (pdftotext: no such option)",
         TL_ERR_INVALID},
        {"#!/bin/sh\necho plain text\n", "is it poppler's?", TL_ERR_UNSUPPORTED},
        {"#!/bin/sh\nprintf '<pre>\\n</pre>'\n", "holds no text", TL_ERR_INVALID},
        {NULL, "apt install poppler-utils", TL_ERR_UNSUPPORTED},
    };
    struct tl_str path = TL_STR_INIT, pdf = TL_STR_INIT;
    odd_pdf(&pdf, "", 0);
    path_of("pdftotext", &path);
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        remove(path.data);
        if (programs[i].script != NULL) {
            assert_int_equal(tl_file_write_atomic(path.data, programs[i].script, strlen(programs[i].script), NULL),
                             TL_OK);
            assert_int_equal(chmod(path.data, 0755), 0);
        }
        struct tl_document_limits limits = {100000, 1, path.data};
        struct tl_document_source source = {"some.pdf", NULL, pdf.data, pdf.length};
        struct tl_extracted extracted;
        struct tl_error error = {TL_OK, ""};
        assert_int_equal(tl_document_extract(&source, &extracted, &limits, &error), programs[i].status);
        if (strstr(error.message, programs[i].message) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", error.message, programs[i].message);
    }
    tl_str_fini(&pdf);
    tl_str_fini(&path);
}

/* Nothing of a limit's size is taken before the limit is looked at. */
static void test_limits(void **state) {
    (void)state;
    struct tl_document_limits limits = {10, 1, NULL};
    struct tl_document_source source = {"a.txt", NULL, "more than ten bytes", 19};
    struct tl_extracted extracted;
    struct tl_error error = {TL_OK, ""};
    assert_int_equal(tl_document_extract(&source, &extracted, &limits, &error), TL_ERR_LIMIT);
    assert_string_equal(error.message, "a.txt has 19 bytes, more than the limit of 10");
    source = (struct tl_document_source){"a.txt", NULL, "\xff\xfe\xff\x4e\xff\x4e\xff\x4e\xff\x4e", 10};
    assert_int_equal(tl_document_extract(&source, &extracted, &limits, &error), TL_ERR_LIMIT);
    assert_string_equal(error.message, "a.txt holds more text than the limit of 10 bytes");
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL || chmod(folder, 0755) != 0;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_odd_documents),
        cmocka_unit_test(test_bad_pdftotext),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
