#include "base/attributes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* The place of `name`, or where it would be inserted. */
static size_t lower_bound(const struct tl_attributes *attributes, const char *name) {
    size_t low = 0, high = attributes->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(attributes->items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct tl_attribute *tl_attributes_find(const struct tl_attributes *attributes, const char *name) {
    size_t place = lower_bound(attributes, name);
    if (place == attributes->count || strcmp(attributes->items[place].name, name) != 0)
        return NULL;
    return &attributes->items[place];
}

/* Returns the attribute of this name, made when absent, for the caller to fill. */
static struct tl_attribute *slot_for(struct tl_attributes *attributes, struct tl_arena *arena, const char *name) {
    size_t place = lower_bound(attributes, name);
    if (place < attributes->count && strcmp(attributes->items[place].name, name) == 0)
        return &attributes->items[place];
    attributes->items = tl_arena_grow(arena, attributes->items, &attributes->capacity, attributes->count + 1,
                                      sizeof *attributes->items);
    struct tl_attribute *slot = &attributes->items[place];
    memmove(slot + 1, slot, (attributes->count - place) * sizeof *slot);
    attributes->count++;
    slot->name = tl_arena_strdup(arena, name);
    return slot;
}

void tl_attributes_set_integer(struct tl_attributes *attributes, struct tl_arena *arena, const char *name,
                               int64_t value) {
    struct tl_attribute *slot = slot_for(attributes, arena, name);
    slot->kind = TL_ATTRIBUTE_INTEGER;
    slot->as.integer = value;
}

void tl_attributes_set_number(struct tl_attributes *attributes, struct tl_arena *arena, const char *name,
                              double value) {
    struct tl_attribute *slot = slot_for(attributes, arena, name);
    slot->kind = TL_ATTRIBUTE_NUMBER;
    slot->as.number = value;
}

void tl_attributes_set_bool(struct tl_attributes *attributes, struct tl_arena *arena, const char *name, bool value) {
    struct tl_attribute *slot = slot_for(attributes, arena, name);
    slot->kind = TL_ATTRIBUTE_BOOL;
    slot->as.boolean = value;
}

void tl_attributes_set_string(struct tl_attributes *attributes, struct tl_arena *arena, const char *name,
                              const char *value) {
    const char *copy = tl_arena_strdup(arena, value);
    struct tl_attribute *slot = slot_for(attributes, arena, name);
    slot->kind = TL_ATTRIBUTE_STRING;
    slot->as.string = copy;
}

void tl_attributes_remove(struct tl_attributes *attributes, const char *name) {
    size_t place = lower_bound(attributes, name);
    if (place == attributes->count || strcmp(attributes->items[place].name, name) != 0)
        return;
    struct tl_attribute *slot = &attributes->items[place];
    attributes->count--;
    memmove(slot, slot + 1, (attributes->count - place) * sizeof *slot);
}

void tl_attributes_copy(struct tl_attributes *to, struct tl_arena *arena, const struct tl_attributes *from) {
    struct tl_attributes copy = {0};
    copy.items = tl_arena_grow(arena, NULL, &copy.capacity, from->count, sizeof *copy.items);
    copy.count = from->count;
    for (size_t i = 0; i < from->count; i++) {
        copy.items[i] = from->items[i];
        copy.items[i].name = tl_arena_strdup(arena, from->items[i].name);
        if (copy.items[i].kind == TL_ATTRIBUTE_STRING)
            copy.items[i].as.string = tl_arena_strdup(arena, from->items[i].as.string);
    }
    *to = copy;
}

int64_t tl_attributes_integer(const struct tl_attributes *attributes, const char *name, int64_t otherwise) {
    const struct tl_attribute *found = tl_attributes_find(attributes, name);
    return found != NULL && found->kind == TL_ATTRIBUTE_INTEGER ? found->as.integer : otherwise;
}

double tl_attributes_number(const struct tl_attributes *attributes, const char *name, double otherwise) {
    const struct tl_attribute *found = tl_attributes_find(attributes, name);
    if (found != NULL && found->kind == TL_ATTRIBUTE_NUMBER)
        return found->as.number;
    if (found != NULL && found->kind == TL_ATTRIBUTE_INTEGER)
        return (double)found->as.integer;
    return otherwise;
}

bool tl_attributes_bool(const struct tl_attributes *attributes, const char *name, bool otherwise) {
    const struct tl_attribute *found = tl_attributes_find(attributes, name);
    return found != NULL && found->kind == TL_ATTRIBUTE_BOOL ? found->as.boolean : otherwise;
}

const char *tl_attributes_string(const struct tl_attributes *attributes, const char *name, const char *otherwise) {
    const struct tl_attribute *found = tl_attributes_find(attributes, name);
    return found != NULL && found->kind == TL_ATTRIBUTE_STRING ? found->as.string : otherwise;
}

/* The value of anything but a string as 64 bits. Numbers go by their bits: so equality
 * agrees with the hash and with what is printed (0.0 and -0.0 differ). */
static uint64_t scalar_bits(const struct tl_attribute *item) {
    uint64_t bits = 0;
    switch (item->kind) {
    case TL_ATTRIBUTE_INTEGER: bits = (uint64_t)item->as.integer; break;
    case TL_ATTRIBUTE_NUMBER: memcpy(&bits, &item->as.number, sizeof bits); break;
    case TL_ATTRIBUTE_BOOL: bits = item->as.boolean; break;
    case TL_ATTRIBUTE_STRING: break;
    }
    return bits;
}

bool tl_attributes_equal(const struct tl_attributes *a, const struct tl_attributes *b) {
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct tl_attribute *left = &a->items[i], *right = &b->items[i];
        if (left->kind != right->kind || strcmp(left->name, right->name) != 0)
            return false;
        if (left->kind == TL_ATTRIBUTE_STRING ? strcmp(left->as.string, right->as.string) != 0
                                              : scalar_bits(left) != scalar_bits(right))
            return false;
    }
    return true;
}

uint64_t tl_attributes_hash(const struct tl_attributes *attributes, uint64_t seed) {
    uint64_t hash = tl_hash_u64(attributes->count, seed);
    for (size_t i = 0; i < attributes->count; i++) {
        const struct tl_attribute *item = &attributes->items[i];
        hash = tl_hash_string(item->name, hash);
        hash = tl_hash_u64((uint64_t)item->kind, hash);
        hash = item->kind == TL_ATTRIBUTE_STRING ? tl_hash_string(item->as.string, hash)
                                                 : tl_hash_u64(scalar_bits(item), hash);
    }
    return hash;
}

/* The shortest form that reads back as the same number, and never as an integer. */
static void print_number(double number, struct tl_str *out) {
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    tl_str_puts(out, text);
    if (isfinite(number) && strpbrk(text, ".e") == NULL)
        tl_str_puts(out, ".0");
}

void tl_attributes_print(const struct tl_attributes *attributes, struct tl_str *out) {
    if (attributes->count == 0)
        return;
    for (size_t i = 0; i < attributes->count; i++) {
        const struct tl_attribute *item = &attributes->items[i];
        tl_str_printf(out, "%s%s=", i == 0 ? "{" : ", ", item->name);
        switch (item->kind) {
        case TL_ATTRIBUTE_INTEGER: tl_str_printf(out, "%lld", (long long)item->as.integer); break;
        case TL_ATTRIBUTE_NUMBER: print_number(item->as.number, out); break;
        case TL_ATTRIBUTE_BOOL: tl_str_puts(out, item->as.boolean ? "true" : "false"); break;
        case TL_ATTRIBUTE_STRING: tl_str_put_json(out, item->as.string, strlen(item->as.string)); break;
        }
    }
    tl_str_putc(out, '}');
}
