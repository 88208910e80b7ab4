/* schema_test.c: what is forced, what is free, what is refused; and by random writing that every text is
 * valid JSON for its schema by a naive validator, that no state is a dead end, and that every beginning
 * can be closed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "schema/schema.h"

static struct tl_schema *compiled(const char *text) {
    json_error_t where;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &where);
    if (!json)
        fail_msg("%s: %s", text, where.text);
    struct tl_schema *schema;
    struct tl_error error;
    if (tl_schema_compile(json, "schema", &schema, &error) != TL_OK)
        fail_msg("%s", error.message);
    json_decref(json);
    return schema;
}

/* Writes the text, then what is forced, to `out`; false at the first byte that is refused. */
static bool write_text(struct tl_schema_state *state, const char *text, struct tl_str *out) {
    for (; *text; text++) {
        if (!tl_schema_put(state, (unsigned char)*text))
            return false;
        tl_str_putc(out, *text);
    }
    for (int byte; (byte = tl_schema_forced(state)) >= 0;) {
        assert_true(tl_schema_put(state, (unsigned char)byte));
        tl_str_putc(out, (char)byte);
    }
    return true;
}

/* The pieces of `free`, separated by '|', each followed by what is forced, give `expected`, which is complete. */
static void expect_forced(const char *schema_text, const char *free_text, const char *expected) {
    struct tl_schema *schema = compiled(schema_text);
    struct tl_schema_state state;
    struct tl_str out = TL_STR_INIT;
    tl_schema_state_init(&state, schema);
    assert_true(write_text(&state, "", &out));
    char *pieces = strdup(free_text), *at = pieces;
    while (at) {
        char *end = strchr(at, '|');
        if (end)
            *end++ = '\0';
        if (!write_text(&state, at, &out))
            fail_msg("refused '%s' behind '%s'", at, out.data);
        at = end;
    }
    assert_string_equal(out.data, expected);
    assert_true(tl_schema_has_ended(&state));
    free(pieces);
    tl_str_fini(&out);
    tl_schema_state_fini(&state);
    tl_schema_free(schema);
}

static void test_structure_is_forced(void **test) {
    (void)test;
    expect_forced("{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\"}},"
                  "\"required\":[\"name\",\"age\"],\"additionalProperties\":false}",
                  "Ada\"|36}", "{\"name\": \"Ada\", \"age\": 36}");
    /* What is left out is the writer's choice; what is not, is not. */
    const char *optional = "{\"properties\":{\"a\":{\"const\":1},\"b\":{\"enum\":[true]},\"c\":{\"type\":\"null\"}},"
                           "\"required\":[\"b\"]}";
    expect_forced(optional, "b|}", "{\"b\": true}");
    expect_forced(optional, "a|,", "{\"a\": 1, \"b\": true, \"c\": null}");
}

/* ---- what is taken and what is refused, where nothing is forced ---- */

/* Whether the whole text may be written and be the end. */
static bool takes(const struct tl_schema *schema, const char *text) {
    struct tl_schema_state state;
    tl_schema_state_init(&state, schema);
    bool good = true;
    for (const char *at = text; good && *at; at++)
        good = tl_schema_put(&state, (unsigned char)*at);
    good = good && tl_schema_may_end(&state);
    tl_schema_state_fini(&state);
    return good;
}

static void expect_taken(const char *schema_text, const char *const *good, const char *const *bad) {
    struct tl_schema *schema = compiled(schema_text);
    for (; *good; good++)
        if (!takes(schema, *good))
            fail_msg("%s does not take %s", schema_text, *good);
    for (; *bad; bad++)
        if (takes(schema, *bad))
            fail_msg("%s takes %s", schema_text, *bad);
    tl_schema_free(schema);
}

