#define _POSIX_C_SOURCE 200809L

#include "models/models.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "models/embedded.h"
#include "models/ledger.h"
#include "models/models_internal.h"
#include "models/stamp.h"

enum { LARGEST_MANIFEST = 1 << 20 };

static enum tl_status add_manifest(struct tl_models *models, const char *name, const char *text, size_t length,
                                   struct tl_error *error) {
    struct tl_diagnostics findings;
    enum tl_status status = TL_OK;
    tl_diagnostics_init(&findings, name);
    if (!tl_manifest_add(&models->manifest, text, length, &findings)) {
        struct tl_str lines = TL_STR_INIT;
        tl_diagnostics_print(&findings, &lines);
        if (lines.length > 0)
            tl_str_truncate(&lines, lines.length - 1);
        status = tl_error_set(error, TL_ERR_INVALID, "%s", lines.data);
        tl_str_fini(&lines);
    }
    tl_diagnostics_fini(&findings);
    return status;
}

static enum tl_status add_users_manifest(struct tl_models *models, struct tl_error *error) {
    struct tl_str path = TL_STR_INIT, text = TL_STR_INIT;
    const char *given = getenv("TEOLA_MODELS_MANIFEST");
    bool named = given != NULL && given[0] != '\0';
    enum tl_status status = TL_OK;
    if (named)
        tl_str_puts(&path, given);
    else if (tl_file_config_path("models.yaml", &path, NULL) != TL_OK)
        tl_str_clear(&path); /* no home, no configuration */
    if (path.length > 0 && (named || tl_file_exists(path.data))) {
        status = tl_file_read(path.data, LARGEST_MANIFEST, &text, error);
        if (status == TL_OK)
            status = add_manifest(models, path.data, text.data, text.length, error);
    }
    tl_str_fini(&path);
    tl_str_fini(&text);
    return status;
}

static void add_recorded(void *user, const char *name, const char *origin) {
    tl_manifest_add_recorded(user, name, origin);
}

static enum tl_status find_directory(struct tl_str *directory, struct tl_error *error) {
    const char *given = getenv("TEOLA_MODELS");
    if (given == NULL || given[0] == '\0')
        return tl_file_data_path("models", directory, error);
    if (given[0] != '/') { /* children that work in it start in another folder */
        char here[4096];
        if (getcwd(here, sizeof here) == NULL)
            return tl_error_set(error, TL_ERR_IO, "the current folder is not known: %s", strerror(errno));
        tl_str_printf(directory, "%s/", here);
    }
    tl_str_puts(directory, given);
    while (directory->length > 1 && directory->data[directory->length - 1] == '/')
        tl_str_truncate(directory, directory->length - 1);
    return TL_OK;
}

enum tl_status tl_models_open(struct tl_models **models, struct tl_error *error) {
    struct tl_models *made = tl_mem_zalloc(sizeof *made);
    tl_manifest_init(&made->manifest);
    tl_str_init(&made->directory);
    enum tl_status status = find_directory(&made->directory, error);
    if (status == TL_OK)
        status = add_manifest(made, "models.yaml (built in)", tl_embedded_models_yaml, strlen(tl_embedded_models_yaml),
                              error);
    if (status == TL_OK)
        status = add_users_manifest(made, error);
    if (status == TL_OK)
        tl_ledger_each(made->directory.data, add_recorded, &made->manifest);
    if (status != TL_OK) {
        tl_models_close(made);
        made = NULL;
    }
    *models = made;
    return status;
}

void tl_models_close(struct tl_models *models) {
    if (models == NULL)
        return;
    tl_manifest_fini(&models->manifest);
    tl_str_fini(&models->directory);
    tl_mem_free(models);
}

const struct tl_manifest *tl_models_manifest(const struct tl_models *models) {
    return &models->manifest;
}

const char *tl_models_directory(const struct tl_models *models) {
    return models->directory.data;
}

enum tl_status tl_models_find(struct tl_models *models, const char *name, const struct tl_model_entry **entry,
                              struct tl_error *error) {
    *entry = NULL;
    if (tl_str_starts_with(name, "hf:"))
        return tl_manifest_add_hub(&models->manifest, name + strlen("hf:"), entry, error);
    *entry = tl_manifest_find(&models->manifest, name);
    if (*entry != NULL)
        return TL_OK;
    const char *nearest = tl_manifest_nearest(&models->manifest, name);
    return tl_error_set(error, TL_ERR_NOT_FOUND, "no model is named \"%s\"%s%s%s; `teola models list` shows all", name,
                        nearest == NULL ? "" : ", did you mean \"", nearest == NULL ? "" : nearest,
                        nearest == NULL ? "" : "\"?");
}

