#define _XOPEN_SOURCE 700

#include "models/stamp.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "models/manifest.h"

/* All that must stay the same, as one line. */
static enum tl_status identify(const char *path, struct tl_str *identity, struct tl_error *error) {
    struct stat info;
    if (stat(path, &info) != 0)
        return tl_error_set(error, errno == ENOENT ? TL_ERR_NOT_FOUND : TL_ERR_IO, "%s: cannot be opened: %s", path,
                            strerror(errno));
    if (!S_ISREG(info.st_mode))
        return tl_error_set(error, TL_ERR_INVALID, "%s: is not a regular file", path);
    tl_str_clear(identity);
    tl_str_printf(identity, "%ju:%ju %jd bytes, modified %jd.%09ld, changed %jd.%09ld", (uintmax_t)info.st_dev,
                  (uintmax_t)info.st_ino, (intmax_t)info.st_size, (intmax_t)info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                  (intmax_t)info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
    return TL_OK;
}

/* Where the stamp of a file is. False when there is no cache folder to have it in. */
static bool stamp_path(const char *path, struct tl_str *real, struct tl_str *stamp) {
    char *resolved = realpath(path, NULL);
    if (resolved == NULL)
        return false;
    tl_str_puts(real, resolved);
    tl_mem_free(resolved);
    char name[TL_SHA256_HEX_SIZE];
    tl_sha256_hex(real->data, real->length, name);
    if (tl_file_cache_path("digests", stamp, NULL) != TL_OK)
        return false;
    tl_str_printf(stamp, "/%.32s.json", name);
    return true;
}

static bool read_stamp(const char *stamp, const char *real, const char *identity, char digest[TL_SHA256_HEX_SIZE]) {
    json_t *json = json_load_file(stamp, 0, NULL);
    const char *path = json_string_value(json_object_get(json, "path"));
    const char *state = json_string_value(json_object_get(json, "state"));
    const char *sha256 = json_string_value(json_object_get(json, "sha256"));
    bool valid = path != NULL && state != NULL && sha256 != NULL && strcmp(path, real) == 0 &&
                 strcmp(state, identity) == 0 && tl_manifest_is_digest(sha256);
    if (valid)
        memcpy(digest, sha256, TL_SHA256_HEX_SIZE);
    json_decref(json);
    return valid;
}

static void write_stamp(const char *stamp, const char *real, const char *identity, const char *digest) {
    struct tl_str folder = TL_STR_INIT, text = TL_STR_INIT;
    struct tl_error error;
    tl_str_append(&folder, stamp, (size_t)(strrchr(stamp, '/') - stamp));
    tl_str_puts(&text, "{\"path\": ");
    tl_str_put_json(&text, real, strlen(real));
    tl_str_puts(&text, ", \"state\": ");
    tl_str_put_json(&text, identity, strlen(identity));
    tl_str_printf(&text, ", \"sha256\": \"%s\"}\n", digest);
    enum tl_status status = tl_file_make_directories(folder.data, &error);
    if (status == TL_OK)
        status = tl_file_write_atomic(stamp, text.data, text.length, &error);
    if (status != TL_OK)
        tl_log(TL_LOG_DEBUG, "the digest of %s is not kept: %s", real, error.message);
    tl_str_fini(&folder);
    tl_str_fini(&text);
}

static enum tl_status find_digest(const char *path, bool renew, char digest[TL_SHA256_HEX_SIZE], bool *computed,
                                  struct tl_error *error) {
    struct tl_str before = TL_STR_INIT, after = TL_STR_INIT, real = TL_STR_INIT, stamp = TL_STR_INIT;
    enum tl_status status = identify(path, &before, error);
    *computed = false;
    if (status != TL_OK)
        goto out;
    bool cached = stamp_path(path, &real, &stamp);
    if (cached && !renew && read_stamp(stamp.data, real.data, before.data, digest))
        goto out;
    *computed = true;
    status = tl_sha256_file(path, digest, error);
    if (status == TL_OK)
        status = identify(path, &after, error);
    /* Kept only when nobody wrote to it meanwhile. */
    if (status == TL_OK && cached && strcmp(before.data, after.data) == 0)
        write_stamp(stamp.data, real.data, before.data, digest);
out:
    tl_str_fini(&before);
    tl_str_fini(&after);
    tl_str_fini(&real);
    tl_str_fini(&stamp);
    return status;
}

enum tl_status tl_stamp_digest(const char *path, char digest[TL_SHA256_HEX_SIZE], bool *computed,
                               struct tl_error *error) {
    bool ours;
    return find_digest(path, false, digest, computed == NULL ? &ours : computed, error);
}

enum tl_status tl_stamp_renew(const char *path, char digest[TL_SHA256_HEX_SIZE], struct tl_error *error) {
    bool computed;
    return find_digest(path, true, digest, &computed, error);
}