#define TAKEN(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_numbers(void **test) {
    (void)test;
    expect_taken("{\"type\":\"integer\"}", TAKEN("0", "7", "-12", "999999999999999"),
                 TAKEN("-0", "007", "1.5", "1e3", "1000000000000000", "", "-"));
    expect_taken("{\"type\":\"integer\",\"minimum\":-3,\"maximum\":120}", TAKEN("-3", "0", "99", "120"),
                 TAKEN("-4", "121", "130", "-30"));
    expect_taken("{\"type\":\"integer\",\"exclusiveMinimum\":17.5,\"exclusiveMaximum\":20}", TAKEN("18", "19"),
                 TAKEN("17", "20", "2"));
    expect_taken("{\"type\":\"number\",\"minimum\":0.1,\"maximum\":0.25}", TAKEN("0.1", "0.25", "0.249999", "0.100"),
                 TAKEN("0", "0.09", "0.3", "0.250001", "1"));
    expect_taken("{\"type\":\"number\",\"exclusiveMinimum\":-1,\"exclusiveMaximum\":0}", TAKEN("-0.5", "-0.000001"),
                 TAKEN("-1", "-0", "0", "-0.0", "-1.0"));
    expect_taken("{\"type\":\"number\"}", TAKEN("3.141592", "-2.5", "0.0", "123456789012.000001"),
                 TAKEN("1.", ".5", "1.1234567", "1e5", "1234567890123"));
    expect_taken("{\"type\":\"integer\",\"minimum\":0}", TAKEN("0", "10"), TAKEN("-", "-1"));
    struct tl_schema *schema = compiled("{\"type\":\"number\",\"minimum\":0}");
    struct tl_schema_state state;
    tl_schema_state_init(&state, schema);
    assert_false(tl_schema_put(&state, '-')); /* there is no way on from it */
    tl_schema_state_fini(&state);
    tl_schema_free(schema);
    expect_forced("{\"type\":\"integer\",\"minimum\":5,\"maximum\":5}", "", "5");
    expect_forced("{\"type\":\"integer\",\"minimum\":-77,\"maximum\":-70}", "5", "-75");
}

static void test_strings(void **test) {
    (void)test;
    expect_taken("{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
                 TAKEN("\"ab\"", "\"\xc3\xa9\xf0\x9f\x98\x80\"", "\"\\n\\u00e9x\""), TAKEN("\"a\"", "\"abcd\"", "ab"));
    expect_taken("{\"type\":\"string\"}", TAKEN("\"\"", "\"\\\\\"", "\"a\\\"b\"", "\"\\uD7ff\""),
                 TAKEN("\"\n\"", "\"\\x\"", "\"\\u0000\"", "\"\\ud800\"", "\"\xed\xa0\x80\"", "\"\xc0\xaf\"",
                       "\"\xff\"", "\"\x7f\"", "\"open"));
    expect_taken("{\"enum\":[\"a\",\"ab\",3,null,{\"k\":[1,2]}]}",
                 TAKEN("\"a\"", "\"ab\"", "3", "null", "{\"k\": [1, 2]}"),
                 TAKEN("\"abc\"", "\"", "4", "{\"k\":[1,2]}"));
    expect_taken("{\"enum\":[1,12,0.1]}", TAKEN("1", "12", "0.1"), TAKEN("2", "0", "123"));
}

static void test_arrays_and_members(void **test) {
    (void)test;
    expect_taken("{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":3}",
                 TAKEN("[1]", "[1, 22, 3]"), TAKEN("[]", "[1,2]", "[1, 2, 3, 4]", "[1, ]", "[1 ]"));
    expect_taken("{\"type\":\"array\",\"maxItems\":0}", TAKEN("[]"), TAKEN("[1]"));
    expect_taken("{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}}}",
                 TAKEN("{}", "{\"a\": 1}", "{\"b\": 2}", "{\"a\": 1, \"b\": 2}"),
                 TAKEN("{\"b\": 1, \"a\": 2}", "{\"c\": 1}", "{, \"a\": 1}", "{\"a\": 1, }"));
    expect_taken("{\"type\":\"object\",\"additionalProperties\":{\"type\":\"boolean\"}}",
                 TAKEN("{}", "{\"x\": true, \"y\": false}"), TAKEN("{\"\": true}", "{\"x\": 1}", "{\"x\":true}"));
    expect_taken("{\"type\":\"object\",\"additionalProperties\":false}", TAKEN("{}"), TAKEN("{\"x\": 1}"));
    expect_taken("{}", TAKEN("null", "[1, {\"a\": [true, \"x\"]}]", "{}", "-1.5", "[]"), TAKEN("nil", "[1,2]"));
    expect_taken("{\"type\":[\"string\",\"null\"]}", TAKEN("null", "\"x\""), TAKEN("1"));
}

