/* llama_test_support.h: prompts and calls that the tests of the llama engine share. */
#ifndef TL_ENGINE_LLAMA_TEST_SUPPORT_H
#define TL_ENGINE_LLAMA_TEST_SUPPORT_H

#include "engine/conformance/conformance.h"

/* Writes {"model": <the test model>, <more>} to out; fails when TEOLA_TEST_MODELS is not set. */
void tl_llama_test_settings(char *out, size_t size, const char *more);

/* A prompt of a short system message and one user message, with `part_count` parts. */
struct tl_value *tl_llama_test_prompt(const char *const *parts, size_t part_count, bool open);
struct tl_value *tl_llama_test_ask(const char *question); /* one part, closed */

/* Submits a prefill of `op`; takes prompt and kv (NULL: none). */
struct tl_conformance_held *tl_llama_test_prefill(struct tl_conformance *run, enum tl_primitive op,
                                                  struct tl_value *prompt, struct tl_value *kv);
/* The same, run to its end; returns the kv value. */
struct tl_value *tl_llama_test_kv(struct tl_conformance *run, enum tl_primitive op, struct tl_value *prompt,
                                  struct tl_value *kv);
/* A decode item of `max_tokens`; takes kv. More attributes may be set before it is submitted. */
void tl_llama_test_decode(struct tl_conformance *run, struct tl_value *kv, int64_t max_tokens,
                          struct tl_conformance_item *item);

#endif
