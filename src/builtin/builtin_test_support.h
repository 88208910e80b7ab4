/* builtin_test_support.h: items and values for the tests of the builtin primitives. */
#ifndef TL_BUILTIN_BUILTIN_TEST_SUPPORT_H
#define TL_BUILTIN_BUILTIN_TEST_SUPPORT_H

#include "builtin/builtin.h"

/* An item under construction, with its inputs. */
struct tl_test_item {
    struct tl_arena arena;
    struct tl_attributes attributes;
    struct tl_value *inputs[8]; /* owned */
    const char *names[8];
    size_t count;
    struct tl_error error; /* of the last execution */
};

void tl_test_item_init(struct tl_test_item *item);
void tl_test_item_fini(struct tl_test_item *item);
void tl_test_item_add(struct tl_test_item *item, const char *name, struct tl_value *value); /* takes value */
/* Executes it; returns owned, or NULL with item->error set. */
struct tl_value *tl_test_item_execute(struct tl_test_item *item, enum tl_primitive op);

/* Values; all return owned. */
struct tl_value *tl_test_text(const char *text);
struct tl_value *tl_test_texts(const char *const *texts, size_t count);
struct tl_value *tl_test_chunk(const char *id, const char *title, const char *heading, const char *text);
/* An unscored hit of a chunk whose id, title and text follow from `id`. */
struct tl_value *tl_test_hit(const char *id, uint32_t rank);
struct tl_value *tl_test_scored_hit(const char *id, uint32_t rank, double score);
/* Hits from "c a b", ranked in this order. */
struct tl_value *tl_test_hits(const char *ids);
/* The ids of the hits in a list, "c a b"; lists of lists as "c a | b". In a buffer of the caller. */
const char *tl_test_ids(const struct tl_value *hits, char *out, size_t size);

#endif
