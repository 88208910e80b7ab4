/* value_test.c: life of values: copies, references, resources, equality, JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "base/value.h"

static unsigned released;

static void count_release(struct tl_resource *self) {
    (void)self;
    released++;
}

static struct tl_value *make_chunk(const char *id) {
    char text[] = "body text";
    struct tl_chunk chunk = {.id = id, .uri = "u", .title = "t", .heading = "", .text = text, .length = 9,
                             .begin = 5, .end = 14, .ordinal = 2, .tokens = 3};
    struct tl_value *value = tl_value_chunk(&chunk);
    memset(text, '?', sizeof text - 1); /* the value has its own copy */
    assert_non_null(value);
    return value;
}

static void payloads_are_copied(void **state) {
    (void)state;
    struct tl_value *chunk = make_chunk("0123:2");
    assert_string_equal(chunk->as.chunk.text, "body text");
    assert_string_equal(chunk->as.chunk.id, "0123:2");
    assert_int_equal(chunk->as.chunk.end, 14);
    tl_value_unref(chunk);

    struct tl_value *text = tl_value_text("a\0b", 3);
    assert_int_equal(text->as.text.length, 3);
    assert_memory_equal(text->as.text.data, "a\0b", 4);
    tl_value_unref(text);

    float numbers[] = {0.6f, 0.8f};
    struct tl_value *vector = tl_value_vector(numbers, 2);
    numbers[0] = 0;
    assert_true(vector->as.vector.data[0] == 0.6f);
    assert_true(vector->bytes >= sizeof(struct tl_value) + sizeof numbers);
    tl_value_unref(vector);

    struct tl_document document = {.uri = "name", .media_type = NULL, .data = "xyz", .length = 3};
    struct tl_value *given = tl_value_document(&document);
    assert_null(given->as.document.media_type);
    assert_string_equal(given->as.document.data, "xyz");
    document.data = NULL;
    struct tl_value *path = tl_value_document(&document);
    assert_null(path->as.document.data);
    assert_int_equal(path->as.document.length, 3); /* of the file */
    assert_false(tl_value_equal(given, path));
    document.length = 4;
    struct tl_value *longer = tl_value_document(&document);
    assert_false(tl_value_equal(path, longer));
    assert_int_equal(longer->bytes, path->bytes);
    tl_value_unref(longer);
    tl_value_unref(given);
    tl_value_unref(path);

    struct tl_prompt_part parts[] = {
        {.role = TL_ROLE_SYSTEM, .message = 0, .flags = TL_PART_STATIC, .text = "be brief", .length = 8},
        {.role = TL_ROLE_USER, .message = 1, .text = "", .length = 0},
        {.role = TL_ROLE_USER, .message = 1, .text = "why?", .length = 4},
    };
    struct tl_value *prompt = tl_value_prompt(parts, 3), *same = tl_value_prompt(parts, 3);
    assert_string_equal(prompt->as.prompt.parts[2].text, "why?");
    assert_true(tl_value_equal(prompt, same));
    tl_value_unref(prompt);
    tl_value_unref(same);
}

static void lists_hold_their_elements(void **state) {
    (void)state;
    struct tl_value *chunk = make_chunk("x:0");
    struct tl_hit hit = {.chunk = chunk, .retrieval = 0.5, .rank = 1};
    struct tl_value *one = tl_value_hit(&hit);
    hit.scored = true;
    hit.score = 2;
    struct tl_value *two = tl_value_hit(&hit);
    tl_value_unref(chunk);
    assert_false(tl_value_equal(one, two));
    struct tl_value *items[] = {one, two};
    struct tl_value *list = tl_value_list(TL_TYPE_OF(HIT, 0), items, 2);
    struct tl_value *outer = tl_value_list(TL_TYPE_OF(HIT, 1), &list, 1);
    struct tl_value *empty = tl_value_list(TL_TYPE_OF(HIT, 1), NULL, 0);
    assert_int_equal(tl_value_units(outer), 1);
    assert_int_equal(tl_value_units(list), 2);
    assert_int_equal(tl_value_units(empty), 0);
    assert_int_equal(tl_value_units(one), 1);
    assert_false(tl_value_equal(outer, empty));
    assert_true(tl_value_equal(outer, outer));
    char type[24];
    assert_string_equal(tl_type_print(outer->type, type), "hit[][]");
    json_t *json = tl_value_to_json(outer);
    json_t *first = json_array_get(json_array_get(json, 0), 0);
    assert_string_equal(json_string_value(json_object_get(json_object_get(first, "chunk"), "text")), "body text");
    assert_null(json_object_get(first, "score"));
    json_decref(json);
    tl_value_unref(outer);
    tl_value_unref(empty);
    tl_value_unref(NULL);
}

