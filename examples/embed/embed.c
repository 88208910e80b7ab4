/* embed.c: a program that embeds libteola: asks one question over some documents.
 *
 *     embed WORKFLOW QUESTION PATH...
 *     embed ../../workflows/advanced-rag.yaml "What is a rowid?" /usr/share/doc/sqlite3/rowidtable.html
 *
 * The answer is written as the model makes it; the result, a JSON object with the sources and the
 * times (see teola.h), follows on a line of its own. Exit status 0: answered, 1: failed, 2: wrong use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <teola/teola.h>

/* The workflow's inputs as a JSON object: {"question": ...}. Returns owned, or NULL when memory is short. */
static char *inputs_with(const char *question) {
    static const char head[] = "{\"question\": \"", tail[] = "\"}";
    char *json = malloc(sizeof head + 6 * strlen(question) + sizeof tail);
    if (!json)
        return NULL;

    memcpy(json, head, sizeof head);
    char *out = json + sizeof head - 1;
    for (const char *in = question; *in; in++) {
        unsigned char c = (unsigned char)*in;
        if (c < 0x20)
            out += snprintf(out, 7, "\\u%04x", (unsigned)c);
        else if (c == '"' || c == '\\')
            out += snprintf(out, 3, "\\%c", c);
        else
            *out++ = *in;
    }
    memcpy(out, tail, sizeof tail);
    return json;
}

/* Called on the runtime's own thread for each piece of the answer: quick work only. */
static void write_piece(void *context, tl_run_id run, const char *text, size_t length) {
    (void)run;
    fwrite(text, 1, length, context);
    fflush(context);
}

static enum tl_status ask(struct tl_runtime *runtime, const char *workflow_path, const char *question,
                          const char *const *documents, size_t document_count, struct tl_error *error) {
    tl_workflow_id workflow;
    enum tl_status status = tl_runtime_load_workflow(runtime, workflow_path, &workflow, error);
    if (status != TL_OK)
        return status;

    char *inputs = inputs_with(question);
    if (!inputs) {
        snprintf(error->message, sizeof error->message, "out of memory");
        return TL_ERR_NO_MEMORY;
    }
    struct tl_request request = {
        .size = sizeof request,
        .workflow = workflow,
        .inputs = inputs,
        .documents = documents,
        .document_count = document_count,
        .context = stdout,
        .delta = write_piece,
    };
    tl_run_id run;
    status = tl_runtime_submit(runtime, &request, &run, error);
    free(inputs);
    if (status != TL_OK)
        return status;

    char *result = NULL;
    status = tl_runtime_wait(runtime, run, &result, error);
    if (result)
        printf("\n%s\n", result);
    tl_free(result);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s WORKFLOW QUESTION PATH...\n", argv[0]);
        return 2;
    }
    struct tl_error error = {0};
    struct tl_runtime *runtime = NULL;
    enum tl_status status = tl_runtime_open(NULL, &runtime, &error);
    if (status == TL_OK)
        status = ask(runtime, argv[1], argv[2], (const char *const *)(argv + 3), (size_t)argc - 3, &error);
    tl_runtime_close(runtime);
    if (status != TL_OK) {
        fprintf(stderr, "%s: %s: %s\n", argv[0], tl_status_name(status), error.message);
        return 1;
    }
    return 0;
}
