/* tools_test.c: calls in the words of each family, and what only looks like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "schema/tools.h"

static json_t *tools;

static int open_tools(void **state) {
    (void)state;
    tools = json_loads("[{\"type\":\"function\",\"function\":{\"name\":\"weather\"}},{\"name\":\"now\"}]", 0, NULL);
    return tools == NULL;
}

static int close_tools(void **state) {
    (void)state;
    json_decref(tools);
    return 0;
}

static void expect(const char *text, const char *content, const char *calls) {
    json_t *found = tl_tools_read(text, strlen(text), tools), *expected = json_loads(calls, 0, NULL);
    if (!json_equal(json_object_get(found, "tool_calls"), expected)) {
        char *dumped = json_dumps(found, 0);
        fail_msg("%s gives %s", text, dumped);
    }
    assert_string_equal(json_string_value(json_object_get(found, "content")), content);
    json_decref(found);
    json_decref(expected);
}

#define PARIS "[{\"name\":\"weather\",\"arguments\":{\"city\":\"Paris\"}}]"
#define BOTH "[{\"name\":\"weather\",\"arguments\":{\"city\":\"Paris\"}},{\"name\":\"now\",\"arguments\":{}}]"

static void test_families(void **state) {
    (void)state;
    expect("<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>", "", PARIS);
    expect("Let me see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>\n"
           "<tool_call>\n{\"name\": \"now\"}", /* the end was cut off */
           "Let me see.", BOTH);
    expect("[TOOL_CALLS][{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}, {\"name\": \"now\", "
           "\"arguments\": {}}]",
           "", BOTH);
    expect("[TOOL_CALLS]weather[ARGS]{\"city\": \"Paris\"}[TOOL_CALLS]now{}", "", BOTH);
    expect("{\"name\": \"weather\", \"parameters\": {\"city\": \"Paris\"}}", "", PARIS);
    expect("<|python_tag|>{\"name\": \"weather\", \"parameters\": {\"city\": \"Paris\"}}; {\"name\": \"now\"}", "",
           BOTH);
    expect("```json\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Paris\"}}\n```", "", PARIS);
    expect("[{\"function\": {\"name\": \"weather\", \"arguments\": \"{\\\"city\\\": \\\"Paris\\\"}\"}}]", "", PARIS);
}

static void test_text_stays_text(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "It is warm.",
        "{\"name\": \"other\", \"arguments\": {}}",
        "{\"name\": \"weather\", \"arguments\": [1]}",
        "<tool_call>{\"name\": \"weather\"",
        "use [TOOL_CALLS] for this",
        "{\"name\": \"now\"} is how a call looks",
        "[1, 2]",
        " <tool_call></tool_call>",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect(texts[i], texts[i], "[]");
}

static void test_styles(void **state) {
    (void)state;
    assert_int_equal(tl_tools_style_of(NULL), TL_TOOLS_PLAIN);
    assert_int_equal(tl_tools_style_of("{{ '<tool_call>' }}"), TL_TOOLS_HERMES);
    assert_int_equal(tl_tools_style_of("{{ '[TOOL_CALLS]' }}"), TL_TOOLS_MISTRAL);
    assert_int_equal(tl_tools_style_of("<|start_header_id|>"), TL_TOOLS_LLAMA);
    assert_int_equal(tl_tools_style_of("<|im_start|>"), TL_TOOLS_PLAIN);
    assert_string_equal(tl_tools_opening(TL_TOOLS_HERMES), "<tool_call>\n");
    assert_string_equal(tl_tools_arguments(TL_TOOLS_LLAMA), "parameters");
}

/* Pieces of all styles put together at random are read without harm, and nothing but tools is called. */
static void test_rubbish(void **state) {
    (void)state;
    static const char *const pieces[] = {"<tool_call>", "</tool_call>", "[TOOL_CALLS]", "<|python_tag|>", "[ARGS]", "{",
                                         "}", "[", "]", "\"name\"", ":", "\"weather\"", "weather", "```json\n", "```",
                                         ",", ";", " ", "{\"name\": \"now\"}", "\"arguments\"", "{}", "\\", "\xc3"};
    uint64_t random = 1;
    for (int i = 0; i < 20000; i++) {
        char text[512] = "";
        size_t length = 0;
        for (int k = 0; k < 12; k++) {
            random = tl_hash_u64(random, 1);
            const char *piece = pieces[random % (sizeof pieces / sizeof pieces[0])];
            memcpy(text + length, piece, strlen(piece) + 1);
            length += strlen(piece);
        }
        json_t *found = tl_tools_read(text, length, tools), *call;
        size_t at;
        json_array_foreach(json_object_get(found, "tool_calls"), at, call) {
            const char *name = json_string_value(json_object_get(call, "name"));
            assert_true(strcmp(name, "now") == 0 || strcmp(name, "weather") == 0);
            assert_true(json_is_object(json_object_get(call, "arguments")));
        }
        json_decref(found);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_text_stays_text),
        cmocka_unit_test(test_styles),
        cmocka_unit_test(test_rubbish),
    };
    return cmocka_run_group_tests(tests, open_tools, close_tools);
}