/* What was counted, else four bytes a token. */
static void tokens_are_those_of_all_texts(void **state) {
    (void)state;
    struct tl_chunk chunk = {.id = "x:0", .uri = "x", .title = "", .heading = "", .text = "12345", .length = 5};
    struct tl_value *items[2] = {tl_value_chunk(&chunk), NULL};
    assert_int_equal(tl_value_tokens(items[0]), 2);
    chunk.tokens = 7;
    items[1] = tl_value_chunk(&chunk);
    struct tl_value *list = tl_value_list(TL_TYPE_OF(CHUNK, 0), items, 2);
    assert_int_equal(tl_value_tokens(list), 9);
    struct tl_value *outer = tl_value_list(TL_TYPE_OF(CHUNK, 1), &list, 1);
    assert_int_equal(tl_value_tokens(outer), 9);
    assert_int_equal(tl_value_leaves(outer), 2);
    tl_value_unref(outer);
    struct tl_value *file = tl_value_document(&(struct tl_document){.uri = "a", .length = 4001});
    assert_int_equal(tl_value_tokens(file), 1001);
    assert_int_equal(tl_value_leaves(file), 1);
    tl_value_unref(file);
    assert_int_equal(tl_value_tokens(NULL), 0);
}

static void resources_go_with_the_last_reference(void **state) {
    (void)state;
    struct tl_resource one = {.release = count_release}, two = {.release = count_release};
    released = 0;
    struct tl_value *items[] = {tl_value_kv(&one, 7), tl_value_kv(&two, 7)};
    assert_false(tl_value_equal(items[0], items[1]));
    struct tl_value *list = tl_value_list(TL_TYPE_OF(KV, 0), items, 2);
    tl_value_ref(items[0]);
    tl_value_unref(list);
    assert_int_equal(released, 1);
    tl_value_unref(items[0]);
    assert_int_equal(released, 2);
    tl_value_unref(tl_value_index("temporary", &one, 0));
    assert_int_equal(released, 3);
    struct tl_value *lasting = tl_value_index("docs", NULL, 3);
    assert_string_equal(lasting->as.index.collection, "docs");
    tl_value_unref(lasting);
}

static void json_is_taken_and_copied_out(void **state) {
    (void)state;
    struct tl_value *a = tl_value_json(json_pack("{s:[i,s]}", "k", 1, "two"));
    struct tl_value *b = tl_value_json(json_pack("{s:[i,s]}", "k", 1, "two"));
    assert_true(tl_value_equal(a, b));
    json_t *copy = tl_value_to_json(a);
    json_object_set_new(copy, "more", json_true());
    assert_true(tl_value_equal(a, b));
    assert_true(a->bytes > sizeof(struct tl_value));
    json_decref(copy);
    tl_value_unref(a);
    tl_value_unref(b);
    struct tl_value *broken = tl_value_text("\xFF", 1);
    json_t *json = tl_value_to_json(broken);
    assert_string_equal(json_string_value(json), "\xEF\xBF\xBD");
    json_decref(json);
    tl_value_unref(broken);
    struct tl_value *flags[] = {tl_value_bool(true), tl_value_bool(false), tl_value_number(2), tl_value_control()};
    assert_false(tl_value_equal(flags[0], flags[1]));
    assert_false(tl_value_equal(flags[0], flags[2]));
    for (size_t i = 0; i < 4; i++)
        tl_value_unref(flags[i]);
}

static void *ref_and_unref(void *value) {
    for (int i = 0; i < 20000; i++)
        tl_value_unref(tl_value_ref(value));
    tl_value_unref(value);
    return NULL;
}

static void counts_are_atomic(void **state) {
    (void)state;
    struct tl_resource resource = {.release = count_release};
    released = 0;
    struct tl_value *value = tl_value_kv(&resource, 1);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        tl_value_ref(value);
        assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, value), 0);
    }
    tl_value_unref(value);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(released, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payloads_are_copied),
        cmocka_unit_test(lists_hold_their_elements),
        cmocka_unit_test(tokens_are_those_of_all_texts),
        cmocka_unit_test(resources_go_with_the_last_reference),
        cmocka_unit_test(json_is_taken_and_copied_out),
        cmocka_unit_test(counts_are_atomic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
