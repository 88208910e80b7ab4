/* structured_output: lists and objects by a schema from a real model: are they all valid, and how many of their tokens
 * does the format write by itself?
 *
 *     structured_output MODEL.gguf [PROMPTS] [THREADS]      500 prompts by default, half of them at temperature 1
 *
 * Prompts are made of subjects, tasks and styles, so no two are equal; each is asked for a list of texts, for an object
 * and for an array of objects in turn. What comes out is checked here, member by member, and not by what wrote it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "engine/call.h"

enum { LIST,
       OBJECT,
       ARRAY,
       KINDS };
static const char *const kind_names[KINDS] = {"list of 3 texts", "object", "array of objects"};

static const char object_schema[] =
    "{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\",\"maxLength\":60},"
    "\"year\":{\"type\":\"integer\",\"minimum\":1000,\"maximum\":2100},\"kind\":{\"enum\":[\"person\",\"place\","
    "\"thing\"]},\"certain\":{\"type\":\"boolean\"},\"note\":{\"type\":[\"string\",\"null\"],\"maxLength\":80}},"
    "\"required\":[\"title\",\"year\",\"kind\",\"certain\"],\"additionalProperties\":false}";
static const char array_schema[] =
    "{\"type\":\"array\",\"minItems\":1,\"maxItems\":3,\"items\":{\"type\":\"object\",\"properties\":"
    "{\"query\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":60},"
    "\"weight\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1}},\"required\":[\"query\",\"weight\"]}}";

struct tally {
    size_t asked, valid, cut; /* cut: ended by max_tokens, and closed */
    uint64_t tokens, forced;
};

/* ---- checking what came out ---- */

static bool is_short_text(const json_t *json, size_t most) {
    size_t characters = 0;
    for (const char *at = json_string_value(json); at && *at; at++)
        characters += ((unsigned char)*at & 0xc0) != 0x80;
    return json_is_string(json) && characters <= most;
}

static bool is_object(const json_t *json) {
    const json_t *year = json_object_get(json, "year"), *kind = json_object_get(json, "kind"),
                 *note = json_object_get(json, "note");
    bool known = json_is_string(kind) && (strcmp(json_string_value(kind), "person") == 0 ||
                                          strcmp(json_string_value(kind), "place") == 0 ||
                                          strcmp(json_string_value(kind), "thing") == 0);
    bool dated = json_is_integer(year) && json_integer_value(year) >= 1000 && json_integer_value(year) <= 2100;
    bool noted = !note || json_is_null(note) || is_short_text(note, 80);
    return known && dated && noted && json_object_size(json) == (size_t)(note ? 5 : 4) &&
           is_short_text(json_object_get(json, "title"), 60) && json_is_boolean(json_object_get(json, "certain"));
}

static bool is_element(const json_t *json) {
    const json_t *weight = json_object_get(json, "weight");
    return json_object_size(json) == 2 && is_short_text(json_object_get(json, "query"), 60) &&
           json_string_length(json_object_get(json, "query")) > 0 && json_is_number(weight) &&
           json_number_value(weight) >= 0 && json_number_value(weight) <= 1;
}

static bool is_valid(int kind, const struct tl_value *value, bool cut) {
    if (kind == OBJECT)
        return value->type.base == TL_TYPE_JSON && is_object(value->as.json);
    size_t count = value->as.list.count;
    if (kind == LIST ? count > 3 || (count < 3 && !cut) : count < 1 || count > 3)
        return false;
    for (size_t i = 0; i < count; i++)
        if (kind == LIST ? value->as.list.items[i]->as.text.length == 0 : !is_element(value->as.list.items[i]->as.json))
            return false;
    return true;
}

/* ---- asking ---- */

