/* download_test.c: downloads from a server with faults: resumed, restarted, refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "models/download.h"
#include "models/http.h"
#include "models/served.h"

static struct served served;
static struct tl_download_counters counters;
static struct tl_error error;
static char target[96]; /* of the last download */

/* Downloads <server>/<path> to a fresh target (unless it is the same as the last one's). */
static enum tl_status get(const char *path, const char *sha256, const char *token, const char *file) {
    char url[128];
    snprintf(target, sizeof target, "%s/%s", served.folder, file);
    const struct tl_download wanted = {
        .url = served_url(&served, path, url), .token = token, .path = target, .size = served.size, .sha256 = sha256,
        .attempts = 3, .stall_seconds = 1};
    counters = (struct tl_download_counters){0};
    error = (struct tl_error){0};
    return tl_download_file(&wanted, &counters, &error);
}

static bool leftover(const char *suffix) {
    char path[128];
    snprintf(path, sizeof path, "%s%s", target, suffix);
    return tl_file_exists(path);
}

static void assert_complete(const char *sha256) {
    char digest[TL_SHA256_HEX_SIZE];
    assert_int_equal(tl_sha256_file(target, digest, NULL), TL_OK);
    assert_string_equal(digest, sha256);
    assert_false(leftover(".part"));
    assert_false(leftover(".part.json"));
}

static void assert_refused(void) {
    assert_false(tl_file_exists(target));
    assert_false(leftover(".part"));
}

static void whole(void **state) {
    (void)state;
    assert_int_equal(get("plain/x", served.a, NULL, "whole"), TL_OK);
    assert_complete(served.a);
    assert_int_equal(counters.requests, 1);
    assert_int_equal(counters.received, served.size);
}

static void continues_what_broke_off(void **state) {
    (void)state;
    assert_int_equal(get("cut/x", served.a, NULL, "cut"), TL_OK);
    assert_complete(served.a);
    assert_int_equal(counters.requests, 5);
    assert_int_equal(counters.resumed, 4);
    assert_int_equal(counters.received, served.size); /* no byte twice */

    assert_int_equal(get("no-etag/x", served.a, NULL, "no-etag"), TL_OK);
    assert_complete(served.a);
    assert_int_equal(counters.received, served.size);
}

static void gives_up_and_goes_on_later(void **state) {
    (void)state;
    assert_int_equal(get("always-cut/x", served.a, NULL, "later"), TL_ERR_BUSY);
    assert_non_null(strstr(error.message, "always-cut/x"));
    assert_true(leftover(".part"));
    assert_false(tl_file_exists(target));
    assert_int_equal(counters.received, 100000);
    assert_int_equal(get("plain/x", served.a, NULL, "later"), TL_OK); /* as another process would, later */
    assert_complete(served.a);
    assert_int_equal(counters.requests, 1);
    assert_int_equal(counters.resumed, 1);
    assert_int_equal(counters.received, served.size - 100000);
}

static void a_changed_file_starts_anew(void **state) {
    (void)state;
    assert_int_equal(get("changed/x", served.b, NULL, "changed"), TL_OK);
    assert_complete(served.b);
    assert_int_equal(counters.received, served.size + 700000);
    assert_int_equal(counters.restarts, 1);
}

static void a_part_of_other_content_is_dropped(void **state) {
    (void)state;
    assert_int_equal(get("always-cut/y", served.a, NULL, "other"), TL_ERR_BUSY);
    assert_true(leftover(".part"));
    assert_int_equal(get("other/x", served.b, NULL, "other"), TL_OK);
    assert_complete(served.b);
    assert_int_equal(counters.restarts, 1);
    assert_int_equal(counters.resumed, 0);

    /* A part that was damaged on disk: found at the end, and fetched once more. */
    assert_int_equal(get("always-cut/z", served.a, NULL, "damaged"), TL_ERR_BUSY);
    char part[128];
    snprintf(part, sizeof part, "%s.part", target);
    FILE *file = fopen(part, "r+b");
    assert_non_null(file);
    fputs("damage", file);
    fclose(file);
    assert_int_equal(get("plain/x", served.a, NULL, "damaged"), TL_OK);
    assert_complete(served.a);
    assert_int_equal(counters.restarts, 1);
}

static void wrong_content_is_refused_by_name(void **state) {
    (void)state;
    assert_int_equal(get("other/x", served.a, NULL, "wrong"), TL_ERR_CORRUPT);
    assert_refused();
    assert_non_null(strstr(error.message, served.a));
    assert_non_null(strstr(error.message, served.b));
    assert_non_null(strstr(error.message, target));
    assert_int_equal(get("short/x", served.a, NULL, "short"), TL_ERR_CORRUPT);
    assert_refused();
    assert_non_null(strstr(error.message, "1000 bytes"));
    assert_int_equal(get("endless/x", served.a, NULL, "endless"), TL_ERR_CORRUPT);
    assert_refused();
    assert_true(counters.received <= served.size + (1 << 20));
}

