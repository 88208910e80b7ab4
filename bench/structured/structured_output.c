/* structured_output: lists, objects, arrays, choices and calls of tools from a real model, to be checked by another program.
 *
 *     structured_output MODEL.gguf [PROMPTS] [THREADS] [FROM] >lines      500 prompts by default, from number 0
 *     bench/structured/check.py lines...                                  are they valid? how much was forced?
 *
 * Prompts are made of subjects, tasks, styles and their number, so no two are equal; each is asked for one kind of output
 * after the other, half of them at temperature 1. A line is JSON: what was asked for as a JSON Schema, what came out, and
 * the counters; what is forced goes in together, so that these do not depend on what calls take. Nothing is checked here.
 * Several processes may share the work by FROM. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "engine/call.h"

/* What is asked for. */
struct kind {
    const char *name;
    const char *task;   /* of subject, style, number */
    const char *format;
    const char *attribute, *value; /* of the decode, JSON */
    int items, least;              /* of a list: `items` and `min_items` */
    const char *schema;            /* of the output, for whoever checks it; NULL: `value` is it */
};

#define TOOLS \
    "[{\"name\":\"search\",\"parameters\":{\"type\":\"object\",\"properties\":{\"query\":{\"type\":\"string\"," \
    "\"minLength\":1,\"maxLength\":60},\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":20}},\"required\":" \
    "[\"query\"]}},{\"name\":\"translate\",\"parameters\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":" \
    "\"string\",\"maxLength\":60},\"to\":{\"enum\":[\"en\",\"fr\",\"de\"]}},\"required\":[\"text\",\"to\"]}}]"

/* The content of a call, and one of the two tools with arguments that fit it. */
#define CALLS \
    "{\"type\":\"object\",\"properties\":{\"content\":{},\"tool_calls\":{\"type\":\"array\",\"minItems\":1," \
    "\"maxItems\":1,\"items\":{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"name\":{\"const\":\"search\"}," \
    "\"arguments\":{\"type\":\"object\",\"properties\":{\"query\":{\"type\":\"string\",\"minLength\":1," \
    "\"maxLength\":60},\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":20}},\"required\":[\"query\"]," \
    "\"additionalProperties\":false}},\"required\":[\"name\",\"arguments\"]},{\"type\":\"object\",\"properties\":" \
    "{\"name\":{\"const\":\"translate\"},\"arguments\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":" \
    "\"string\",\"maxLength\":60},\"to\":{\"enum\":[\"en\",\"fr\",\"de\"]}},\"required\":[\"text\",\"to\"]," \
    "\"additionalProperties\":false}},\"required\":[\"name\",\"arguments\"]}]}}},\"required\":[\"tool_calls\"]}"

#define OBJECT \
    "{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\",\"maxLength\":60},\"year\":{\"type\":" \
    "\"integer\",\"minimum\":1000,\"maximum\":2100},\"kind\":{\"enum\":[\"person\",\"place\",\"thing\"]}," \
    "\"certain\":{\"type\":\"boolean\"},\"note\":{\"type\":[\"string\",\"null\"],\"maxLength\":80}},\"required\":" \
    "[\"title\",\"year\",\"kind\",\"certain\"],\"additionalProperties\":false}"

#define ELEMENT \
    "{\"type\":\"object\",\"properties\":{\"query\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":60}," \
    "\"weight\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1}},\"required\":[\"query\",\"weight\"]," \
    "\"additionalProperties\":false}"

#define TEXTS "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":1},"

