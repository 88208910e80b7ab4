#define _POSIX_C_SOURCE 200809L

#include "models/hub.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/file.h"
#include "models/http.h"
#include "models/manifest.h"

#define PUBLIC_HUB "https://huggingface.co"

enum { LARGEST_TREE = 16 << 20, LARGEST_TOKEN = 4096 };

void tl_hub_file_fini(struct tl_hub_file *file) {
    tl_str_fini(&file->path);
    tl_str_fini(&file->url);
}

static bool is_set(const char *variable) {
    const char *value = getenv(variable);
    return value != NULL && (strcmp(value, "1") == 0 || strcasecmp(value, "true") == 0 ||
                             strcasecmp(value, "yes") == 0 || strcasecmp(value, "on") == 0);
}

enum tl_status tl_hub_check_online(bool hub, const char *what, struct tl_error *error) {
    const char *variable = is_set("TEOLA_OFFLINE") ? "TEOLA_OFFLINE" : NULL;
    if (hub && is_set("HF_HUB_OFFLINE"))
        variable = "HF_HUB_OFFLINE";
    if (variable == NULL)
        return TL_OK;
    return tl_error_set(error, TL_ERR_UNSUPPORTED, "%s is not here, and %s forbids fetching it", what, variable);
}

enum tl_status tl_hub_token(struct tl_str *token, struct tl_error *error) {
    const char *given = getenv("HF_TOKEN");
    size_t start = token->length;
    if (given != NULL && given[0] != '\0') {
        tl_str_puts(token, given);
    } else {
        struct tl_str path = TL_STR_INIT;
        const char *home = getenv("HF_HOME"), *user = getenv("HOME");
        if (home != NULL && home[0] != '\0')
            tl_str_printf(&path, "%s/token", home);
        else if (user != NULL)
            tl_str_printf(&path, "%s/.cache/huggingface/token", user);
        enum tl_status status = TL_OK;
        if (path.length > 0 && tl_file_exists(path.data))
            status = tl_file_read(path.data, LARGEST_TOKEN, token, error);
        tl_str_fini(&path);
        if (status != TL_OK)
            return status;
    }
    while (token->length > start && isspace((unsigned char)token->data[token->length - 1]))
        tl_str_truncate(token, token->length - 1);
    for (size_t i = start; i < token->length; i++)
        if (!isgraph((unsigned char)token->data[i])) {
            tl_str_truncate(token, start);
            return tl_error_set(error, TL_ERR_INVALID,
                                "the token in HF_TOKEN or $HF_HOME/token is not one printable word");
        }
    return TL_OK;
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* Whether the name holds `quant` as a word, whatever the case: "Name-Q4_K_M.gguf". */
static bool carries_quant(const char *name, const char *quant) {
    size_t length = strlen(quant);
    for (const char *at = name; *at != '\0'; at++) {
        bool starts = at == name || at[-1] == '-' || at[-1] == '.' || at[-1] == '_';
        if (starts && strncasecmp(at, quant, length) == 0 && !isalnum((unsigned char)at[length]) && at[length] != '_')
            return true;
    }
    return false;
}

/* Whether the name ends in -00001-of-0000N.gguf; sets the number of pieces. */
static bool is_split(const char *name, unsigned long *pieces) {
    const char *of = strstr(name, "-of-");
    if (of == NULL || of - name < 6 || !isdigit((unsigned char)of[4]))
        return false;
    char *end;
    *pieces = strtoul(of + 4, &end, 10);
    return strcmp(end, ".gguf") == 0 && isdigit((unsigned char)of[-1]);
}

static bool is_model_file(const char *path) {
    return tl_str_ends_with(path, ".gguf") && strstr(file_name(path), "mmproj") == NULL;
}

static enum tl_status take_item(json_t *item, const char *repository, struct tl_hub_file *file,
                                struct tl_error *error) {
    const char *path = json_string_value(json_object_get(item, "path"));
    json_t *lfs = json_object_get(item, "lfs");
    const char *oid = json_string_value(json_object_get(lfs, "oid"));
    json_int_t size = json_integer_value(json_object_get(lfs, "size"));
    if (oid != NULL && tl_str_starts_with(oid, "sha256:"))
        oid += strlen("sha256:");
    if (oid == NULL || !tl_manifest_is_digest(oid) || size <= 0)
        return tl_error_set(error, TL_ERR_UNSUPPORTED,
                            "%s: the hub states no SHA-256 and size for %s, so it cannot be checked", repository, path);
    unsigned long pieces = 0;
    if (is_split(file_name(path), &pieces))
        return tl_error_set(
            error, TL_ERR_UNSUPPORTED,
            "%s: %s is one of %lu pieces; models in several files are not supported: choose a smaller quant",
            repository, path, pieces);
    tl_str_puts(&file->path, path);
    file->size = (uint64_t)size;
    memcpy(file->sha256, oid, TL_SHA256_HEX_SIZE);
    return TL_OK;
}

static enum tl_status no_such_file(json_t *tree, const char *repository, const char *wanted, struct tl_error *error) {
    struct tl_str names = TL_STR_INIT;
    size_t index, listed = 0;
    json_t *item;
    json_array_foreach(tree, index, item) {
        const char *path = json_string_value(json_object_get(item, "path"));
        if (path != NULL && is_model_file(path) && listed++ < 12)
            tl_str_printf(&names, "%s%s", names.length == 0 ? "" : ", ", path);
    }
    if (listed == 0)
        tl_error_set(error, TL_ERR_NOT_FOUND, "%s: holds no .gguf file", repository);
    else
        tl_error_set(error, TL_ERR_NOT_FOUND, "%s: holds no %s; it holds %s%s", repository, wanted, names.data,
                     listed > 12 ? " and more" : "");
    tl_str_fini(&names);
    return TL_ERR_NOT_FOUND;
}

static enum tl_status choose(json_t *tree, const char *repository, const char *quant, const char *path,
                             struct tl_hub_file *file, struct tl_error *error) {
    const char *wanted = quant[0] == '\0' ? TL_HUB_DEFAULT_QUANT : quant;
    json_t *item, *found = NULL, *only = NULL;
    size_t index, models = 0;
    json_array_foreach(tree, index, item) {
        const char *name = json_string_value(json_object_get(item, "path"));
        if (name == NULL)
            continue;
        if (path != NULL) {
            if (strcmp(name, path) == 0)
                found = item;
            continue;
        }
        if (!is_model_file(name))
            continue;
        models++;
        only = item;
        if (found == NULL && carries_quant(file_name(name), wanted))
            found = item;
    }
    if (found == NULL && path == NULL && quant[0] == '\0' && models == 1)
        found = only;
    if (found == NULL)
        return no_such_file(tree, repository, path != NULL ? path : wanted, error);
    return take_item(found, repository, file, error);
}

enum tl_status tl_hub_choose(const char *tree, size_t length, const char *repository, const char *quant,
                             const char *path, struct tl_hub_file *file, struct tl_error *error) {
    json_error_t reason;
    json_t *json = json_loadb(tree, length, 0, &reason);
    enum tl_status status;
    if (!json_is_array(json))
        status = tl_error_set(error, TL_ERR_IO, "%s: the hub's list of files is not what was expected: %s",
                              repository, json == NULL ? reason.text : "not a list");
    else
        status = choose(json, repository, quant, path, file, error);
    json_decref(json);
    return status;
}

static void endpoint(struct tl_str *out) {
    const char *given = getenv("HF_ENDPOINT");
    tl_str_puts(out, given == NULL || given[0] == '\0' ? PUBLIC_HUB : given);
    while (out->length > 0 && out->data[out->length - 1] == '/')
        tl_str_truncate(out, out->length - 1);
}

/* Appends a path with all but unreserved characters and '/' percent-encoded. */
static void put_path(struct tl_str *out, const char *path) {
    for (const char *c = path; *c != '\0'; c++)
        if (isalnum((unsigned char)*c) || strchr("-._~/", *c) != NULL)
            tl_str_putc(out, *c);
        else
            tl_str_printf(out, "%%%02X", (unsigned)(unsigned char)*c);
}

enum tl_status tl_hub_find(const char *repository, const char *revision, const char *quant, const char *path,
                           struct tl_hub_file *file, struct tl_error *error) {
    struct tl_str host = TL_STR_INIT, url = TL_STR_INIT, token = TL_STR_INIT, tree = TL_STR_INIT;
    *file = (struct tl_hub_file){.path = TL_STR_INIT, .url = TL_STR_INIT};
    enum tl_status status = tl_hub_check_online(true, repository, error);
    if (status == TL_OK)
        status = tl_hub_token(&token, error);
    if (status != TL_OK)
        goto out;
    endpoint(&host);
    tl_str_printf(&url, "%s/api/models/%s/tree/", host.data, repository);
    put_path(&url, revision);
    tl_str_puts(&url, "?recursive=true");
    const struct tl_http_request request = {.url = url.data, .token = token.length == 0 ? NULL : token.data};
    status = tl_http_get_text(&request, LARGEST_TREE, &tree, error);
    if (status == TL_OK)
        status = tl_hub_choose(tree.data, tree.length, repository, quant, path, file, error);
    if (status == TL_OK) {
        tl_str_printf(&file->url, "%s/%s/resolve/", host.data, repository);
        put_path(&file->url, revision);
        tl_str_putc(&file->url, '/');
        put_path(&file->url, file->path.data);
    }
out:
    tl_str_fini(&host);
    tl_str_fini(&url);
    tl_str_fini(&token);
    tl_str_fini(&tree);
    return status;
}
