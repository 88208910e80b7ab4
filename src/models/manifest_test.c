/* manifest_test.c: the built-in manifest holds together; wrong ones are explained, all errors at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "models/embedded.h"
#include "models/manifest.h"

#define DIGEST "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

static bool add(struct tl_manifest *manifest, const char *text, struct tl_str *findings) {
    struct tl_diagnostics list;
    tl_diagnostics_init(&list, "m.yaml");
    bool good = tl_manifest_add(manifest, text, strlen(text), &list);
    assert_int_equal(good, list.errors == 0);
    tl_str_clear(findings);
    tl_diagnostics_print(&list, findings);
    tl_diagnostics_fini(&list);
    return good;
}

static void the_built_in_manifest_is_right(void **state) {
    (void)state;
    struct tl_manifest manifest;
    struct tl_str findings = TL_STR_INIT;
    tl_manifest_init(&manifest);
    if (!add(&manifest, tl_embedded_models_yaml, &findings))
        fail_msg("%s", findings.data);
    assert_true(manifest.count >= 4);
    for (size_t i = 0; i < manifest.count; i++) {
        const struct tl_model_entry *entry = &manifest.entries[i];
        assert_string_not_equal(entry->licence, "");
        assert_string_not_equal(entry->description, "");
        if (entry->source == TL_MODEL_FROM_MODEL)
            assert_non_null(tl_manifest_find(&manifest, entry->location));
        if (entry->source != TL_MODEL_FROM_HUB && entry->derivation != TL_MODEL_REQUANTIZED)
            assert_non_null(entry->sha256);
    }
    const struct tl_model_entry *llm = tl_manifest_find(&manifest, "smollm2-135m-instruct-q4_1");
    assert_int_equal(llm->source, TL_MODEL_FROM_WHEEL);
    assert_string_equal(llm->file, "smollm2-135m-instruct-q4_1.gguf");
    assert_int_equal(llm->size, 98362432);
    tl_str_fini(&findings);
    tl_manifest_fini(&manifest);
}

static void a_users_entry_replaces_ours(void **state) {
    (void)state;
    struct tl_manifest manifest;
    struct tl_str findings = TL_STR_INIT;
    tl_manifest_init(&manifest);
    assert_true(
        add(&manifest, "models: [{name: a, source: {hub: x/y}}, {name: b, source: {hub: x/z:Q8_0}}]", &findings));
    assert_string_equal(tl_manifest_find(&manifest, "b")->quant, "Q8_0");
    assert_true(
        add(&manifest, "models: [{name: b, size: 5, sha256: " DIGEST ", source: {file: /m/b.gguf}}]", &findings));
    assert_int_equal(manifest.count, 2);
    assert_int_equal(tl_manifest_find(&manifest, "b")->source, TL_MODEL_FROM_FILE);
    assert_true(add(&manifest, "", &findings)); /* an empty file adds nothing */
    assert_false(add(&manifest, "models: [{name: c, source: {hub: x/y}}, {name: d}]", &findings));
    assert_null(tl_manifest_find(&manifest, "c")); /* nothing of a wrong file is taken */
    assert_string_equal(tl_manifest_nearest(&manifest, "bb") == NULL ? "" : "found", "");
    tl_str_fini(&findings);
    tl_manifest_fini(&manifest);
}

static void all_errors_are_told(void **state) {
    (void)state;
    static const char text[] = "models:\n"
                               "  - name: Bad Name\n"
                               "    source: {hub: org/name}\n"
                               "  - name: one\n"
                               "    licens: MIT\n"
                               "    source: {url: https://x/y, hub: org/name}\n"
                               "  - name: two\n"
                               "    sha256: abc\n"
                               "    size: 12x\n"
                               "    source: {file: relative.gguf}\n"
                               "  - name: three\n"
                               "    source: {url: https://x/y}\n"
                               "  - name: four\n"
                               "    derive: {how: magic, format: q8_0}\n"
                               "  - just text\n";
    static const char *const expected[] = {
        "m.yaml:2:5: error: a model needs a \"name\"",
        "m.yaml:5:5: error: unknown key \"licens\", did you mean \"licence\"?",
        "m.yaml:6:13: error: \"source\" needs exactly one of",
        "m.yaml:7:5: error: \"sha256\" of two must be 64",
        "m.yaml:7:5: error: \"size\" of two must be a number",
        "m.yaml:10:13: error: \"file\" must be an absolute path",
        "m.yaml:11:5: error: three needs \"sha256\" and \"size\"",
        "m.yaml:14:13: error: \"how\" is \"magic\"",
        "m.yaml:15:5: error: a model must be a mapping",
    };
    struct tl_manifest manifest;
    struct tl_str findings = TL_STR_INIT;
    tl_manifest_init(&manifest);
    assert_false(add(&manifest, text, &findings));
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (strstr(findings.data, expected[i]) == NULL)
            fail_msg("\"%s\" is not in:\n%s", expected[i], findings.data);
    assert_int_equal(manifest.count, 0);
    tl_str_fini(&findings);
    tl_manifest_fini(&manifest);
}

