/* load_test.c: how much a query is taken to bring: files by their sizes, texts by their bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/diagnostics.h"
#include "base/error.h"
#include "runtime/inputs.h"

static struct tl_workflow *naive(void) {
    char path[256];
    struct tl_diagnostics findings;
    snprintf(path, sizeof path, "%s/workflows/naive-rag.yaml", getenv("TEOLA_SOURCE_DIR"));
    tl_diagnostics_init(&findings, path);
    struct tl_workflow *workflow = tl_workflow_load(path, &findings);
    assert_non_null(workflow);
    tl_diagnostics_fini(&findings);
    return workflow;
}

/* Of inputs in JSON, and a document beside them (NULL: none). */
static struct tl_choice_load load_of(const char *json, const char *path) {
    struct tl_workflow *workflow = naive();
    struct tl_value *documents = NULL;
    struct tl_choice_load load;
    json_t *inputs;
    assert_int_equal(tl_inputs_parse(workflow, json, &inputs, NULL), TL_OK);
    if (path)
        assert_int_equal(tl_inputs_documents(&path, 1, &documents, NULL), TL_OK);
    tl_inputs_measure(workflow, inputs, documents, &load);
    tl_value_unref(documents);
    json_decref(inputs);
    tl_workflow_destroy(workflow);
    return load;
}

static void documents_are_as_large_as_they_are(void **state) {
    (void)state;
    char file[] = "/tmp/teola-document-XXXXXX", json[200];
    int descriptor = mkstemp(file);
    assert_true(descriptor >= 0);
    assert_int_equal(ftruncate(descriptor, 4 * 12288), 0);
    struct tl_choice_load load = load_of("{\"question\": \"ash bay?\"}", file);
    assert_int_equal(load.text_tokens, 2);
    assert_int_equal(load.documents, 1);
    assert_int_equal(load.document_tokens, 12288);
    snprintf(json, sizeof json,
             "{\"question\": \"why?!\", \"documents\": [\"%s\", {\"uri\": \"a\", \"text\": \"12345\"}]}", file);
    load = load_of(json, NULL);
    assert_int_equal(load.text_tokens, 2); /* a token that is begun counts */
    assert_int_equal(load.documents, 2);
    assert_int_equal(load.document_tokens, 12290);
    close(descriptor);
    unlink(file);
}

/* A document that nobody can look at is like the others; of none known it is what is assumed of any. */
static void unknown_documents_are_assumed(void **state) {
    (void)state;
    struct tl_choice_load load = load_of("{\"question\": \"a\", \"documents\": [\"/none\"]}", NULL);
    assert_int_equal(load.documents, 1);
    assert_int_equal(load.document_tokens, 0);
    load = load_of("{\"question\": \"a\", \"documents\": [\"/none\", {\"uri\": \"a\", \"text\": \"12345678\"}]}", NULL);
    assert_int_equal(load.documents, 2);
    assert_int_equal(load.document_tokens, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_as_large_as_they_are),
        cmocka_unit_test(unknown_documents_are_assumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
