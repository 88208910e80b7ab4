/* emulated.h: what the runtime's tests share: a runtime over emulated engines, and runs on it. */
#ifndef TL_TESTS_RUNTIME_EMULATED_H
#define TL_TESTS_RUNTIME_EMULATED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/mem.h"
#include "base/str.h"
#include "teola/teola.h"

/* Every role on a device of its own, in no time at all. */
#define EMULATED(role, more) "  " role ": {type: emulated, device: " role ", scale: 0" more "}\n"
#define EMULATED_ENGINES                                                                                             \
    "engines:\n" EMULATED("llm", "") EMULATED("embedder", "") EMULATED("reranker", "") EMULATED("store", "")         \
        EMULATED("documents", ", executor: pool")

static inline struct tl_runtime *open_runtime(const struct tl_runtime_options *options) {
    struct tl_runtime *runtime = NULL;
    struct tl_error error = {0};
    if (tl_runtime_open(options, &runtime, &error) != TL_OK)
        fail_msg("open: %s", error.message);
    return runtime;
}

/* A runtime with these engines and up to four settings laid over them; NULL ends the list. */
static inline struct tl_runtime *open_emulated(const char *first, ...) {
    const char *settings[4];
    size_t count = 0;
    va_list args;
    va_start(args, first);
    for (const char *setting = first; setting; setting = va_arg(args, const char *))
        settings[count++] = setting;
    va_end(args);
    struct tl_runtime_options options = {
        .size = sizeof options, .config_text = EMULATED_ENGINES, .settings = settings, .setting_count = count};
    return open_runtime(&options);
}

/* A runtime that remembers nothing and has `head` as its further configuration. Every role is on a device of its own, but
 * for one, whose settings are `own`. */
static inline struct tl_runtime *open_with_own(const char *head, const char *role, const char *own) {
    static const char *const roles[] = {"llm", "embedder", "reranker", "store", "documents"};
    struct tl_str text = TL_STR_INIT;
    tl_str_printf(&text, "memo_bytes: 0\nprofile: none\n%sengines:\n", head);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(roles[i], role) == 0)
            tl_str_printf(&text, "  %s: {type: emulated, scale: 0%s}\n", role, own);
        else
            tl_str_printf(&text, "  %s: {type: emulated, scale: 0, device: %s}\n", roles[i], roles[i]);
    struct tl_runtime_options options = {.size = sizeof options, .config_text = text.data};
    struct tl_runtime *runtime = open_runtime(&options);
    tl_str_fini(&text);
    return runtime;
}

static inline tl_workflow_id load(struct tl_runtime *runtime, const char *name) {
    struct tl_str path = TL_STR_INIT;
    struct tl_error error = {0};
    tl_workflow_id id = 0;
    tl_str_printf(&path, "%s/workflows/%s.yaml", getenv("TEOLA_SOURCE_DIR"), name);
    if (tl_runtime_load_workflow(runtime, path.data, &id, &error) != TL_OK)
        fail_msg("%s", error.message);
    tl_str_fini(&path);
    return id;
}

static inline struct tl_request ask(tl_workflow_id workflow, const char *inputs) {
    return (struct tl_request){.size = sizeof(struct tl_request),
                               .workflow = workflow,
                               .inputs = inputs,
                               .collection = "things"};
}

static inline tl_run_id submit(struct tl_runtime *runtime, const struct tl_request *request) {
    struct tl_error error = {0};
    tl_run_id run = 0;
    if (tl_runtime_submit(runtime, request, &run, &error) != TL_OK)
        fail_msg("submit: %s", error.message);
    assert_int_not_equal(run, 0);
    return run;
}

/* Waits for the end; returns the result, owned. */
static inline json_t *finish(struct tl_runtime *runtime, tl_run_id run, enum tl_status expected) {
    struct tl_error error = {0};
    char *text = NULL;
    enum tl_status status = tl_runtime_wait(runtime, run, &text, &error);
    if (status != expected)
        fail_msg("run ended with '%s', expected '%s': %s", tl_status_name(status), tl_status_name(expected),
                 error.message);
    assert_non_null(text);
    json_t *result = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(result);
    tl_free(text);
    return result;
}

static inline const char *text_in(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* Items of the result that this instance had, those that failed left out. */
static inline size_t items_on(const json_t *result, const char *instance) {
    size_t index, count = 0;
    json_t *item;
    json_array_foreach(json_object_get(result, "items"), index, item) {
        count += strcmp(text_in(item, "engine"), instance) == 0 && !json_is_true(json_object_get(item, "failed"));
    }
    return count;
}

static inline const char *error_of(const json_t *result) {
    return text_in(json_object_get(result, "error"), "message");
}

#endif