static void comes_back_after_503(void **state) {
    (void)state;
    assert_int_equal(get("busy/x", served.a, NULL, "busy"), TL_OK);
    assert_complete(served.a);
    assert_int_equal(counters.requests, 3);
}

static void refusals(void **state) {
    (void)state;
    assert_int_equal(get("nowhere/x", served.a, NULL, "none"), TL_ERR_NOT_FOUND);
    assert_int_equal(counters.requests, 1);
    assert_int_equal(get("secret/x", served.a, NULL, "secret"), TL_ERR_IO);
    assert_non_null(strstr(error.message, "HF_TOKEN"));
    assert_int_equal(get("secret/x", served.a, "wrong", "secret"), TL_ERR_IO);
    assert_non_null(strstr(error.message, "401"));
    assert_null(strstr(error.message, "wrong"));
    assert_int_equal(get("secret/x", served.a, "secret-token", "secret"), TL_OK);
    assert_complete(served.a);
}

static void the_token_stays_with_its_host(void **state) {
    (void)state;
    assert_int_equal(get("here/x", served.a, "secret-token", "here"), TL_OK);
    assert_complete(served.a);
    assert_int_equal(get("elsewhere/x", served.a, "secret-token", "elsewhere"), TL_OK);
    assert_complete(served.a);
    json_t *log = served_log(&served), *item;
    size_t index, checked = 0;
    json_array_foreach(log, index, item) {
        const char *path = json_string_value(json_object_get(item, "path"));
        if (strcmp(path, "/elsewhere/x") == 0) {
            assert_non_null(json_string_value(json_object_get(item, "authorization")));
            checked++;
        }
        if (strcmp(path, "/open/x") == 0) {
            assert_true(json_is_null(json_object_get(item, "authorization")));
            checked++;
        }
    }
    assert_int_equal(checked, 2);
    json_decref(log);
}

static void redirects_have_limits(void **state) {
    (void)state;
    assert_int_equal(get("loop/x", served.a, NULL, "loop"), TL_ERR_IO);
    assert_non_null(strstr(error.message, "redirects"));
    assert_int_equal(get("outside/x", served.a, NULL, "outside"), TL_ERR_IO);
    assert_non_null(strstr(error.message, "expected https"));
}

static void only_https_beyond_this_machine(void **state) {
    (void)state;
    static const char *const refused[] = {"http://models.example/x", "ftp://127.0.0.1/x", "file:///etc/passwd",
                                          "https://user:word@models.example/x", "not a url", ""};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct tl_str text = TL_STR_INIT;
        const struct tl_http_request request = {.url = refused[i]};
        assert_int_equal(tl_http_get_text(&request, 100, &text, &error), TL_ERR_INVALID);
        assert_null(strstr(error.message, "word@"));
        tl_str_fini(&text);
    }
}

static void silence_ends(void **state) {
    (void)state;
    char url[128];
    snprintf(target, sizeof target, "%s/silent", served.folder);
    const struct tl_download wanted = {.url = served_url(&served, "silent/x", url), .path = target, .size = served.size,
                                       .sha256 = served.a, .attempts = 1, .stall_seconds = 1};
    assert_int_equal(tl_download_file(&wanted, NULL, &error), TL_ERR_BUSY);
}

static void text_has_a_limit(void **state) {
    (void)state;
    char url[128];
    struct tl_str text = TL_STR_INIT;
    const struct tl_http_request request = {.url = served_url(&served, "plain/x", url)};
    assert_int_equal(tl_http_get_text(&request, 1000, &text, &error), TL_ERR_LIMIT);
    tl_str_fini(&text);
}

static int set_up(void **state) {
    (void)state;
    served_start(&served);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    served_stop(&served);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(continues_what_broke_off),
        cmocka_unit_test(gives_up_and_goes_on_later),
        cmocka_unit_test(a_changed_file_starts_anew),
        cmocka_unit_test(a_part_of_other_content_is_dropped),
        cmocka_unit_test(wrong_content_is_refused_by_name),
        cmocka_unit_test(comes_back_after_503),
        cmocka_unit_test(refusals),
        cmocka_unit_test(the_token_stays_with_its_host),
        cmocka_unit_test(redirects_have_limits),
        cmocka_unit_test(only_https_beyond_this_machine),
        cmocka_unit_test(silence_ends),
        cmocka_unit_test(text_has_a_limit),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
