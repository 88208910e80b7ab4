/* llama_leaves.h: elementwise primitives see a value as its leaves in order, whatever its
 * list levels, and give results of the same shape. */
#ifndef TL_ENGINE_LLAMA_LEAVES_H
#define TL_ENGINE_LLAMA_LEAVES_H

#include "base/str.h"
#include "base/value.h"

size_t tl_llama_leaf_count(const struct tl_value *value);

/* Writes the leaves (borrowed) and returns the end of what was written. */
struct tl_value **tl_llama_leaves(struct tl_value *value, struct tl_value **out);

/* A value of `shape`'s list levels around the given leaves (their references are taken, also
 * on failure). Returns owned, or NULL when memory is out. */
struct tl_value *tl_llama_reshape(const struct tl_value *shape, enum tl_base_type base, struct tl_value *const *leaves);

/* The text by which a chunk is embedded and scored: title, heading and text on lines of their
 * own, empty ones left out. */
void tl_llama_chunk_text(const struct tl_chunk *chunk, struct tl_str *out);

#endif
