#include "models/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "models/manifest.h"

enum { LARGEST_LEDGER = 4 << 20 };

void tl_ledger_record_fini(struct tl_ledger_record *record) {
    tl_str_fini(&record->origin);
}

static void ledger_path(const char *directory, struct tl_str *path) {
    tl_str_printf(path, "%s/models.lock.json", directory);
}

/* *ledger is an object, empty when there is no file yet; owned by the caller. */
static enum tl_status load(const char *directory, json_t **ledger, struct tl_error *error) {
    struct tl_str path = TL_STR_INIT, text = TL_STR_INIT;
    json_error_t reason;
    enum tl_status status = TL_OK;
    *ledger = NULL;
    ledger_path(directory, &path);
    if (!tl_file_exists(path.data)) {
        *ledger = json_object();
    } else {
        status = tl_file_read(path.data, LARGEST_LEDGER, &text, error);
        if (status == TL_OK)
            *ledger = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES, &reason);
        if (status == TL_OK && !json_is_object(*ledger)) {
            status = tl_error_set(error, TL_ERR_CORRUPT,
                                  "%s: is damaged: %s (line %d); remove it and pull the models again", path.data,
                                  *ledger == NULL ? reason.text : "not an object", *ledger == NULL ? reason.line : 1);
            json_decref(*ledger);
            *ledger = NULL;
        }
    }
    tl_str_fini(&path);
    tl_str_fini(&text);
    return status;
}

enum tl_status tl_ledger_read(const char *directory, const char *name, struct tl_ledger_record *record,
                              struct tl_error *error) {
    *record = (struct tl_ledger_record){.origin = TL_STR_INIT};
    json_t *ledger;
    enum tl_status status = load(directory, &ledger, error);
    if (status != TL_OK)
        return status;
    json_t *entry = json_object_get(ledger, name);
    const char *sha256 = json_string_value(json_object_get(entry, "sha256"));
    const char *origin = json_string_value(json_object_get(entry, "origin"));
    json_int_t size = json_integer_value(json_object_get(entry, "size"));
    if (entry == NULL) {
        status = TL_ERR_NOT_FOUND;
    } else if (sha256 == NULL || !tl_manifest_is_digest(sha256) || origin == NULL || size <= 0) {
        status = tl_error_set(error, TL_ERR_CORRUPT, "%s/models.lock.json: the record of %s is damaged; pull it again",
                              directory, name);
    } else {
        record->size = (uint64_t)size;
        memcpy(record->sha256, sha256, TL_SHA256_HEX_SIZE);
        tl_str_puts(&record->origin, origin);
    }
    json_decref(ledger);
    return status;
}

void tl_ledger_each(const char *directory, void (*each)(void *user, const char *name, const char *origin), void *user) {
    json_t *ledger, *entry;
    const char *name;
    if (load(directory, &ledger, NULL) != TL_OK)
        return;
    json_object_foreach(ledger, name, entry) {
        const char *origin = json_string_value(json_object_get(entry, "origin"));
        if (origin != NULL)
            each(user, name, origin);
    }
    json_decref(ledger);
}

/* `record` NULL: there is none any more. */
static enum tl_status replace(const char *directory, const char *name, json_t *record, struct tl_error *error) {
    json_t *ledger;
    enum tl_status status = load(directory, &ledger, error);
    if (status != TL_OK)
        return status;
    if (record != NULL)
        json_object_set(ledger, name, record);
    else
        json_object_del(ledger, name);
    char *text = json_dumps(ledger, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(ledger);
    if (text == NULL)
        return tl_error_set(error, TL_ERR_INVALID, "the record of %s cannot be written as JSON", name);
    struct tl_str path = TL_STR_INIT, line = TL_STR_INIT;
    ledger_path(directory, &path);
    tl_str_printf(&line, "%s\n", text);
    status = tl_file_write_atomic(path.data, line.data, line.length, error);
    tl_str_fini(&path);
    tl_str_fini(&line);
    tl_mem_free(text);
    return status;
}

static enum tl_status replace_locked(const char *directory, const char *name, json_t *record, struct tl_error *error) {
    struct tl_str path = TL_STR_INIT;
    tl_str_printf(&path, "%s/.models.lock", directory);
    int lock = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    enum tl_status status = TL_OK;
    while (lock >= 0 && flock(lock, LOCK_EX) != 0)
        if (errno != EINTR) {
            close(lock);
            lock = -1;
        }
    if (lock < 0) {
        status = tl_error_set(error, TL_ERR_IO, "%s: cannot be locked: %s", path.data, strerror(errno));
    } else {
        status = replace(directory, name, record, error);
        close(lock);
    }
    tl_str_fini(&path);
    return status;
}

enum tl_status tl_ledger_write(const char *directory, const char *name, uint64_t size, const char *sha256,
                               const char *origin, struct tl_error *error) {
    json_t *record = json_pack("{s:I, s:s, s:s}", "size", (json_int_t)size, "sha256", sha256, "origin", origin);
    if (record == NULL)
        return tl_error_set(error, TL_ERR_INVALID, "the record of %s cannot be written as JSON", name);
    enum tl_status status = replace_locked(directory, name, record, error);
    json_decref(record);
    return status;
}

enum tl_status tl_ledger_remove(const char *directory, const char *name, struct tl_error *error) {
    struct tl_ledger_record record;
    enum tl_status status = tl_ledger_read(directory, name, &record, error);
    tl_ledger_record_fini(&record);
    return status == TL_OK ? replace_locked(directory, name, NULL, error) : status == TL_ERR_NOT_FOUND ? TL_OK : status;
}
