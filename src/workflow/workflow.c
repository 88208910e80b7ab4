/* workflow.c: life cycle of a checked workflow, and what others ask of it. */
#include <libgen.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "workflow/workflow_impl.h"

struct tl_workflow *tl_workflow_parse(const char *text, size_t length, const char *name, const char *directory,
                                      struct tl_diagnostics *findings) {
    struct tl_workflow *workflow = tl_mem_zalloc(sizeof *workflow);
    tl_arena_init(&workflow->arena);
    if (findings->file == NULL)
        tl_diagnostics_init(findings, name);
    struct tl_check check = {
        .workflow = workflow,
        .directory = directory,
        .digest = tl_sha256_create(),
        .findings = findings,
    };
    size_t errors = findings->errors;
    tl_sha256_update(check.digest, text, length);
    const struct tl_yaml_node *root = tl_yaml_read(&workflow->arena, text, length, findings);
    if (root != NULL)
        tl_check_workflow(&check, root);
    tl_sha256_finish(check.digest, workflow->digest);
    if (findings->errors > errors) {
        tl_workflow_destroy(workflow);
        return NULL;
    }
    return workflow;
}

struct tl_workflow *tl_workflow_load(const char *path, struct tl_diagnostics *findings) {
    struct tl_str text = TL_STR_INIT;
    struct tl_error error;
    struct tl_workflow *workflow = NULL;
    if (findings->file == NULL)
        tl_diagnostics_init(findings, path);
    if (tl_file_read(path, TL_YAML_BYTES, &text, &error) != TL_OK) {
        tl_diagnostics_add(findings, TL_SEVERITY_ERROR, 0, 0, "%s", error.message);
    } else {
        char *copy = tl_mem_strdup(path);
        workflow = tl_workflow_parse(text.data, text.length, path, dirname(copy), findings);
        tl_mem_free(copy);
    }
    tl_str_fini(&text);
    return workflow;
}

void tl_workflow_destroy(struct tl_workflow *workflow) {
    if (workflow == NULL)
        return;
    tl_arena_fini(&workflow->arena);
    tl_mem_free(workflow);
}

const char *tl_workflow_name(const struct tl_workflow *workflow) {
    return workflow->name;
}

const char *tl_workflow_description(const struct tl_workflow *workflow) {
    return workflow->description;
}

const char *tl_workflow_digest(const struct tl_workflow *workflow) {
    return workflow->digest;
}

size_t tl_workflow_input_count(const struct tl_workflow *workflow) {
    return workflow->input_count;
}

const struct tl_workflow_input *tl_workflow_input(const struct tl_workflow *workflow, size_t position) {
    TL_ASSERT(position < workflow->input_count);
    return &workflow->inputs[position];
}

size_t tl_workflow_output_count(const struct tl_workflow *workflow) {
    return workflow->result_count;
}

const char *tl_workflow_output(const struct tl_workflow *workflow, size_t position) {
    TL_ASSERT(position < workflow->result_count);
    return workflow->results[position].name;
}

size_t tl_workflow_engine_count(const struct tl_workflow *workflow) {
    return workflow->role_count;
}

void tl_workflow_engine(const struct tl_workflow *workflow, size_t position, const char **role, const char **engine,
                        enum tl_capability *capability) {
    TL_ASSERT(position < workflow->role_count);
    const struct tl_workflow_role *used = &workflow->roles[position];
    *role = tl_engine_roles[used->role].name;
    *engine = used->engine;
    *capability = tl_engine_roles[used->role].capability;
}
