/* hub_test.c: choosing a file of a repository; the token and the switch for offline work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "models/hub.h"

#define OID "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
#define FILE_OF(path) "{\"type\":\"file\",\"path\":\"" path "\",\"lfs\":{\"oid\":\"" OID "\",\"size\":77}}"

static struct tl_error error;

static enum tl_status choose(const char *tree, const char *quant, const char *path, char chosen[128]) {
    struct tl_hub_file file = {.path = TL_STR_INIT, .url = TL_STR_INIT};
    enum tl_status status = tl_hub_choose(tree, strlen(tree), "org/name", quant, path, &file, &error);
    snprintf(chosen, 128, "%s", file.path.data);
    if (status == TL_OK) {
        assert_int_equal(file.size, 77);
        assert_string_equal(file.sha256, OID);
    }
    tl_hub_file_fini(&file);
    return status;
}

static void by_quant(void **state) {
    (void)state;
    static const char tree[] = "[" FILE_OF("README.md") "," FILE_OF("M-Q4_K_M.gguf") "," FILE_OF(
        "m.q8_0.gguf") "," FILE_OF("sub/M-IQ4_XS.gguf") "," FILE_OF("mmproj-F16.gguf") "," FILE_OF("M-Q4_K_S.gguf") "]";
    char chosen[128];
    assert_int_equal(choose(tree, "", NULL, chosen), TL_OK);
    assert_string_equal(chosen, "M-Q4_K_M.gguf");
    assert_int_equal(choose(tree, "Q8_0", NULL, chosen), TL_OK);
    assert_string_equal(chosen, "m.q8_0.gguf");
    assert_int_equal(choose(tree, "iq4_xs", NULL, chosen), TL_OK);
    assert_string_equal(chosen, "sub/M-IQ4_XS.gguf");
    assert_int_equal(choose(tree, "Q4_K", NULL, chosen), TL_ERR_NOT_FOUND); /* not the beginning of another quant */
    assert_non_null(strstr(error.message, "M-Q4_K_S.gguf"));
    assert_null(strstr(error.message, "mmproj"));
    assert_int_equal(choose(tree, "F16", NULL, chosen), TL_ERR_NOT_FOUND);
    assert_int_equal(choose(tree, "", "mmproj-F16.gguf", chosen), TL_OK); /* by its path, anything */
    assert_int_equal(choose(tree, "", "nothing.gguf", chosen), TL_ERR_NOT_FOUND);
}

static void the_only_one_is_taken(void **state) {
    (void)state;
    char chosen[128];
    assert_int_equal(choose("[" FILE_OF("model-f16.gguf") "]", "", NULL, chosen), TL_OK);
    assert_int_equal(choose("[" FILE_OF("model-f16.gguf") "]", "Q8_0", NULL, chosen), TL_ERR_NOT_FOUND);
    assert_int_equal(choose("[" FILE_OF("a.bin") "]", "", NULL, chosen), TL_ERR_NOT_FOUND);
    assert_int_equal(choose("[]", "", NULL, chosen), TL_ERR_NOT_FOUND);
}

static void what_cannot_be_checked_is_refused(void **state) {
    (void)state;
    char chosen[128];
    assert_int_equal(choose("[" FILE_OF("M-Q8_0-00001-of-00003.gguf") "]", "Q8_0", NULL, chosen), TL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "3 pieces"));
    static const char *const trees[] = {
        "[{\"path\":\"M-Q8_0.gguf\"}]",
        "[{\"path\":\"M-Q8_0.gguf\",\"lfs\":{\"oid\":\"" OID "\"}}]",
        "[{\"path\":\"M-Q8_0.gguf\",\"lfs\":{\"oid\":\"xyz\",\"size\":5}}]",
        "[{\"path\":\"M-Q8_0.gguf\",\"lfs\":5}]",
    };
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++)
        assert_int_equal(choose(trees[i], "Q8_0", NULL, chosen), TL_ERR_UNSUPPORTED);
    static const char *const rubbish[] = {"{\"error\":\"x\"}", "<html>", ""};
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++)
        assert_int_equal(choose(rubbish[i], "Q8_0", NULL, chosen), TL_ERR_IO);
    assert_int_equal(choose("[5, null, {\"path\": 3}, {}]", "Q8_0", NULL, chosen), TL_ERR_NOT_FOUND);
}

static void the_token_comes_from_variable_or_file(void **state) {
    (void)state;
    char folder[] = "/tmp/teola-hub-test-XXXXXX", path[64];
    struct tl_str token = TL_STR_INIT;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/token", folder);
    setenv("HF_HOME", folder, 1);
    unsetenv("HF_TOKEN");
    assert_int_equal(tl_hub_token(&token, &error), TL_OK);
    assert_string_equal(token.data, "");
    assert_int_equal(tl_file_write_atomic(path, "from-file\n", 10, &error), TL_OK);
    assert_int_equal(tl_hub_token(&token, &error), TL_OK);
    assert_string_equal(token.data, "from-file");
    tl_str_clear(&token);
    setenv("HF_TOKEN", "from-variable", 1);
    assert_int_equal(tl_hub_token(&token, &error), TL_OK);
    assert_string_equal(token.data, "from-variable");
    tl_str_clear(&token);
    setenv("HF_TOKEN", "two\r\nX-Header: words", 1);
    assert_int_equal(tl_hub_token(&token, &error), TL_ERR_INVALID);
    assert_null(strstr(error.message, "words"));
    tl_str_fini(&token);
    unsetenv("HF_TOKEN");
    remove(path);
    rmdir(folder);
}

static void offline_is_obeyed(void **state) {
    (void)state;
    struct tl_hub_file file;
    unsetenv("TEOLA_OFFLINE");
    setenv("HF_HUB_OFFLINE", "1", 1);
    assert_int_equal(tl_hub_find("org/name", "main", "", NULL, &file, &error), TL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "HF_HUB_OFFLINE"));
    tl_hub_file_fini(&file);
    assert_int_equal(tl_hub_check_online(false, "x", &error), TL_OK);
    setenv("HF_HUB_OFFLINE", "0", 1);
    assert_int_equal(tl_hub_check_online(true, "x", &error), TL_OK);
    setenv("TEOLA_OFFLINE", "yes", 1);
    assert_int_equal(tl_hub_check_online(false, "x", &error), TL_ERR_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_quant),
        cmocka_unit_test(the_only_one_is_taken),
        cmocka_unit_test(what_cannot_be_checked_is_refused),
        cmocka_unit_test(the_token_comes_from_variable_or_file),
        cmocka_unit_test(offline_is_obeyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
