/* load.c: how much a query brings, for the choice of its plan (choice/choice.h). Files are not read: their sizes say
 * enough. */
#include "base/tokens.h"
#include "runtime/inputs.h"

enum { MOST_TOKENS = 1000000000 };

static uint32_t bounded(double tokens) {
    return tokens < 1 ? 1 : tokens > MOST_TOKENS ? MOST_TOKENS : (uint32_t)tokens;
}

/* Documents of which nothing is known are taken to be like the others; of none of them known, like any query's. */
static void look_at_documents(const struct tl_value *value, struct tl_choice_load *load) {
    const struct tl_list *list = &value->as.list;
    double tokens = 0, known = 0;
    for (size_t i = 0; i < list->count; i++) {
        tokens += (double)tl_value_tokens(list->items[i]);
        known += list->items[i]->as.document.data || list->items[i]->as.document.length > 0;
    }
    if (list->count == 0)
        return;
    load->documents = (uint32_t)list->count;
    load->document_tokens = known > 0 ? bounded(tokens * (double)list->count / known) : 0;
}

void tl_inputs_measure(const struct tl_workflow *workflow, const json_t *inputs, const struct tl_value *documents,
                       struct tl_choice_load *load) {
    *load = (struct tl_choice_load){0};
    for (size_t i = 0; i < tl_workflow_input_count(workflow); i++) {
        const struct tl_workflow_input *input = tl_workflow_input(workflow, i);
        const json_t *json = json_object_get(inputs, input->name);
        struct tl_value *value = NULL;
        if (json_is_string(json) && tl_type_equal(input->type, TL_TYPE_OF(TEXT, 0))) {
            uint32_t tokens = bounded((double)tl_tokens_of_bytes(json_string_length(json)));
            load->text_tokens = tokens > load->text_tokens ? tokens : load->text_tokens;
        } else if (json && tl_type_equal(input->type, TL_TYPE_OF(DOCUMENT, 1)) &&
                   tl_inputs_value(input->name, input->type, json, &value, NULL) == TL_OK) {
            look_at_documents(value, load);
            tl_value_unref(value);
        }
    }
    if (documents)
        look_at_documents(documents, load);
}