static void test_alternatives(void **test) {
    (void)test;
    const char *shapes = "{\"anyOf\":[{\"properties\":{\"kind\":{\"const\":\"circle\"},\"r\":{\"type\":\"number\"}},"
                         "\"required\":[\"kind\",\"r\"]},{\"properties\":{\"kind\":{\"const\":\"square\"},\"side\":"
                         "{\"type\":\"number\"}},\"required\":[\"kind\",\"side\"]}]}";
    expect_forced(shapes, "s|3}", "{\"kind\": \"square\", \"side\": 3}");
    expect_taken(shapes, TAKEN("{\"kind\": \"circle\", \"r\": 0.5}"), TAKEN("{\"kind\": \"circle\", \"side\": 1}"));
    /* Several numbers that may all go on are one reading when they are over. */
    expect_taken("{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}}",
                 TAKEN("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]", "[1.5, 2]"), TAKEN("[1,2]"));
}

static void test_recursion_ends(void **test) {
    (void)test;
    const char *tree = "{\"$ref\":\"#/$defs/node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"value\":"
                       "{\"type\":\"integer\"},\"left\":{\"$ref\":\"#/$defs/node\"}},\"required\":[\"value\"]}}}";
    expect_taken(tree, TAKEN("{\"value\": 1}", "{\"value\": 1, \"left\": {\"value\": 2}}"), TAKEN("{\"left\": 1}"));
    /* At the last level the member that would go deeper is not offered any more. */
    struct tl_schema *schema = compiled(tree);
    struct tl_schema_state state;
    struct tl_str out = TL_STR_INIT;
    tl_schema_state_init(&state, schema);
    int levels = 0;
    assert_true(write_text(&state, "", &out));
    for (; levels < 100 && !tl_schema_has_ended(&state); levels++) {
        assert_true(write_text(&state, "1", &out));
        struct tl_schema_bytes next;
        tl_schema_next(&state, &next);
        assert_true(write_text(&state, tl_schema_bytes_has(&next, ',') ? "," : "}", &out));
    }
    assert_int_equal(levels, TL_SCHEMA_NESTING - 1);
    assert_true(tl_schema_has_ended(&state));
    tl_str_fini(&out);
    tl_schema_state_fini(&state);
    tl_schema_free(schema);
}

