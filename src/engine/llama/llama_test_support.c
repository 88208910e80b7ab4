/* llama_test_support.c: see llama_test_support.h. */
#include "engine/llama/llama_test_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void tl_llama_test_settings(char *out, size_t size, const char *more) {
    const char *folder = getenv("TEOLA_TEST_MODELS");
    if (!folder)
        fail_msg("TEOLA_TEST_MODELS is not set: tests need the folder with the models");
    snprintf(out, size, "{\"model\": \"%s/smollm2-135m-instruct-q8_0.gguf\", %s}", folder, more);
}

struct tl_value *tl_llama_test_prompt(const char *const *parts, size_t part_count, bool open) {
    struct tl_prompt_part list[16] = {{.role = TL_ROLE_SYSTEM, .text = "Be brief.", .length = 9}};
    assert_true(part_count < 16);
    for (size_t i = 0; i < part_count; i++)
        list[i + 1] =
            (struct tl_prompt_part){.role = TL_ROLE_USER, .message = 1, .text = parts[i], .length = strlen(parts[i])};
    if (open)
        list[part_count].flags |= TL_PART_OPEN;
    return tl_value_prompt(list, part_count + 1);
}

struct tl_value *tl_llama_test_ask(const char *question) {
    return tl_llama_test_prompt(&question, 1, false);
}

static void fill_prefill(struct tl_conformance *run, enum tl_primitive op, struct tl_value *prompt, struct tl_value *kv,
                         struct tl_conformance_item *item) {
    tl_conformance_item_init(run, item);
    item->op = op;
    tl_conformance_input(item, "prompt", prompt);
    if (kv)
        tl_conformance_input(item, "kv", kv);
}

struct tl_conformance_held *tl_llama_test_prefill(struct tl_conformance *run, enum tl_primitive op,
                                                  struct tl_value *prompt, struct tl_value *kv) {
    struct tl_conformance_item item;
    fill_prefill(run, op, prompt, kv, &item);
    return tl_conformance_submit(run, &item);
}

struct tl_value *tl_llama_test_kv(struct tl_conformance *run, enum tl_primitive op, struct tl_value *prompt,
                                  struct tl_value *kv) {
    struct tl_conformance_item item;
    fill_prefill(run, op, prompt, kv, &item);
    return tl_conformance_compute(run, &item);
}

void tl_llama_test_decode(struct tl_conformance *run, struct tl_value *kv, int64_t max_tokens,
                          struct tl_conformance_item *item) {
    tl_conformance_item_init(run, item);
    item->op = TL_OP_DECODE;
    tl_conformance_input(item, "kv", kv);
    tl_attributes_set_integer(&item->attributes, item->arena, "max_tokens", max_tokens);
}
