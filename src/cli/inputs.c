/* inputs.c: see inputs.h. */
#include "cli/inputs.h"

#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

const struct tl_workflow_input *tl_cli_find_input(const struct tl_workflow *workflow, const char *name) {
    for (size_t i = 0; i < tl_workflow_input_count(workflow); i++)
        if (strcmp(tl_workflow_input(workflow, i)->name, name) == 0)
            return tl_workflow_input(workflow, i);
    return NULL;
}

enum tl_status tl_cli_add_input(const struct tl_workflow *workflow, json_t *inputs, const char *name, const char *value,
                                size_t length, struct tl_error *error) {
    const struct tl_workflow_input *input = tl_cli_find_input(workflow, name);
    json_t *json = NULL;
    if (input && !tl_type_equal(input->type, TL_TYPE_OF(TEXT, 0)))
        json = json_loadb(value, length, JSON_DECODE_ANY, NULL);
    if (!json)
        json = json_stringn(value, length);
    if (!json)
        return tl_error_set(error, TL_ERR_USAGE, "input '%s' is not UTF-8 text", name);
    json_object_set_new(inputs, name, json);
    return TL_OK;
}

enum tl_status tl_cli_add_given_input(const struct tl_workflow *workflow, json_t *inputs, const char *given,
                                      struct tl_error *error) {
    const char *equals = strchr(given, '=');
    char *name = tl_mem_strndup(given, (size_t)(equals - given));
    struct tl_str value = TL_STR_INIT;
    enum tl_status status = TL_OK;
    if (equals[1] == '@')
        status = tl_file_read(equals + 2, TL_CLI_LARGEST_INPUT, &value, error);
    else
        tl_str_puts(&value, equals + 1);
    if (status == TL_OK)
        status = tl_cli_add_input(workflow, inputs, name, value.data, value.length, error);
    tl_str_fini(&value);
    tl_mem_free(name);
    return status;
}
