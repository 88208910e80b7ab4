/* parallel.c: a list whose items are written at the same time, each by a decode of its own:
 *
 *     "1", "2", "3" → map { render(…, number) → prefill → decode } → distinct
 *
 * The prompts differ in {number} alone. Where it stands at the end, everything before it is prefilled once and all
 * decodes go on from there. No decode sees what the others write, so items may repeat each other; those that do, and
 * empty ones, are left out. A line is an item. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "workflow/workflow_impl.h"

bool tl_step_is_parallel(const struct tl_step *step) {
    for (size_t i = 0; i < step->module->setting_count; i++)
        if (strcmp(step->module->settings[i].name, "parallel") == 0)
            return step->values[i].integer != 0;
    return false;
}

/* Copies a template's text with {count} replaced, so that it is literal text, the same for every query. */
static void put_count(const char *text, int64_t count, struct tl_str *out) {
    while (*text != '\0') {
        if ((text[0] == '{' || text[0] == '}') && text[1] == text[0]) {
            tl_str_append(out, text, 2);
            text += 2;
        } else if (tl_str_starts_with(text, "{count}")) {
            tl_str_printf(out, "%lld", (long long)count);
            text += strlen("{count}");
        } else {
            tl_str_putc(out, *text++);
        }
    }
}

void tl_build_fill_count(const char *template, int64_t count, struct tl_str *out) {
    json_t *messages = json_loads(template, 0, NULL);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        struct tl_str text = TL_STR_INIT;
        put_count(json_string_value(json_array_get(json_array_get(messages, i), 1)), count, &text);
        json_array_set_new(json_array_get(messages, i), 1, json_stringn(text.data, text.length));
        tl_str_fini(&text);
    }
    char *dumped = json_dumps(messages, JSON_COMPACT);
    tl_str_puts(out, dumped);
    free(dumped);
    json_decref(messages);
}

static struct tl_ref add_numbers(const struct tl_step *step, struct tl_body *body, int64_t count) {
    struct tl_str values = TL_STR_INIT;
    for (int64_t i = 1; i <= count; i++)
        tl_str_printf(&values, "%s\"%lld\"", i == 1 ? "[" : ",", (long long)i);
    tl_str_putc(&values, ']');
    struct tl_node *numbers = tl_build_node(step, body, TL_OP_CONSTANT, "numbers", 0, TL_ROLE_COUNT);
    tl_build_set_string(numbers, "values", values.data);
    tl_str_fini(&values);
    tl_build_finish(numbers);
    return tl_graph_add_output(numbers, "values", TL_TYPE_OF(TEXT, 1));
}

/* One line of at most item_tokens. */
static void bound_item(const struct tl_step *step, struct tl_node *decode) {
    int64_t most = tl_step_value(step, "max_tokens")->integer, item = tl_step_value(step, "item_tokens")->integer;
    tl_build_set_integer(decode, "max_tokens", item < most ? item : most);
    const char *written = tl_step_value(step, "stop")->string;
    json_t *stop = json_loads(written != NULL ? written : "[]", 0, NULL);
    json_array_append_new(stop, json_string("\n"));
    char *dumped = json_dumps(stop, JSON_COMPACT);
    tl_build_set_string(decode, "stop", dumped);
    free(dumped);
    json_decref(stop);
}

struct tl_ref tl_build_parallel(const struct tl_step *step, struct tl_body *root, const struct tl_build_list *list) {
    struct tl_ref numbers = add_numbers(step, root, list->items);
    struct tl_node *map = tl_build_node(step, root, TL_OP_MAP, "each", 0, TL_ROLE_COUNT);
    tl_graph_connect(map, "items", numbers);
    tl_build_begin_region(map);
    struct tl_body *body = map->regions[0];

    struct tl_str template = TL_STR_INIT;
    tl_build_fill_count(list->template, list->items, &template);
    struct tl_node *render = tl_build_render(step, body, template.data, list->trim);
    for (size_t i = 0; i < list->input_count; i++)
        tl_graph_connect(render, list->names[i], list->inputs[i]);
    if (tl_build_uses(template.data, "number"))
        tl_graph_connect(render, "number", tl_graph_output(body->parameters, 0));
    tl_str_fini(&template);
    struct tl_node *decode = tl_build_decode(step, body, tl_build_prefill(step, render));
    bound_item(step, decode);
    tl_graph_add_result(body, "text", tl_graph_add_output(decode, "text", TL_TYPE_OF(TEXT, 0)));
    struct tl_ref texts = tl_build_end_region(map);

    struct tl_node *distinct = tl_build_node(step, root, TL_OP_AGGREGATE, "distinct", 0, TL_ROLE_COUNT);
    tl_graph_connect(distinct, "texts", texts);
    tl_build_set_string(distinct, "mode", "distinct");
    tl_build_finish(distinct);
    return tl_graph_add_output(distinct, "items", TL_TYPE_OF(TEXT, 1));
}
