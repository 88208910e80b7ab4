/* shape.c: see shape.h. */
#include "cli/shape.h"

#include <string.h>

#include "base/mem.h"

int tl_cli_shape_option(const char *command, int option, const char *value, struct tl_cli_shape *shape) {
    switch (option) {
    case 1001: shape->collection = false; break;
    case 1002: shape->collection = true; break;
    case 1003:
        if (!tl_optimize_parse(value, &shape->optimize))
            return tl_cli_wrong_use(command, "--optimize is off, paper or cost, not '%s'", value);
        break;
    case 1004: tl_cli_list_add(&shape->passes, value); break;
    case 1005: shape->config = value; break;
    case 1006: tl_cli_list_add(&shape->settings, value); break;
    default: return -1;
    }
    return TL_EXIT_DONE;
}

void tl_cli_shape_fini(struct tl_cli_shape *shape) {
    tl_cli_list_fini(&shape->passes);
    tl_cli_list_fini(&shape->settings);
}

/* Every input is given, but for documents when there is a collection. */
static const char **given_inputs(const struct tl_workflow *workflow, bool collection, size_t *count) {
    size_t all = tl_workflow_input_count(workflow);
    const char **given = tl_mem_alloc((all + 1) * sizeof *given);
    *count = 0;
    for (size_t i = 0; i < all; i++) {
        const struct tl_workflow_input *input = tl_workflow_input(workflow, i);
        if (!(collection && tl_type_equal(input->type, TL_TYPE_OF(DOCUMENT, 1))))
            given[(*count)++] = input->name;
    }
    return given;
}

int tl_cli_shape_plan(const char *command, const char *workflow, const struct tl_cli_shape *shape,
                      struct tl_runtime **runtime, struct tl_plan_steps *steps) {
    struct tl_error error;
    tl_workflow_id id = 0;
    if (tl_cli_open_runtime(shape->config, &shape->settings, runtime, &error) != TL_OK)
        return tl_cli_fail(command, &error);
    int result = tl_cli_load_workflow(command, *runtime, workflow, &id);
    if (result == TL_EXIT_DONE) {
        struct tl_query_shape query = {.collection = shape->collection};
        const char **given = given_inputs(tl_runtime_workflow(*runtime, id), shape->collection, &query.given_count);
        query.given = given;
        if (tl_runtime_plan(*runtime, id, &query, shape->optimize, shape->passes.items, shape->passes.count, steps,
                            &error) != TL_OK)
            result = tl_cli_fail(command, &error);
        tl_mem_free(given);
    }
    if (result != TL_EXIT_DONE) {
        tl_runtime_close(*runtime);
        *runtime = NULL;
    }
    return result;
}