enum tl_status tl_models_expected(const struct tl_models *models, const struct tl_model_entry *entry, uint64_t *size,
                                  char sha256[TL_SHA256_HEX_SIZE], struct tl_error *error) {
    if (entry->sha256 != NULL) {
        *size = entry->size;
        memcpy(sha256, entry->sha256, TL_SHA256_HEX_SIZE);
        return TL_OK;
    }
    struct tl_ledger_record record;
    enum tl_status status = tl_ledger_read(models->directory.data, entry->name, &record, error);
    if (status == TL_OK) {
        *size = record.size;
        memcpy(sha256, record.sha256, TL_SHA256_HEX_SIZE);
    }
    tl_ledger_record_fini(&record);
    return status;
}

void tl_models_path(const struct tl_models *models, const struct tl_model_entry *entry, struct tl_str *path) {
    tl_str_printf(path, "%s/%s", models->directory.data, entry->file);
}

enum tl_status tl_models_check_file(const char *path, const char *name, uint64_t size, const char *sha256, bool fresh,
                                    char digest[TL_SHA256_HEX_SIZE], struct tl_error *error) {
    struct stat info;
    if (stat(path, &info) != 0) {
        if (errno == ENOENT)
            return tl_error_set(error, TL_ERR_NOT_FOUND, "%s is not here (%s); `teola models pull %s` fetches it", name,
                                path, name);
        return tl_error_set(error, TL_ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    }
    if ((uint64_t)info.st_size != size)
        return tl_error_set(error, TL_ERR_CORRUPT,
                            "%s: has %jd bytes, expected %" PRIu64 ": it is %s; `teola models pull %s` replaces it",
                            path, (intmax_t)info.st_size, size,
                            (uint64_t)info.st_size < size ? "truncated" : "not this model", name);
    enum tl_status status = fresh ? tl_stamp_renew(path, digest, error) : tl_stamp_digest(path, digest, NULL, error);
    if (status == TL_OK && strcmp(digest, sha256) != 0)
        return tl_error_set(error, TL_ERR_CORRUPT,
                            "%s: has SHA-256 %s, expected %s: it was changed; `teola models pull %s` replaces it", path,
                            digest, sha256, name);
    return status;
}

/* Checks the file of an entry against what it must be. */
static enum tl_status check_entry(const struct tl_models *models, const struct tl_model_entry *entry, bool fresh,
                                  struct tl_str *path, char digest[TL_SHA256_HEX_SIZE], struct tl_error *error) {
    uint64_t size;
    char sha256[TL_SHA256_HEX_SIZE];
    size_t start = path->length;
    tl_models_path(models, entry, path);
    enum tl_status status = tl_models_expected(models, entry, &size, sha256, error);
    if (status == TL_OK)
        return tl_models_check_file(path->data + start, entry->name, size, sha256, fresh, digest, error);
    if (status != TL_ERR_NOT_FOUND)
        return status;
    if (tl_file_exists(path->data + start))
        return tl_error_set(error, TL_ERR_CORRUPT,
                            "%s: nothing records what it must be; `teola models pull %s` makes sure",
                            path->data + start, entry->name);
    return tl_error_set(error, TL_ERR_NOT_FOUND, "%s is not here (%s); `teola models pull %s` fetches it", entry->name,
                        path->data + start, entry->name);
}

enum tl_status tl_models_locate_own(const struct tl_models *models, const struct tl_model_entry *entry,
                                    struct tl_str *path, char digest[TL_SHA256_HEX_SIZE], struct tl_error *error) {
    return check_entry(models, entry, false, path, digest, error);
}

/* ---- tuned variants ---- */

/* The variant's record, when it is of the model as it is now. The record is safe to fini in any case. */
static bool read_variant(const struct tl_models *models, const struct tl_model_entry *entry,
                         struct tl_ledger_record *record) {
    struct tl_str name = TL_STR_INIT;
    char sha256[TL_SHA256_HEX_SIZE];
    uint64_t size;
    tl_str_printf(&name, "%s.tuned", entry->name);
    bool found = tl_ledger_read(models->directory.data, name.data, record, NULL) == TL_OK &&
                 tl_str_starts_with(record->origin.data, "tune ") &&
                 tl_models_expected(models, entry, &size, sha256, NULL) == TL_OK &&
                 tl_str_ends_with(record->origin.data, sha256);
    tl_str_fini(&name);
    return found;
}

static void variant_path(const struct tl_models *models, const struct tl_model_entry *entry, struct tl_str *path) {
    tl_str_printf(path, "%s/%s.tuned.gguf", models->directory.data, entry->name);
}

const char *tl_models_tuned_format(struct tl_models *models, const struct tl_model_entry *entry, struct tl_str *path) {
    struct tl_ledger_record record;
    struct tl_str file = TL_STR_INIT;
    const char *format = NULL;
    variant_path(models, entry, &file);
    if (read_variant(models, entry, &record) && tl_file_exists(file.data)) {
        const char *at = record.origin.data + strlen("tune ");
        format = tl_arena_strndup(&models->manifest.arena, at, strcspn(at, " "));
        if (path != NULL)
            tl_str_puts(path, file.data);
    }
    tl_ledger_record_fini(&record);
    tl_str_fini(&file);
    return format;
}

/* Compares the variant with its record. TL_ERR_NOT_FOUND: there is none to use. */
static enum tl_status check_variant(const struct tl_models *models, const struct tl_model_entry *entry, bool fresh,
                                    struct tl_str *path, char digest[TL_SHA256_HEX_SIZE], struct tl_error *error) {
    struct tl_ledger_record record;
    struct tl_str file = TL_STR_INIT;
    struct tl_error why;
    enum tl_status status = TL_ERR_NOT_FOUND;
    variant_path(models, entry, &file);
    if (read_variant(models, entry, &record) && tl_file_exists(file.data)) {
        status = tl_models_check_file(file.data, entry->name, record.size, record.sha256, fresh, digest, &why);
        if (status != TL_OK)
            status = tl_error_set(error, TL_ERR_CORRUPT,
                                  "%s: is not the file that was tuned; `teola models tune --undo %s` goes back to the "
                                  "model as it was",
                                  file.data, entry->name);
        else
            tl_str_puts(path, file.data);
    }
    tl_ledger_record_fini(&record);
    tl_str_fini(&file);
    return status;
}

enum tl_status tl_models_verify(struct tl_models *models, const char *name, struct tl_error *error) {
    const struct tl_model_entry *entry;
    enum tl_status status = tl_models_find(models, name, &entry, error);
    if (status != TL_OK)
        return status;
    struct tl_str path = TL_STR_INIT;
    char digest[TL_SHA256_HEX_SIZE];
    status = check_entry(models, entry, true, &path, digest, error);
    if (status == TL_OK) {
        status = check_variant(models, entry, true, &path, digest, error);
        if (status == TL_ERR_NOT_FOUND)
            status = TL_OK;
    }
    tl_str_fini(&path);
    return status;
}

/* A file given by its path: it must look like a GGUF file. */
static enum tl_status check_given(const char *path, char digest[TL_SHA256_HEX_SIZE], struct tl_error *error) {
    char magic[4] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to hang on a FIFO */
    if (file < 0)
        return tl_error_set(error, errno == ENOENT ? TL_ERR_NOT_FOUND : TL_ERR_IO, "%s: cannot be opened: %s", path,
                            strerror(errno));
    ssize_t got = read(file, magic, sizeof magic);
    close(file);
    if (got != (ssize_t)sizeof magic || memcmp(magic, "GGUF", sizeof magic) != 0)
        return tl_error_set(error, TL_ERR_INVALID, "%s: is not a GGUF file (it does not start with \"GGUF\")", path);
    return tl_stamp_digest(path, digest, NULL, error);
}

enum tl_status tl_models_locate(struct tl_models *models, const char *name_or_path, struct tl_str *path,
                                char digest[TL_SHA256_HEX_SIZE], struct tl_error *error) {
    bool given = !tl_str_starts_with(name_or_path, "hf:") &&
                 (strchr(name_or_path, '/') != NULL || tl_str_ends_with(name_or_path, ".gguf"));
    if (given) {
        tl_str_puts(path, name_or_path);
        return check_given(name_or_path, digest, error);
    }
    const struct tl_model_entry *entry;
    enum tl_status status = tl_models_find(models, name_or_path, &entry, error);
    if (status != TL_OK)
        return status;
    status = check_variant(models, entry, false, path, digest, error);
    return status == TL_ERR_NOT_FOUND ? check_entry(models, entry, false, path, digest, error) : status;
}

enum tl_status tl_models_resolve(const char *name_or_path, struct tl_str *path, char digest[TL_SHA256_HEX_SIZE],
                                 struct tl_error *error) {
    struct tl_models *models;
    enum tl_status status = tl_models_open(&models, error);
    if (status == TL_OK)
        status = tl_models_locate(models, name_or_path, path, digest, error);
    tl_models_close(models);
    return status;
}