static void each_rule_refuses(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "[]",
        "models: 5",
        "models: [",
        "other: []",
        "models: [{name: a, source: {hub: noslash}}]",
        "models: [{name: a, source: {hub: 'o/n:'}}]",
        "models: [{name: a, source: {hub: ../n}}]",
        "models: [{name: a, source: {hub: o/n/x}}]",
        "models: [{name: a, source: {hub: o/n, version: 1}}]",
        "models: [{name: a, source: {hub: o/n}}, {name: a, source: {hub: o/n}}]",
        "models: [{name: a, name: b, source: {hub: o/n}}]",
        "models: [{name: a, file: ../x.gguf, source: {hub: o/n}}]",
        "models: [{name: a, file: x.bin, source: {hub: o/n}}]",
        "models: [{name: a, size: 5, source: {hub: o/n}}]",
        "models: [{name: a, size: 5, sha256: " DIGEST ", source: {url: ftp://x/y}}]",
        "models: [{name: a, size: 0, sha256: " DIGEST ", source: {url: https://x/y}}]",
        "models: [{name: a, size: 5, sha256: " DIGEST ", source: {wheel: p, version: 1.0, member: m}}]",
        "models: [{name: a, size: 5, sha256: " DIGEST ", source: {wheel: p, version: 1.0, sha256: " DIGEST "}}]",
        "models: [{name: a, size: 5, sha256: " DIGEST ", source: {wheel: --x, version: 1, sha256: " DIGEST
        ", member: m}}]",
        "models: [{name: a, size: 5, sha256: " DIGEST ", source: {wheel: p, version: '1 x', sha256: " DIGEST
        ", member: m}}]",
        "models: [{name: a, size: 5, sha256: " DIGEST ", source: {wheel: p, version: 1, sha256: " DIGEST
        ", folder: f}}]",
        "models: [{name: a, derive: {how: requantize, format: q8_0}}]",
        "models: [{name: a, derive: {from: b, how: requantize}}]",
        "models: [{name: a, source: {hub: o/n}, derive: {from: b, how: requantize, format: q8_0}}]",
        "models: [{name: a, source: {hub: o/n}, derive: {how: convert-bert, format: f16}}]",
    };
    struct tl_manifest manifest;
    struct tl_str findings = TL_STR_INIT;
    tl_manifest_init(&manifest);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (add(&manifest, wrong[i], &findings))
            fail_msg("taken: %s", wrong[i]);
    tl_str_fini(&findings);
    tl_manifest_fini(&manifest);
}

static void damaged_text_does_no_harm(void **state) {
    (void)state;
    size_t length = strlen(tl_embedded_models_yaml);
    char *text = malloc(length + 1);
    struct tl_str findings = TL_STR_INIT;
    assert_non_null(text);
    srand(3);
    for (int round = 0; round < 300; round++) {
        struct tl_manifest manifest;
        tl_manifest_init(&manifest);
        memcpy(text, tl_embedded_models_yaml, length + 1);
        for (int change = 0; change <= round % 5; change++)
            text[(size_t)rand() % length] = (char)(rand() % 255 + 1);
        add(&manifest, text, &findings);
        tl_manifest_fini(&manifest);
    }
    tl_str_fini(&findings);
    free(text);
}

static void hub_references(void **state) {
    (void)state;
    static const char *const wrong[] = {"",      "name", "a/b:",    "a/b/c", "/b",   "a/",
                                        "a b/c", "../b", "a/b:c/d", "a/..",  "a/b?x"};
    struct tl_manifest manifest;
    const struct tl_model_entry *entry, *again;
    struct tl_error error;
    tl_manifest_init(&manifest);
    assert_int_equal(tl_manifest_add_hub(&manifest, "Qwen/Qwen2.5-GGUF:Q8_0", &entry, &error), TL_OK);
    assert_string_equal(entry->name, "qwen--qwen2.5-gguf--q8_0");
    assert_string_equal(entry->file, "qwen--qwen2.5-gguf--q8_0.gguf");
    assert_string_equal(entry->location, "Qwen/Qwen2.5-GGUF");
    assert_string_equal(entry->quant, "Q8_0");
    assert_int_equal(tl_manifest_add_hub(&manifest, "Qwen/Qwen2.5-GGUF:Q8_0", &again, &error), TL_OK);
    assert_int_equal(manifest.count, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(tl_manifest_add_hub(&manifest, wrong[i], &entry, &error), TL_ERR_USAGE);
    tl_manifest_fini(&manifest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_built_in_manifest_is_right),
        cmocka_unit_test(a_users_entry_replaces_ours),
        cmocka_unit_test(all_errors_are_told),
        cmocka_unit_test(each_rule_refuses),
        cmocka_unit_test(damaged_text_does_no_harm),
        cmocka_unit_test(hub_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