static const struct kind kinds[] = {
    {.name = "list of 3 texts",
     .task = "Give three search queries about %s as a JSON list.%s (%zu)",
     .format = "list",
     .items = 3,
     .least = 3,
     .schema = TEXTS "\"minItems\":3,\"maxItems\":3}"},
    {.name = "list of 2 to 5 texts",
     .task = "Give search queries about %s as a JSON list.%s (%zu)",
     .format = "list",
     .items = 5,
     .least = 2,
     .schema = TEXTS "\"minItems\":2,\"maxItems\":5}"},
    {.name = "object of 4 or 5 members",
     .task = "Describe one thing about %s as JSON with title, year, kind.%s (%zu)",
     .format = "json",
     .attribute = "schema",
     .value = OBJECT},
    {.name = "array of 1 to 3 objects",
     .task = "Give search queries with weights about %s as a JSON array.%s (%zu)",
     .format = "json",
     .attribute = "schema",
     .value = "{\"type\":\"array\",\"minItems\":1,\"maxItems\":3,\"items\":" ELEMENT "}"},
    {.name = "array of 2 objects",
     .task = "Give two search queries with weights about %s as a JSON array.%s (%zu)",
     .format = "json",
     .attribute = "schema",
     .value = "{\"type\":\"array\",\"minItems\":2,\"maxItems\":2,\"items\":" ELEMENT "}"},
    {.name = "one of 4 texts",
     .task = "Is %s a person, a place or a thing?%s (%zu)",
     .format = "choice",
     .attribute = "choices",
     .value = "[\"a person\",\"a place\",\"a thing\",\"none of these\"]",
     .schema = "{\"enum\":[\"a person\",\"a place\",\"a thing\",\"none of these\"]}"},
    {.name = "call of one of 2 tools",
     .task = "Find out about %s. Tools: search(query, limit), translate(text, to).%s (%zu)",
     .format = "tool_call",
     .attribute = "tools",
     .value = TOOLS,
     .schema = CALLS},
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static struct tl_value *prompt(size_t count, const struct kind *kind) {
    static const char *const subjects[] = {"the sea", "bread", "databases", "Ada Lovelace", "a \"quoted\" word",
                                           "C:\\path", "rain in Bergen", "prime numbers", "tea", "the moon"};
    static const char *const styles[] = {"", " Be brief.", " Use long words.", " Answer like a pirate.",
                                         " Write in French.", " Write only digits."};
    char text[256];
    size_t subject = count / KINDS % 10, style = count / (10 * KINDS) % 6;
    int length = snprintf(text, sizeof text, kind->task, subjects[subject], styles[style], count);
    struct tl_prompt_part part = {.role = TL_ROLE_USER, .text = text, .length = (size_t)length};
    return tl_value_prompt(&part, 1);
}

static void set_attributes(struct tl_attributes *attributes, struct tl_arena *arena, const struct kind *kind,
                           size_t count, double temperature) {
    tl_attributes_set_integer(attributes, arena, "max_tokens", 160);
    tl_attributes_set_number(attributes, arena, "temperature", temperature);
    tl_attributes_set_integer(attributes, arena, "seed", (int64_t)count);
    tl_attributes_set_string(attributes, arena, "format", kind->format);
    if (kind->attribute)
        tl_attributes_set_string(attributes, arena, kind->attribute, kind->value);
    if (kind->items > 0) {
        tl_attributes_set_integer(attributes, arena, "items", kind->items);
        tl_attributes_set_integer(attributes, arena, "min_items", kind->least);
    }
}

static void put_line(const struct kind *kind, size_t count, double temperature, const struct tl_value *output,
                     const struct tl_usage *usage, const char *failure) {
    json_t *line = json_pack("{s:s, s:I, s:f, s:o, s:s*, s:s, s:I, s:I, s:I, s:I, s:I}", "kind", kind->name, "prompt",
                             (json_int_t)count, "temperature", temperature, "schema",
                             json_loads(kind->schema ? kind->schema : kind->value, 0, NULL), "failure", failure,
                             "finish", usage->finish ? usage->finish : "", "tokens", (json_int_t)usage->tokens_out,
                             "forced", (json_int_t)usage->tokens_forced, "calls", (json_int_t)usage->calls, "asked",
                             (json_int_t)usage->tokens_asked, "refused", (json_int_t)usage->tokens_refused);
    if (output)
        json_object_set_new(line, "output", tl_value_to_json(output));
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
}

static void ask(struct tl_engine_caller *caller, size_t count) {
    const struct kind *kind = &kinds[count % KINDS];
    double temperature = (double)(count / KINDS % 2);
    struct tl_arena arena;
    struct tl_attributes attributes = {0};
    struct tl_usage usage = {0};
    struct tl_error error = {0};
    tl_arena_init(&arena);
    set_attributes(&attributes, &arena, kind, count, temperature);
    struct tl_value *asked = prompt(count, kind), *kv = NULL, *output = NULL;
    enum tl_status status = tl_engine_call(caller, TL_OP_PREFILL, NULL, &asked, 1, &kv, NULL, &error);
    if (status == TL_OK)
        status = tl_engine_call(caller, TL_OP_DECODE, &attributes, &kv, 1, &output, &usage, &error);
    put_line(kind, count, temperature, output, &usage, status == TL_OK ? NULL : error.message);
    tl_value_unref(output);
    tl_value_unref(kv);
    tl_value_unref(asked);
    tl_arena_fini(&arena);
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "usage: structured_output MODEL.gguf [PROMPTS] [THREADS] [FROM] >lines\n");
        return 2;
    }
    size_t prompts = count > 2 ? strtoul(arguments[2], NULL, 10) : 500;
    int threads = count > 3 ? atoi(arguments[3]) : 0;
    size_t from = count > 4 ? strtoul(arguments[4], NULL, 10) : 0;
    struct tl_engine_caller *caller = NULL;
    struct tl_error error = {0};
    json_t *settings = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "model", arguments[1], "threads", threads,
                                 "context_size", 512, "parallel", 2, "reserve", 200, "jump_forward", 1);
    enum tl_status status = tl_engine_caller_open("llama", settings, &caller, &error);
    json_decref(settings);
    for (size_t i = from; status == TL_OK && i < from + prompts; i++)
        ask(caller, i);
    tl_engine_caller_close(caller);
    if (status != TL_OK)
        fprintf(stderr, "structured_output: %s\n", error.message);
    return status == TL_OK ? 0 : 1;
}
