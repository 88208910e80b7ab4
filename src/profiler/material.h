/* material.h: texts to measure with: English words in an order that follows from a number, so that no two texts of a
 * profile are equal and none is found in a cache. */
#ifndef TL_PROFILER_MATERIAL_H
#define TL_PROFILER_MATERIAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/value.h"

/* Appends words that make about so many tokens. */
void tl_material_words(uint32_t tokens, uint64_t salt, struct tl_str *out);
struct tl_value *tl_material_text(uint32_t tokens, uint64_t salt);
struct tl_value *tl_material_chunk(uint32_t tokens, uint64_t salt);
/* Lists of `count`. */
struct tl_value *tl_material_texts(size_t count, uint32_t tokens, uint64_t salt);
struct tl_value *tl_material_chunks(size_t count, uint32_t tokens, uint64_t salt);
struct tl_value *tl_material_hits(size_t count, uint32_t tokens, uint64_t salt);
struct tl_value *tl_material_vectors(size_t count, uint32_t dimension, uint64_t salt);
struct tl_value *tl_material_documents(size_t count, uint32_t tokens, uint64_t salt);
/* A user's message of `begin` and, unless NULL, `rest`; open: more follows. */
struct tl_value *tl_material_prompt(const char *begin, const char *rest, bool open);

#endif
