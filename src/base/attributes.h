/* attributes.h: the settings of a primitive: a small sorted list of named scalars,
 * printed and parsed as {count=3, prompt="..."}; strings are printed as JSON strings. */
#ifndef TL_BASE_ATTRIBUTES_H
#define TL_BASE_ATTRIBUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

enum tl_attribute_kind { TL_ATTRIBUTE_INTEGER, TL_ATTRIBUTE_NUMBER, TL_ATTRIBUTE_BOOL, TL_ATTRIBUTE_STRING };

struct tl_attribute {
    const char *name;
    enum tl_attribute_kind kind;
    union {
        int64_t integer;
        double number;
        bool boolean;
        const char *string;
    } as;
};

struct tl_attributes {
    struct tl_attribute *items; /* sorted by name; memory of the arena given to the setters */
    size_t count, capacity;
};

void tl_attributes_set_integer(struct tl_attributes *attributes, struct tl_arena *arena, const char *name,
                               int64_t value);
void tl_attributes_set_number(struct tl_attributes *attributes, struct tl_arena *arena, const char *name, double value);
void tl_attributes_set_bool(struct tl_attributes *attributes, struct tl_arena *arena, const char *name, bool value);
void tl_attributes_set_string(struct tl_attributes *attributes, struct tl_arena *arena, const char *name,
                              const char *value);
void tl_attributes_remove(struct tl_attributes *attributes, const char *name);
void tl_attributes_copy(struct tl_attributes *to, struct tl_arena *arena, const struct tl_attributes *from);

const struct tl_attribute *tl_attributes_find(const struct tl_attributes *attributes, const char *name);
/* The value, or `otherwise` when it is absent or of another kind (an integer serves as a number). */
int64_t tl_attributes_integer(const struct tl_attributes *attributes, const char *name, int64_t otherwise);
double tl_attributes_number(const struct tl_attributes *attributes, const char *name, double otherwise);
bool tl_attributes_bool(const struct tl_attributes *attributes, const char *name, bool otherwise);
const char *tl_attributes_string(const struct tl_attributes *attributes, const char *name, const char *otherwise);

bool tl_attributes_equal(const struct tl_attributes *a, const struct tl_attributes *b);
uint64_t tl_attributes_hash(const struct tl_attributes *attributes, uint64_t seed);
void tl_attributes_print(const struct tl_attributes *attributes, struct tl_str *out); /* "" when empty */

#endif
