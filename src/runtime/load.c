/* load.c: how much a query brings, for the choice of its plan (choice/choice.h). Files are not read: their sizes say
 * enough. */
#include <sys/stat.h>

#include "runtime/inputs.h"

enum { BYTES_PER_TOKEN = 4,
       MOST_LOOKED_AT = 64 }; /* files; of more it is taken that they are alike */

static double bytes_of(const struct tl_document *document) {
    struct stat about;
    if (document->data)
        return (double)document->length;
    return stat(document->uri, &about) == 0 ? (double)about.st_size : 0;
}

static uint32_t tokens_of(double bytes) {
    double tokens = bytes / BYTES_PER_TOKEN;
    return tokens < 1 ? 1 : tokens > 1e9 ? 1000000000 : (uint32_t)tokens;
}

static void look_at_documents(const struct tl_value *value, struct tl_choice_load *load) {
    const struct tl_list *list = &value->as.list;
    size_t looked = list->count < MOST_LOOKED_AT ? list->count : MOST_LOOKED_AT;
    double bytes = 0;
    for (size_t i = 0; i < looked; i++)
        bytes += bytes_of(&list->items[i]->as.document);
    if (looked == 0)
        return;
    load->documents = (uint32_t)list->count;
    load->document_tokens = tokens_of(bytes * (double)list->count / (double)looked);
}

void tl_inputs_measure(const struct tl_workflow *workflow, const json_t *inputs, const struct tl_value *documents,
                       struct tl_choice_load *load) {
    *load = (struct tl_choice_load){0};
    for (size_t i = 0; i < tl_workflow_input_count(workflow); i++) {
        const struct tl_workflow_input *input = tl_workflow_input(workflow, i);
        const json_t *json = json_object_get(inputs, input->name);
        struct tl_value *value = NULL;
        if (json_is_string(json) && tl_type_equal(input->type, TL_TYPE_OF(TEXT, 0))) {
            uint32_t tokens = tokens_of((double)json_string_length(json));
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