static void test_errors_name_the_place(void **test) {
    (void)test;
    static const char *const wrong[][3] = {
        {"{\"type\":\"object\",\"properties\":{\"age\":{\"type\":\"int\"}}}", "schema.properties.age.type:", "int"},
        {"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"a*\"}}", "schema.items:", "pattern"},
        {"{\"type\":\"array\",\"minItems\":3,\"maxItems\":2}", "schema:", "minItems"},
        {"{\"type\":\"string\",\"minLength\":-1}", "schema.minLength:", "whole number"},
        {"{\"type\":\"integer\",\"minimum\":2.1,\"maximum\":2.9}", "schema:", "bounds"},
        {"{\"type\":\"integer\",\"minimum\":1e300}", "schema:", "bounds"},
        {"{\"anyOf\":[]}", "schema.anyOf:", "1 to"},
        {"{\"anyOf\":[{\"type\":\"null\"},7]}", "schema.anyOf[1]:", "object"},
        {"{\"$ref\":\"#/$defs/none\"}", "schema.$ref:", "#/$defs/none"},
        {"{\"$ref\":\"#\"}", "schema:", "contains itself"},
        {"{\"properties\":{\"next\":{\"$ref\":\"#\"}},\"required\":[\"next\"]}", "schema:", "contains itself"},
        {"{\"properties\":{\"a\":{}},\"required\":[\"b\"]}", "schema.required[0]:", "properties"},
        {"{\"enum\":[]}", "schema.enum:", "1 to"},
        {"{\"type\":\"string\",\"enum\":[\"a\",1]}", "schema.enum[1]:", "type"},
        {"{\"$ref\":\"#/$defs/a\",\"type\":\"string\",\"$defs\":{\"a\":{}}}", "schema:", "beside"},
        {"{\"minLength\":2}", "schema:", "without 'type'"},
        {"{\"type\":[]}", "schema.type:", "types"},
        {"[]", "schema:", "object"},
        {"false", "schema:", "object"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        json_t *json = json_loads(wrong[i][0], JSON_DECODE_ANY, NULL);
        struct tl_schema *schema;
        struct tl_error error;
        assert_int_equal(tl_schema_compile(json, "schema", &schema, &error), TL_ERR_INVALID);
        assert_null(schema);
        if (strncmp(error.message, wrong[i][1], strlen(wrong[i][1])) != 0 || !strstr(error.message, wrong[i][2]))
            fail_msg("%s: %s", wrong[i][0], error.message);
        json_decref(json);
    }
}

static void test_too_large_is_refused(void **test) {
    (void)test;
    struct tl_str deep = TL_STR_INIT, wide = TL_STR_INIT;
    for (int i = 0; i < 30; i++)
        tl_str_puts(&deep, "{\"type\":\"array\",\"minItems\":1,\"items\":");
    tl_str_puts(&deep, "{\"type\":\"null\"}");
    for (int i = 0; i < 30; i++)
        tl_str_putc(&deep, '}');
    tl_str_puts(&wide, "{\"properties\":{\"p\":{}");
    for (int i = 0; i < 64; i++)
        tl_str_printf(&wide, ",\"p%d\":{}", i);
    tl_str_puts(&wide, "}}");
    const char *const texts[] = {deep.data, wide.data};
    for (size_t i = 0; i < 2; i++) {
        json_t *json = json_loads(texts[i], 0, NULL);
        struct tl_schema *schema;
        struct tl_error error;
        assert_non_null(json);
        assert_int_equal(tl_schema_compile(json, "schema", &schema, &error), TL_ERR_INVALID);
        assert_non_null(strstr(error.message, i == 0 ? "31 levels" : "65 properties"));
        json_decref(json);
    }
    tl_str_fini(&deep);
    tl_str_fini(&wide);
}

static void test_choices_and_calls(void **test) {
    (void)test;
    struct tl_schema *schema;
    struct tl_error error;
    assert_int_equal(tl_schema_compile_choice(TAKEN("yes", "yes, please", "no"), 3, &schema, &error), TL_OK);
    assert_true(takes(schema, "yes") && takes(schema, "yes, please") && takes(schema, "no"));
    assert_false(takes(schema, "ye") || takes(schema, "yes,") || takes(schema, "nope"));
    struct tl_schema_state state;
    tl_schema_state_init(&state, schema);
    assert_true(tl_schema_put(&state, 'n'));
    assert_int_equal(tl_schema_forced(&state), 'o');
    tl_schema_state_fini(&state);
    tl_schema_free(schema);
    assert_int_equal(tl_schema_compile_choice(TAKEN(""), 1, &schema, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "choices[0]"));

    json_t *tools = json_loads(
        "[{\"type\":\"function\",\"function\":{\"name\":\"add\",\"parameters\":{\"type\":\"object\",\"properties\":"
        "{\"a\":{\"$ref\":\"#/$defs/n\"}},\"required\":[\"a\"],\"$defs\":{\"n\":{\"type\":\"integer\"}}}}},"
        "{\"name\":\"now\"}]",
        0, NULL);
    assert_int_equal(tl_schema_compile_call(tools, "arguments", &schema, &error), TL_OK);
    assert_true(takes(schema, "{\"name\": \"add\", \"arguments\": {\"a\": 3}}"));
    assert_true(takes(schema, "{\"name\": \"now\", \"arguments\": {}}"));
    assert_false(takes(schema, "{\"name\": \"now\", \"arguments\": {\"a\": 3}}"));
    assert_false(takes(schema, "{\"name\": \"other\", \"arguments\": {}}"));
    tl_schema_free(schema);
    json_decref(tools);
    tools = json_loads("[{\"name\":\"x\",\"parameters\":{\"type\":\"nonsense\"}}]", 0, NULL);
    assert_int_equal(tl_schema_compile_call(tools, "arguments", &schema, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "tools[0].parameters.type"));
    json_decref(tools);
}

static void test_settling(void **test) {
    (void)test;
    struct tl_schema *schema = compiled("{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"integer\"]}}");
    struct tl_schema_state state;
    struct tl_str out = TL_STR_INIT;
    tl_schema_state_init(&state, schema);
    assert_true(write_text(&state, "", &out));
    assert_true(write_text(&state, "\"ab", &out));
    assert_false(tl_schema_at_border(&state));
    assert_true(tl_schema_settle(&state, &out)); /* a string gets its quote */
    assert_string_equal(out.data, "[\"ab\"");
    assert_true(tl_schema_at_border(&state) && tl_schema_between_elements(&state));
    assert_int_equal(tl_schema_elements(&state), 1);
    assert_false(tl_schema_settle(&state, &out)); /* an array is not ended by saying no more */
    assert_true(write_text(&state, ", 12", &out));
    assert_int_equal(tl_schema_elements(&state), 1);
    assert_true(tl_schema_settle(&state, &out)); /* a number is over */
    assert_false(tl_schema_put(&state, '3'));
    assert_int_equal(tl_schema_elements(&state), 2);
    assert_true(write_text(&state, "]", &out));
    assert_string_equal(out.data, "[\"ab\", 12]");
    tl_str_fini(&out);
    tl_schema_state_fini(&state);
    tl_schema_free(schema);
}

/* ---- a naive validator ---- */

static bool valid(const json_t *document, const json_t *schema, const json_t *value);

static bool valid_type(const json_t *document, const json_t *schema, const json_t *value, const char *type) {
    const char *name;
    json_t *inner;
    size_t i;
    if (strcmp(type, "null") == 0)
        return json_is_null(value);
    if (strcmp(type, "boolean") == 0)
        return json_is_boolean(value);
    if (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0) {
        double number = json_number_value(value);
        const json_t *low = json_object_get(schema, "minimum"), *high = json_object_get(schema, "maximum");
        return (type[0] == 'i' ? json_is_integer(value) : json_is_number(value)) &&
               (!low || number >= json_number_value(low)) && (!high || number <= json_number_value(high));
    }
    if (strcmp(type, "string") == 0) {
        size_t characters = 0;
        for (const char *at = json_string_value(value); at && *at; at++)
            characters += ((unsigned char)*at & 0xc0) != 0x80;
        const json_t *most = json_object_get(schema, "maxLength");
        return json_is_string(value) &&
               characters >= (size_t)json_integer_value(json_object_get(schema, "minLength")) &&
               (!most || characters <= (size_t)json_integer_value(most));
    }
    if (strcmp(type, "array") == 0) {
        const json_t *items = json_object_get(schema, "items"), *most = json_object_get(schema, "maxItems");
        json_array_foreach((json_t *)value, i, inner) {
            if (items && !valid(document, items, inner))
                return false;
        }
        return json_is_array(value) &&
               json_array_size(value) >= (size_t)json_integer_value(json_object_get(schema, "minItems")) &&
               (!most || json_array_size(value) <= (size_t)json_integer_value(most));
    }
    const json_t *properties = json_object_get(schema, "properties"), *others;
    json_array_foreach(json_object_get(schema, "required"), i, inner) {
        if (!json_object_get(value, json_string_value(inner)))
            return false;
    }
    json_object_foreach((json_t *)value, name, inner) {
        const json_t *its = json_object_get(properties, name);
        others = json_object_get(schema, "additionalProperties");
        if (its ? !valid(document, its, inner) : others && !valid(document, others, inner))
            return false;
    }
    return json_is_object(value);
}

static int steps; /* references followed without a step into the value: a circle of them proves nothing */

static bool valid(const json_t *document, const json_t *schema, const json_t *value) {
    size_t i;
    json_t *inner;
    if (!json_is_object(schema))
        return json_is_true(schema);
    const char *reference = json_string_value(json_object_get(schema, "$ref"));
    if (reference) {
        if (steps == 12)
            return false;
        int before = steps++;
        bool good = valid(document, json_object_get(json_object_get(document, "$defs"), strrchr(reference, '/') + 1),
                          value);
        steps = before;
        return good;
    }
    const json_t *any = json_object_get(schema, "anyOf"), *some = json_object_get(schema, "enum");
    if (any || some) {
        json_array_foreach((json_t *)(any ? any : some), i, inner) {
            if (any ? valid(document, inner, value) : json_equal(inner, (json_t *)value))
                return true;
        }
        return false;
    }
    const json_t *type = json_object_get(schema, "type");
    steps = 0;
    return !type || valid_type(document, schema, value, json_string_value(type));
}

/* ---- random writing ---- */

static uint64_t random_state;

static size_t below(size_t count) {
    random_state = tl_hash_u64(random_state + 1, 3);
    return (size_t)(random_state % count);
}

/* One of the bytes that may come; ends strings now and then, and uses letters more than the rest. */
static unsigned char pick(const struct tl_schema_bytes *next) {
    static const char liked[] = "\"\"\"]},0123456789abcdef\\u.- ";
    if (below(4) > 0) {
        unsigned char byte = (unsigned char)liked[below(sizeof liked - 1)];
        if (tl_schema_bytes_has(next, byte))
            return byte;
    }
    unsigned char byte = (unsigned char)below(256);
    while (!tl_schema_bytes_has(next, byte))
        byte++;
    return byte;
}

/* Writes at most `most` bytes at random, then closes. The result must be valid. */
static void write_at_random(const json_t *document, const struct tl_schema *schema, size_t most) {
    struct tl_schema_state state;
    struct tl_str out = TL_STR_INIT;
    tl_schema_state_init(&state, schema);
    for (size_t i = 0; i < most && !tl_schema_has_ended(&state) && !(tl_schema_may_end(&state) && below(2)); i++) {
        struct tl_schema_bytes next;
        tl_schema_next(&state, &next);
        assert_true(next.words[0] | next.words[1] | next.words[2] | next.words[3]); /* no dead end */
        unsigned char byte = pick(&next);
        assert_true(tl_schema_put(&state, byte));
        tl_str_putc(&out, (char)byte);
        unsigned char refused = (unsigned char)below(256);
        if (!tl_schema_bytes_has(&next, refused) && i % 8 == 0) {
            struct tl_schema_state copy = {0};
            tl_schema_state_copy(&copy, &state);
            tl_schema_next(&state, &next);
            assert_int_equal(tl_schema_put(&copy, refused), tl_schema_bytes_has(&next, refused));
            tl_schema_state_fini(&copy);
        }
    }
    tl_schema_close(&state, &out);
    json_error_t where;
    json_t *value = json_loadb(out.data, out.length, JSON_DECODE_ANY, &where);
    if (!value)
        fail_msg("%s: %s", where.text, out.data);
    if (!valid(document, document, value)) {
        char *text = json_dumps(document, 0);
        fail_msg("not valid for %s:\n%s", text, out.data);
    }
    json_decref(value);
    tl_str_fini(&out);
    tl_schema_state_fini(&state);
}

/* A random schema of the kinds that the validator knows. */
static json_t *random_schema(int levels) {
    static const char *const names[] = {"a", "ab", "b", "name \"x\"", "\xc3\xa9"};
    json_t *made, *inner;
    switch (below(levels > 0 ? 11 : 6)) {
    case 0: return json_pack("{s:s, s:i, s:i}", "type", "string", "minLength", (int)below(3), "maxLength",
                             3 + (int)below(6));
    case 1: {
        int low = (int)below(300) - 150;
        return json_pack("{s:s, s:i, s:i}", "type", "integer", "minimum", low, "maximum", low + (int)below(40));
    }
    case 2: return json_pack("{s:s, s:f}", "type", "number", "minimum", (double)below(1000) / 64 - 8);
    case 3: return json_pack("{s:[s, i, n, s]}", "enum", "a", (int)below(20), "ab");
    case 4: return json_pack("{s:s}", "type", below(2) ? "boolean" : "null");
    case 5: return json_pack("{s:s}", "$ref", below(2) ? "#/$defs/leaf" : "#/$defs/tree");
    case 6: return json_pack("{s:s, s:o, s:i, s:i}", "type", "array", "items", random_schema(levels - 1), "minItems",
                             (int)below(2), "maxItems", 1 + (int)below(3));
    case 7: return json_pack("{s:s, s:o}", "type", "object", "additionalProperties", random_schema(levels - 1));
    case 8: return json_pack("{s:[o, o]}", "anyOf", random_schema(levels - 1), random_schema(levels - 1));
    default:
        made = json_pack("{s:s, s:{}, s:[], s:b}", "type", "object", "properties", "required",
                         "additionalProperties", 0);
        for (size_t i = 0; i < 5; i++) {
            if (below(2))
                continue;
            inner = random_schema(levels - 1);
            json_object_set_new(json_object_get(made, "properties"), names[i], inner);
            if (below(2))
                json_array_append_new(json_object_get(made, "required"), json_string(names[i]));
        }
        return made;
    }
}

static json_t *random_document(void) {
    json_t *document = json_pack("{s:[o, o], s:{s:o, s:o}}", "anyOf", random_schema(3), random_schema(2), "$defs",
                                 "leaf", json_pack("{s:s}", "type", "integer"), "tree", random_schema(2));
    return document;
}

static void test_random_schemas(void **test) {
    (void)test;
    int compiled_count = 0;
    for (int i = 0; i < 400; i++) {
        random_state = (uint64_t)i;
        json_t *document = random_document();
        struct tl_schema *schema;
        struct tl_error error;
        if (tl_schema_compile(document, "schema", &schema, &error) == TL_OK) {
            compiled_count++;
            for (size_t k = 0; k < 10; k++)
                write_at_random(document, schema, k < 5 ? below(60) : 400);
            tl_schema_free(schema);
        } else {
            assert_non_null(strstr(error.message, "contains itself"));
        }
        json_decref(document);
    }
    assert_true(compiled_count > 200);
}

/* Schemas spoilt at random are compiled or refused with a place, and what is compiled can be written. */
static void test_mutated_schemas(void **test) {
    (void)test;
    static const char *const words[] = {"type", "enum", "$ref", "#", "minItems", "properties", "required",
                                        "string", "array", "anyOf", "maxItems", "integer", "minimum", "const"};
    for (int i = 0; i < 1500; i++) {
        random_state = (uint64_t)i * 7919;
        json_t *document = random_document();
        char *text = json_dumps(document, JSON_COMPACT);
        json_decref(document);
        size_t length = strlen(text);
        for (size_t k = 0; k < 1 + below(3); k++) {
            const char *word = words[below(sizeof words / sizeof words[0])];
            char *quote = strchr(text + below(length), '"');
            if (below(3) == 0)
                text[below(length)] = "{}[]\",:0-1tnx"[below(13)];
            else if (quote && strlen(quote + 1) > strlen(word) && quote[1 + strlen(word)] == '"')
                memcpy(quote + 1, word, strlen(word));
        }
        document = json_loads(text, JSON_DECODE_ANY, NULL);
        free(text);
        struct tl_schema *schema;
        struct tl_error error;
        if (!document)
            continue;
        if (tl_schema_compile(document, "schema", &schema, &error) == TL_OK) {
            struct tl_schema_state state;
            struct tl_str out = TL_STR_INIT;
            tl_schema_state_init(&state, schema);
            tl_schema_close(&state, &out);
            json_t *value = json_loadb(out.data, out.length, JSON_DECODE_ANY, NULL);
            assert_non_null(value);
            json_decref(value);
            tl_str_fini(&out);
            tl_schema_state_fini(&state);
            tl_schema_free(schema);
        } else {
            assert_int_equal(strncmp(error.message, "schema", 6), 0);
        }
        json_decref(document);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_structure_is_forced),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_arrays_and_members),
        cmocka_unit_test(test_alternatives),
        cmocka_unit_test(test_recursion_ends),
        cmocka_unit_test(test_errors_name_the_place),
        cmocka_unit_test(test_too_large_is_refused),
        cmocka_unit_test(test_choices_and_calls),
        cmocka_unit_test(test_settling),
        cmocka_unit_test(test_random_schemas),
        cmocka_unit_test(test_mutated_schemas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
