/* reader.c: see reader.h. */
#include "scenario/reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "runtime/config.h"

void tl_reader_expected(struct reader *reader, const struct tl_yaml_node *at, const char *key, const char *what) {
    struct tl_str found = TL_STR_INIT;
    tl_yaml_describe(at, &found);
    tl_yaml_error(reader->findings, at, "'%s': expected %s, found %s", key, what, found.data);
    tl_str_fini(&found);
}

void tl_reader_keys(struct reader *reader, const struct tl_yaml_node *map, const char *what, const char *const *keys,
                    size_t count) {
    for (size_t i = 0; i < map->count; i++) {
        const struct tl_yaml_node *key = map->entries[i].key;
        size_t k = 0;
        while (k < count && strcmp(keys[k], key->text) != 0)
            k++;
        if (k < count)
            continue;
        const char *nearest = tl_str_nearest(key->text, keys, count);
        struct tl_str known = TL_STR_INIT;
        for (k = 0; k < count; k++)
            tl_str_printf(&known, "%s%s", k ? ", " : "", keys[k]);
        tl_yaml_error(reader->findings, key, "%s has no '%s'; %s%s%s", what, key->text,
                      nearest ? "did you mean '" : "it has: ", nearest ? nearest : known.data, nearest ? "'?" : "");
        tl_str_fini(&known);
    }
}

static bool is_number(const struct tl_yaml_node *node, double *number) {
    char *end;
    if (node->kind != TL_YAML_SCALAR || !node->plain || !node->text[0] || !strchr("+-.0123456789", node->text[0]) ||
        strpbrk(node->text, "xX"))
        return false;
    *number = strtod(node->text, &end);
    return *end == '\0' && isfinite(*number);
}

void tl_reader_number(struct reader *reader, const struct tl_yaml_node *map, const char *key, double least, double most,
                      double *number) {
    const struct tl_yaml_node *node = tl_yaml_get(map, key);
    double read;
    char what[80];
    if (!node)
        return;
    if (is_number(node, &read) && read >= least && read <= most) {
        *number = read;
        return;
    }
    snprintf(what, sizeof what, "a number from %g to %g", least, most);
    tl_reader_expected(reader, node, key, what);
}

void tl_reader_whole(struct reader *reader, const struct tl_yaml_node *map, const char *key, uint64_t least,
                     uint64_t most, uint64_t *number) {
    const struct tl_yaml_node *node = tl_yaml_get(map, key);
    double read;
    char what[80];
    if (!node)
        return;
    if (is_number(node, &read) && read >= (double)least && read <= (double)most && read == floor(read)) {
        *number = (uint64_t)read;
        return;
    }
    snprintf(what, sizeof what, "a whole number from %llu to %llu", (unsigned long long)least,
             (unsigned long long)most);
    tl_reader_expected(reader, node, key, what);
}

void tl_reader_count(struct reader *reader, const struct tl_yaml_node *map, const char *key, uint32_t most,
                     uint32_t *number) {
    uint64_t read = *number;
    tl_reader_whole(reader, map, key, 0, most, &read);
    *number = (uint32_t)read;
}

void tl_reader_time(struct reader *reader, const struct tl_yaml_node *map, const char *key, uint64_t *ns) {
    const struct tl_yaml_node *node = tl_yaml_get(map, key);
    uint64_t ms;
    if (!node)
        return;
    if (node->kind == TL_YAML_SCALAR && tl_duration_parse(node->text, &ms) && ms <= UINT64_C(1000000000000))
        *ns = ms * TL_NS_PER_MS;
    else
        tl_reader_expected(reader, node, key, "a time such as 500ms, 30s or 5m");
}

void tl_reader_flag(struct reader *reader, const struct tl_yaml_node *map, const char *key, bool *flag) {
    const struct tl_yaml_node *node = tl_yaml_get(map, key);
    if (!node)
        return;
    bool plain = node->kind == TL_YAML_SCALAR && node->plain;
    if (plain && strcmp(node->text, "true") == 0)
        *flag = true;
    else if (plain && strcmp(node->text, "false") == 0)
        *flag = false;
    else
        tl_reader_expected(reader, node, key, "true or false");
}

void tl_reader_text(struct reader *reader, const struct tl_yaml_node *map, const char *key, const char **text) {
    const struct tl_yaml_node *node = tl_yaml_get(map, key);
    if (!node)
        return;
    if (node->kind == TL_YAML_SCALAR && node->text[0])
        *text = tl_arena_strdup(reader->arena, node->text);
    else
        tl_reader_expected(reader, node, key, "a text");
}

const char *tl_reader_whole_path(struct reader *reader, const char *path) {
    struct tl_str whole = TL_STR_INIT;
    const char *home = getenv("HOME");
    if (tl_str_starts_with(path, "~/") && home)
        tl_str_printf(&whole, "%s%s", home, path + 1);
    else
        tl_str_printf(&whole, "%s%s", path[0] == '/' ? "" : reader->directory, path);
    const char *kept = tl_arena_strdup(reader->arena, whole.data);
    tl_str_fini(&whole);
    return kept;
}

const char *tl_reader_path(struct reader *reader, const struct tl_yaml_node *map, const char *key) {
    const char *path = NULL;
    tl_reader_text(reader, map, key, &path);
    return path ? tl_reader_whole_path(reader, path) : NULL;
}
