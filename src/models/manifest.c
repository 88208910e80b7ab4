#include "models/manifest.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/yaml.h"

/* What one manifest is read with. */
struct reader {
    struct tl_manifest *manifest; /* a scratch one, merged when there was no error; its arena holds the tree, too */
    struct tl_diagnostics *findings;
};

/* A key of a mapping and where its scalar goes. */
struct field {
    const char *key;
    const char **into;
};

#define FIELDS_MAX 16

void tl_manifest_init(struct tl_manifest *manifest) {
    *manifest = (struct tl_manifest){0};
    tl_arena_init(&manifest->arena);
}

void tl_manifest_fini(struct tl_manifest *manifest) {
    tl_arena_fini(&manifest->arena);
    tl_manifest_init(manifest);
}

bool tl_manifest_is_name(const char *text) {
    size_t length = strlen(text);
    return length > 0 && length <= 120 && text[0] != '.' && text[0] != '-' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-") == length;
}

bool tl_manifest_is_digest(const char *text) {
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

const struct tl_model_entry *tl_manifest_find(const struct tl_manifest *manifest, const char *name) {
    for (size_t i = 0; i < manifest->count; i++)
        if (strcmp(manifest->entries[i].name, name) == 0)
            return &manifest->entries[i];
    return NULL;
}

const char *tl_manifest_nearest(const struct tl_manifest *manifest, const char *name) {
    const char **names = tl_mem_alloc((manifest->count + 1) * sizeof *names);
    for (size_t i = 0; i < manifest->count; i++)
        names[i] = manifest->entries[i].name;
    const char *nearest = tl_str_nearest(name, names, manifest->count);
    tl_mem_free(names);
    return nearest;
}

/* Adds or replaces; strings are copied by the caller. */
static struct tl_model_entry *put_entry(struct tl_manifest *manifest, const struct tl_model_entry *entry) {
    for (size_t i = 0; i < manifest->count; i++)
        if (strcmp(manifest->entries[i].name, entry->name) == 0) {
            manifest->entries[i] = *entry;
            return &manifest->entries[i];
        }
    manifest->entries = tl_arena_grow(&manifest->arena, manifest->entries, &manifest->capacity, manifest->count + 1,
                                      sizeof *manifest->entries);
    manifest->entries[manifest->count] = *entry;
    return &manifest->entries[manifest->count++];
}

static bool is_text(const struct tl_yaml_node *node) {
    return node->kind == TL_YAML_SCALAR && node->text[0] != '\0' && !tl_yaml_is_nothing(node);
}

/* Reads the scalars of a mapping into `fields`; keys of `nested` are left to the caller, all others are errors. */
static void read_fields(struct reader *reader, const struct tl_yaml_node *map, const struct field *fields, size_t count,
                        const char *const *nested, size_t nested_count) {
    const char *known[FIELDS_MAX];
    TL_ASSERT(count + nested_count <= FIELDS_MAX);
    for (size_t i = 0; i < count; i++)
        known[i] = fields[i].key;
    for (size_t i = 0; i < nested_count; i++)
        known[count + i] = nested[i];
    for (size_t entry = 0; entry < map->count; entry++) {
        const struct tl_yaml_node *key = map->entries[entry].key, *value = map->entries[entry].value;
        size_t i = 0;
        while (i < count + nested_count && strcmp(known[i], key->text) != 0)
            i++;
        if (i == count + nested_count) {
            const char *nearest = tl_str_nearest(key->text, known, count + nested_count);
            tl_yaml_error(reader->findings, key, "unknown key \"%.80s\"%s%s%s", key->text,
                          nearest == NULL ? "" : ", did you mean \"", nearest == NULL ? "" : nearest,
                          nearest == NULL ? "" : "\"?");
        } else if (i < count && !is_text(value)) {
            tl_yaml_error(reader->findings, value, "\"%s\" must be a text", key->text);
        } else if (i < count) {
            *fields[i].into = value->text;
        }
    }
}

/* Splits "org/name[:QUANT]" into entry->location and entry->quant; false when it is not one. */
static bool split_reference(struct tl_arena *arena, const char *reference, struct tl_model_entry *entry) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t organisation = strspn(reference, allowed);
    if (organisation == 0 || reference[0] == '.' || reference[organisation] != '/')
        return false;
    const char *name = reference + organisation + 1;
    size_t length = strspn(name, allowed);
    if (length == 0 || name[0] == '.' || (name[length] != ':' && name[length] != '\0'))
        return false;
    const char *quant = name[length] == ':' ? name + length + 1 : "";
    if (strspn(quant, allowed) != strlen(quant) || (name[length] == ':' && quant[0] == '\0'))
        return false;
    entry->location = tl_arena_strndup(arena, reference, organisation + 1 + length);
    entry->quant = tl_arena_strdup(arena, quant);
    return true;
}

