#include "builtin/builtin_test_support.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

void tl_test_item_init(struct tl_test_item *item) {
    *item = (struct tl_test_item){.count = 0};
    tl_arena_init(&item->arena);
}

void tl_test_item_fini(struct tl_test_item *item) {
    for (size_t i = 0; i < item->count; i++) {
        tl_value_unref(item->inputs[i]);
    }
    tl_arena_fini(&item->arena);
}

void tl_test_item_add(struct tl_test_item *item, const char *name, struct tl_value *value) {
    TL_ASSERT(item->count < sizeof item->inputs / sizeof item->inputs[0]);
    item->names[item->count] = name;
    item->inputs[item->count++] = value;
}

struct tl_value *tl_test_item_execute(struct tl_test_item *item, enum tl_primitive op) {
    struct tl_item made = {
        .op = op,
        .attributes = &item->attributes,
        .label = "test/item",
        .inputs = item->inputs,
        .input_names = item->names,
        .input_count = item->count,
    };
    struct tl_value *output = NULL;
    item->error = (struct tl_error){.status = TL_OK};
    enum tl_status status = tl_builtin_execute(&made, &output, 1, &item->error);
    TL_ASSERT((status == TL_OK) == (output != NULL));
    TL_ASSERT(status == item->error.status);
    return output;
}

struct tl_value *tl_test_text(const char *text) {
    return tl_value_text(text, strlen(text));
}

struct tl_value *tl_test_texts(const char *const *texts, size_t count) {
    struct tl_value *items[16];
    TL_ASSERT(count <= 16);
    for (size_t i = 0; i < count; i++) {
        items[i] = tl_test_text(texts[i]);
    }
    return tl_value_list(TL_TYPE_OF(TEXT, 0), items, count);
}

struct tl_value *tl_test_chunk(const char *id, const char *title, const char *heading, const char *text) {
    return tl_value_chunk(&(struct tl_chunk){
        .id = id, .uri = "test.html", .title = title, .heading = heading, .text = text, .length = strlen(text)});
}

static struct tl_value *make_hit(const char *id, uint32_t rank, bool scored, double score) {
    char text[64];
    snprintf(text, sizeof text, "Text of %s.", id);
    struct tl_value *chunk = tl_test_chunk(id, "Title", "", text);
    struct tl_value *hit =
        tl_value_hit(&(struct tl_hit){.chunk = chunk, .rank = rank, .scored = scored, .score = score});
    tl_value_unref(chunk);
    return hit;
}

struct tl_value *tl_test_hit(const char *id, uint32_t rank) {
    return make_hit(id, rank, false, 0);
}

struct tl_value *tl_test_scored_hit(const char *id, uint32_t rank, double score) {
    return make_hit(id, rank, true, score);
}

struct tl_value *tl_test_hits(const char *ids) {
    struct tl_value *items[64];
    size_t count = 0;
    char id[32];
    int used;
    while (sscanf(ids, "%31s%n", id, &used) == 1) {
        TL_ASSERT(count < 64);
        items[count] = tl_test_hit(id, (uint32_t)count);
        count++;
        ids += used;
    }
    return tl_value_list(TL_TYPE_OF(HIT, 0), items, count);
}

const char *tl_test_ids(const struct tl_value *hits, char *out, size_t size) {
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < hits->as.list.count; i++) {
        const struct tl_value *item = hits->as.list.items[i];
        if (item->type.depth > 0) {
            char inner[256];
            at += (size_t)snprintf(out + at, size - at, "%s%s", i > 0 ? " | " : "",
                                   tl_test_ids(item, inner, sizeof inner));
        } else {
            at += (size_t)snprintf(out + at, size - at, "%s%s", i > 0 ? " " : "", item->as.hit.chunk->as.chunk.id);
        }
        TL_ASSERT(at < size);
    }
    return out;
}
