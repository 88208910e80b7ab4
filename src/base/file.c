#define _POSIX_C_SOURCE 200809L

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

static enum tl_status fail(struct tl_error *error, const char *path, const char *what) {
    int code = errno;
    return tl_error_set(error, code == ENOENT ? TL_ERR_NOT_FOUND : TL_ERR_IO, "%s: %s: %s", path, what, strerror(code));
}

static enum tl_status read_all(int file, const char *path, size_t limit, struct tl_str *out, struct tl_error *error) {
    size_t start = out->length;
    struct stat info;
    if (fstat(file, &info) != 0)
        return fail(error, path, "cannot be examined");
    if (S_ISDIR(info.st_mode))
        return tl_error_set(error, TL_ERR_INVALID, "%s: is a directory, expected a file", path);
    if (S_ISREG(info.st_mode)) {
        if ((uintmax_t)info.st_size > limit)
            return tl_error_set(error, TL_ERR_LIMIT, "%s: has %jd bytes, more than the limit of %zu", path,
                                (intmax_t)info.st_size, limit);
        tl_str_reserve(out, start + (size_t)info.st_size);
    }
    char buffer[16384];
    for (;;) {
        ssize_t got = read(file, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(error, path, "cannot be read");
        if (got == 0)
            return TL_OK;
        if ((size_t)got > limit - (out->length - start))
            return tl_error_set(error, TL_ERR_LIMIT, "%s: has more than the limit of %zu bytes", path, limit);
        tl_str_append(out, buffer, (size_t)got);
    }
}

enum tl_status tl_file_read(const char *path, size_t limit, struct tl_str *out, struct tl_error *error) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return fail(error, path, "cannot be opened");
    size_t start = out->length;
    enum tl_status status = read_all(file, path, limit, out, error);
    if (status != TL_OK)
        tl_str_truncate(out, start);
    close(file);
    return status;
}

static enum tl_status write_all(int file, const char *path, const void *data, size_t size, struct tl_error *error) {
    const char *bytes = data;
    size_t done = 0;
    while (done < size) {
        ssize_t wrote = write(file, bytes + done, size - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return fail(error, path, "cannot be written");
        done += (size_t)wrote;
    }
    if (fsync(file) != 0)
        return fail(error, path, "cannot be flushed to disk");
    return TL_OK;
}

/* Makes the rename itself durable. Some file systems cannot: not an error. */
static void sync_directory_of(const char *path) {
    struct tl_str directory = TL_STR_INIT;
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        tl_str_puts(&directory, ".");
    else
        tl_str_append(&directory, path, slash == path ? 1 : (size_t)(slash - path));
    int file = open(directory.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file >= 0) {
        (void)fsync(file);
        close(file);
    }
    tl_str_fini(&directory);
}

static enum tl_status write_replacing(const char *path, mode_t mode, const void *data, size_t size,
                                      struct tl_error *error) {
    static _Atomic unsigned serial;
    struct tl_str temporary = TL_STR_INIT;
    /* Not mkstemp: the file shall get the permissions of `mode` that the umask allows. */
    tl_str_printf(&temporary, "%s.%ld-%u-%llx.tmp", path, (long)getpid(), atomic_fetch_add(&serial, 1),
                  (unsigned long long)tl_clock_now());
    enum tl_status status;
    int file = open(temporary.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file < 0) {
        status = fail(error, temporary.data, "cannot be created");
        goto out;
    }
    status = write_all(file, temporary.data, data, size, error);
    if (close(file) != 0 && status == TL_OK)
        status = fail(error, temporary.data, "cannot be written");
    if (status == TL_OK && rename(temporary.data, path) != 0)
        status = fail(error, path, "cannot be replaced");
    if (status == TL_OK)
        sync_directory_of(path);
    else
        unlink(temporary.data);
out:
    tl_str_fini(&temporary);
    return status;
}

enum tl_status tl_file_write_atomic(const char *path, const void *data, size_t size, struct tl_error *error) {
    return write_replacing(path, 0666, data, size, error);
}

enum tl_status tl_file_write_private(const char *path, const void *data, size_t size, struct tl_error *error) {
    return write_replacing(path, 0600, data, size, error);
}

bool tl_file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

bool tl_file_is_directory(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum tl_status tl_file_make_directories(const char *path, struct tl_error *error) {
    struct tl_str part = TL_STR_INIT;
    enum tl_status status = TL_OK;
    size_t length = strlen(path);
    if (length == 0)
        return tl_error_set(error, TL_ERR_USAGE, "the name of a directory is empty");
    for (size_t i = 1; i <= length && status == TL_OK; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        tl_str_clear(&part);
        tl_str_append(&part, path, i);
        if (mkdir(part.data, 0777) == 0)
            continue;
        int code = errno;
        if (!tl_file_is_directory(part.data)) {
            errno = code == EEXIST ? ENOTDIR : code;
            status = fail(error, part.data, "the directory cannot be made");
        }
    }
    tl_str_fini(&part);
    return status;
}

/* The XDG rule: the variable when it is an absolute path, else the place below $HOME. */
static enum tl_status our_path(const char *variable, const char *below_home, const char *name, struct tl_str *out,
                               struct tl_error *error) {
    const char *base = getenv(variable);
    if (base != NULL && base[0] == '/') {
        tl_str_puts(out, base);
    } else {
        const char *home = getenv("HOME");
        if (home == NULL || home[0] != '/')
            return tl_error_set(error, TL_ERR_USAGE,
                                "neither $%s nor $HOME is set to an absolute path: set one of them", variable);
        tl_str_printf(out, "%s/%s", home, below_home);
    }
    tl_str_puts(out, "/teola");
    if (name != NULL)
        tl_str_printf(out, "/%s", name);
    return TL_OK;
}

enum tl_status tl_file_cache_path(const char *name, struct tl_str *out, struct tl_error *error) {
    return our_path("XDG_CACHE_HOME", ".cache", name, out, error);
}

enum tl_status tl_file_data_path(const char *name, struct tl_str *out, struct tl_error *error) {
    return our_path("XDG_DATA_HOME", ".local/share", name, out, error);
}

enum tl_status tl_file_config_path(const char *name, struct tl_str *out, struct tl_error *error) {
    return our_path("XDG_CONFIG_HOME", ".config", name, out, error);
}