static void read_source(struct reader *reader, const struct tl_yaml_node *node, struct tl_model_entry *entry) {
    if (node->kind != TL_YAML_MAP) {
        tl_yaml_error(reader->findings, node, "\"source\" must be a mapping with one of: file, url, hub, wheel");
        return;
    }
    const char *kinds[4] = {NULL};
    const struct field fields[] = {
        {"file", &kinds[TL_MODEL_FROM_FILE]},
        {"url", &kinds[TL_MODEL_FROM_URL]},
        {"hub", &kinds[TL_MODEL_FROM_HUB]},
        {"wheel", &kinds[TL_MODEL_FROM_WHEEL]},
        {"path", &entry->hub_file},
        {"revision", &entry->revision},
        {"version", &entry->version},
        {"sha256", &entry->wheel_sha256},
        {"member", &entry->member},
        {"folder", &entry->folder},
    };
    read_fields(reader, node, fields, sizeof fields / sizeof *fields, NULL, 0);
    unsigned given = 0;
    for (unsigned kind = 0; kind < 4; kind++)
        if (kinds[kind] != NULL) {
            given++;
            entry->source = (enum tl_model_source)kind;
            entry->location = kinds[kind];
        }
    if (given != 1) {
        tl_yaml_error(reader->findings, node, "\"source\" needs exactly one of: file, url, hub, wheel");
        return;
    }
    bool hub = entry->source == TL_MODEL_FROM_HUB, wheel = entry->source == TL_MODEL_FROM_WHEEL;
    if (!hub && (entry->hub_file != NULL || entry->revision != NULL))
        tl_yaml_error(reader->findings, node, "\"path\" and \"revision\" belong to a hub source");
    if (!wheel &&
        (entry->version != NULL || entry->wheel_sha256 != NULL || entry->member != NULL || entry->folder != NULL))
        tl_yaml_error(reader->findings, node,
                      "\"version\", \"sha256\", \"member\" and \"folder\" belong to a wheel source");
    switch (entry->source) {
    case TL_MODEL_FROM_FILE:
        if (entry->location[0] != '/')
            tl_yaml_error(reader->findings, node, "\"file\" must be an absolute path");
        break;
    case TL_MODEL_FROM_URL:
        if (!tl_str_starts_with(entry->location, "https://") && !tl_str_starts_with(entry->location, "http://"))
            tl_yaml_error(reader->findings, node, "\"url\" must start with https://");
        break;
    case TL_MODEL_FROM_HUB:
        if (!split_reference(&reader->manifest->arena, entry->location, entry))
            tl_yaml_error(reader->findings, node, "\"hub\" must be org/name or org/name:QUANT, found \"%.80s\"",
                          kinds[TL_MODEL_FROM_HUB]);
        break;
    case TL_MODEL_FROM_WHEEL:
        if (entry->version == NULL || entry->wheel_sha256 == NULL || !tl_manifest_is_digest(entry->wheel_sha256))
            tl_yaml_error(reader->findings, node,
                          "a wheel source needs \"version\" and \"sha256\" (64 lower-case hex digits)");
        if ((entry->member == NULL) == (entry->folder == NULL))
            tl_yaml_error(reader->findings, node, "a wheel source needs either \"member\" or \"folder\"");
        if (strspn(entry->location, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
                strlen(entry->location) || entry->location[0] == '-')
            tl_yaml_error(reader->findings, node, "\"wheel\" must be the name of a package");
        if (entry->version != NULL &&
            strspn(entry->version, "abcdefghijklmnopqrstuvwxyz0123456789.+!") != strlen(entry->version))
            tl_yaml_error(reader->findings, node, "\"version\" must be an exact version such as 0.1.2");
        break;
    case TL_MODEL_FROM_MODEL: break;
    }
}

static void read_derivation(struct reader *reader, const struct tl_yaml_node *node, struct tl_model_entry *entry,
                            bool has_source) {
    if (node->kind != TL_YAML_MAP) {
        tl_yaml_error(reader->findings, node, "\"derive\" must be a mapping with \"how\" and \"format\"");
        return;
    }
    const char *from = NULL, *how = NULL;
    const struct field fields[] = {{"from", &from}, {"how", &how}, {"format", &entry->format}};
    read_fields(reader, node, fields, 3, NULL, 0);
    if (how == NULL || entry->format == NULL) {
        tl_yaml_error(reader->findings, node, "\"derive\" needs \"how\" and \"format\"");
        return;
    }
    if (strcmp(how, "requantize") == 0) {
        entry->derivation = TL_MODEL_REQUANTIZED;
        if (from == NULL || has_source)
            tl_yaml_error(reader->findings, node,
                          "\"requantize\" needs \"from\", the name of another model, and no \"source\"");
        entry->source = TL_MODEL_FROM_MODEL;
        entry->location = from;
    } else if (strcmp(how, "convert-bert") == 0) {
        entry->derivation = TL_MODEL_CONVERTED_BERT;
        if (from != NULL || !has_source || entry->folder == NULL)
            tl_yaml_error(reader->findings, node,
                          "\"convert-bert\" needs a wheel source with \"folder\", and no \"from\"");
    } else {
        tl_yaml_error(reader->findings, node, "\"how\" is \"%.40s\", expected requantize or convert-bert", how);
    }
}

static void check_entry(struct reader *reader, const struct tl_yaml_node *node, struct tl_model_entry *entry,
                        const char *size) {
    if (entry->name == NULL || !tl_manifest_is_name(entry->name)) {
        tl_yaml_error(reader->findings, node,
                      "a model needs a \"name\" of lower-case letters, digits, '.', '_' and '-'");
        return;
    }
    if (entry->file == NULL)
        entry->file = tl_arena_printf(&reader->manifest->arena, "%s.gguf", entry->name);
    if (!tl_manifest_is_name(entry->file) || !tl_str_ends_with(entry->file, ".gguf"))
        tl_yaml_error(reader->findings, node,
                      "\"file\" of %s must be a plain file name that ends in .gguf", entry->name);
    if (entry->sha256 != NULL && !tl_manifest_is_digest(entry->sha256))
        tl_yaml_error(reader->findings, node, "\"sha256\" of %s must be 64 lower-case hex digits", entry->name);
    if (size != NULL) {
        char *end;
        errno = 0;
        entry->size = strtoull(size, &end, 10);
        if (errno != 0 || *end != '\0' || !isdigit((unsigned char)size[0]) || entry->size == 0 ||
            entry->size > INT64_MAX)
            tl_yaml_error(reader->findings, node, "\"size\" of %s must be a number of bytes", entry->name);
    }
    if ((entry->sha256 == NULL) != (size == NULL))
        tl_yaml_error(reader->findings, node, "%s needs \"sha256\" and \"size\" together", entry->name);
    bool learnt = entry->source == TL_MODEL_FROM_HUB || entry->derivation != TL_MODEL_AS_FETCHED;
    if (entry->sha256 == NULL && !learnt)
        tl_yaml_error(reader->findings, node,
                      "%s needs \"sha256\" and \"size\": only models of a hub and derived ones can learn them",
                      entry->name);
    if (entry->folder != NULL && entry->derivation == TL_MODEL_AS_FETCHED)
        tl_yaml_error(reader->findings, node,
                      "%s takes a \"folder\": \"derive\" must say how a model is made of it", entry->name);
    if (tl_manifest_find(reader->manifest, entry->name) != NULL)
        tl_yaml_error(reader->findings, node, "%s is defined twice", entry->name);
}

static void read_entry(struct reader *reader, const struct tl_yaml_node *node) {
    static const char *const nested[] = {"source", "derive"};
    if (node->kind != TL_YAML_MAP) {
        tl_yaml_error(reader->findings, node, "a model must be a mapping");
        return;
    }
    struct tl_model_entry entry = {.licence = "", .description = "", .quant = ""};
    const char *size = NULL;
    const struct field fields[] = {
        {"name", &entry.name},       {"file", &entry.file},
        {"licence", &entry.licence}, {"description", &entry.description},
        {"sha256", &entry.sha256},   {"size", &size},
    };
    read_fields(reader, node, fields, sizeof fields / sizeof *fields, nested, 2);
    const struct tl_yaml_node *source = tl_yaml_get(node, "source"), *derive = tl_yaml_get(node, "derive");
    if (source != NULL)
        read_source(reader, source, &entry);
    if (derive != NULL)
        read_derivation(reader, derive, &entry, source != NULL);
    if (source == NULL && derive == NULL)
        tl_yaml_error(reader->findings, node, "a model needs \"source\" or \"derive\"");
    if (entry.revision == NULL)
        entry.revision = "main";
    check_entry(reader, node, &entry, size);
    if (reader->findings->errors == 0)
        put_entry(reader->manifest, &entry);
}

static void read_root(struct reader *reader, const struct tl_yaml_node *root) {
    static const char *const nested[] = {"models"};
    if (tl_yaml_is_nothing(root))
        return; /* an empty manifest adds nothing */
    const struct tl_yaml_node *models = tl_yaml_get(root, "models");
    if (models == NULL || models->kind != TL_YAML_LIST) {
        tl_yaml_error(reader->findings, root, "expected \"models:\" with a list of models");
        return;
    }
    read_fields(reader, root, NULL, 0, nested, 1);
    for (size_t i = 0; i < models->count; i++)
        read_entry(reader, models->items[i]);
}

/* Copies an entry with all its strings into another manifest. */
static void copy_entry(struct tl_manifest *to, const struct tl_model_entry *from) {
    struct tl_model_entry copy = *from;
    const char **strings[] = {&copy.name,  &copy.file,     &copy.licence,  &copy.description, &copy.sha256,
                              &copy.quant, &copy.hub_file, &copy.revision, &copy.version,     &copy.wheel_sha256,
                              &copy.member, &copy.folder,  &copy.format,   &copy.location};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        *strings[i] = tl_arena_strdup(&to->arena, *strings[i]);
    put_entry(to, &copy);
}

bool tl_manifest_add(struct tl_manifest *manifest, const char *text, size_t length, struct tl_diagnostics *findings) {
    struct tl_manifest scratch;
    struct reader reader = {.manifest = &scratch, .findings = findings};
    size_t errors_before = findings->errors;
    tl_manifest_init(&scratch);
    const struct tl_yaml_node *root = tl_yaml_read(&scratch.arena, text, length, findings);
    if (root != NULL)
        read_root(&reader, root);
    bool good = findings->errors == errors_before;
    for (size_t i = 0; good && i < scratch.count; i++)
        copy_entry(manifest, &scratch.entries[i]);
    tl_manifest_fini(&scratch);
    return good;
}

enum tl_status tl_manifest_add_hub(struct tl_manifest *manifest, const char *reference,
                                   const struct tl_model_entry **entry, struct tl_error *error) {
    struct tl_model_entry made = {
        .licence = "",
        .description = "fetched by reference",
        .source = TL_MODEL_FROM_HUB,
        .revision = "main",
    };
    if (!split_reference(&manifest->arena, reference, &made))
        return tl_error_set(error, TL_ERR_USAGE, "hf:%s: expected hf:org/name or hf:org/name:QUANT", reference);
    char *name =
        tl_arena_printf(&manifest->arena, "%s%s%s", made.location, made.quant[0] == '\0' ? "" : "/", made.quant);
    struct tl_str safe = TL_STR_INIT;
    for (const char *c = name; *c != '\0'; c++)
        if (*c == '/')
            tl_str_puts(&safe, "--");
        else
            tl_str_putc(&safe, (char)tolower((unsigned char)*c));
    made.name = tl_arena_strdup(&manifest->arena, safe.data);
    made.file = tl_arena_printf(&manifest->arena, "%s.gguf", safe.data);
    tl_str_fini(&safe);
    if (!tl_manifest_is_name(made.name) || !tl_manifest_is_name(made.file))
        return tl_error_set(error, TL_ERR_USAGE, "hf:%s: the name is too long", reference);
    *entry = put_entry(manifest, &made);
    return TL_OK;
}

void tl_manifest_hub_origin(const struct tl_model_entry *entry, const char *path, struct tl_str *origin) {
    tl_str_printf(origin, "hub %s@%s:%s", entry->location, entry->revision, path);
}

void tl_manifest_add_recorded(struct tl_manifest *manifest, const char *name, const char *origin) {
    static const char prefix[] = "hub ";
    if (!tl_manifest_is_name(name) || tl_manifest_find(manifest, name) != NULL || !tl_str_starts_with(origin, prefix))
        return;
    const char *reference = origin + strlen(prefix);
    const char *at = strchr(reference, '@');
    const char *colon = at == NULL ? NULL : strchr(at, ':');
    if (colon == NULL || at == reference || colon == at + 1 || colon[1] == '\0')
        return;
    struct tl_arena *arena = &manifest->arena;
    struct tl_model_entry made = {
        .name = tl_arena_strdup(arena, name),
        .file = tl_arena_printf(arena, "%s.gguf", name),
        .licence = "",
        .description = tl_arena_printf(arena, "pulled from %s", reference),
        .source = TL_MODEL_FROM_HUB,
        .revision = tl_arena_strndup(arena, at + 1, (size_t)(colon - at - 1)),
        .hub_file = tl_arena_strdup(arena, colon + 1),
    };
    const char *location = tl_arena_strndup(arena, reference, (size_t)(at - reference));
    if (split_reference(arena, location, &made))
        put_entry(manifest, &made);
}