static struct tl_value *prompt(size_t number, int kind) {
    static const char *const subjects[] = {"the sea", "bread", "databases", "Ada Lovelace", "a \"quoted\" word",
                                           "C:\\path", "rain in Bergen", "prime numbers", "tea", "the moon"};
    static const char *const styles[] = {"", " Be brief.", " Use long words.", " Answer like a pirate.",
                                         " Write in French.", " Write only digits."};
    static const char *const tasks[KINDS] = {"Give three search queries about %s as a JSON list.%s (%zu)",
                                             "Describe one thing about %s as JSON with title, year, kind.%s (%zu)",
                                             "Give search queries with weights about %s as a JSON array.%s (%zu)"};
    char text[256];
    size_t subject = number / KINDS % 10, style = number / (10 * KINDS) % 6;
    int length = snprintf(text, sizeof text, tasks[kind], subjects[subject], styles[style], number);
    struct tl_prompt_part part = {.role = TL_ROLE_USER, .text = text, .length = (size_t)length};
    return tl_value_prompt(&part, 1);
}

static enum tl_status ask(struct tl_engine_caller *caller, size_t number, struct tally *tallies,
                          struct tl_error *error) {
    int kind = (int)(number % KINDS);
    struct tl_arena arena;
    struct tl_attributes attributes = {0};
    struct tl_usage usage;
    tl_arena_init(&arena);
    tl_attributes_set_integer(&attributes, &arena, "max_tokens", 160);
    tl_attributes_set_number(&attributes, &arena, "temperature", (double)(number / KINDS % 2));
    tl_attributes_set_integer(&attributes, &arena, "seed", (int64_t)number);
    tl_attributes_set_string(&attributes, &arena, "format", kind == LIST ? "list" : "json");
    if (kind != LIST)
        tl_attributes_set_string(&attributes, &arena, "schema", kind == OBJECT ? object_schema : array_schema);
    struct tl_value *asked = prompt(number, kind), *kv = NULL, *output = NULL;
    enum tl_status status = tl_engine_call(caller, TL_OP_PREFILL, NULL, &asked, 1, &kv, NULL, error);
    if (status == TL_OK)
        status = tl_engine_call(caller, TL_OP_DECODE, &attributes, &kv, 1, &output, &usage, error);
    if (status == TL_OK) {
        bool cut = strcmp(usage.finish, "length") == 0;
        struct tally *tally = &tallies[kind];
        tally->asked++;
        tally->valid += is_valid(kind, output, cut);
        tally->cut += cut;
        tally->tokens += usage.tokens_out;
        tally->forced += usage.tokens_forced;
    }
    tl_value_unref(output);
    tl_value_unref(kv);
    tl_value_unref(asked);
    tl_arena_fini(&arena);
    return status;
}

static bool report(const struct tally *tallies) {
    bool all = true;
    printf("%-18s %7s %7s %7s %10s %10s %7s\n", "", "asked", "valid", "cut", "tokens", "forced", "share");
    for (int kind = 0; kind < KINDS; kind++) {
        const struct tally *tally = &tallies[kind];
        double share = tally->tokens ? 100.0 * (double)tally->forced / (double)tally->tokens : 0;
        printf("%-18s %7zu %7zu %7zu %10" PRIu64 " %10" PRIu64 " %6.1f%%\n", kind_names[kind], tally->asked,
               tally->valid, tally->cut, tally->tokens, tally->forced, share);
        all = all && tally->valid == tally->asked;
    }
    return all;
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "usage: structured_output MODEL.gguf [PROMPTS] [THREADS]\n");
        return 2;
    }
    size_t prompts = count > 2 ? strtoul(arguments[2], NULL, 10) : 500;
    int threads = count > 3 ? atoi(arguments[3]) : 0;
    struct tally tallies[KINDS] = {{0, 0, 0, 0, 0}};
    struct tl_engine_caller *caller = NULL;
    struct tl_error error = {0};
    json_t *settings = json_pack("{s:s, s:i, s:i, s:i, s:i}", "model", arguments[1], "threads", threads, "context_size",
                                 512, "parallel", 2, "reserve", 200);
    enum tl_status status = tl_engine_caller_open("llama", settings, &caller, &error);
    json_decref(settings);
    uint64_t begin = tl_clock_now();
    for (size_t i = 0; status == TL_OK && i < prompts; i++)
        status = ask(caller, i, tallies, &error);
    tl_engine_caller_close(caller);
    if (status != TL_OK) {
        fprintf(stderr, "structured_output: %s\n", error.message);
        return 1;
    }
    bool all = report(tallies);
    printf("%.1f s\n", (double)(tl_clock_now() - begin) / 1e9);
    return all ? 0 : 1;
}
