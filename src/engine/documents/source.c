/* source.c: reading a file that may be anything. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utf8proc.h>

#include "base/error.h"
#include "engine/documents/documents.h"

char *tl_document_print_uri(const char *uri, char *out, size_t size) {
    size_t used = 0, left = strlen(uri);
    while (left > 0) {
        utf8proc_int32_t c = 0;
        utf8proc_ssize_t got = utf8proc_iterate((const utf8proc_uint8_t *)uri, (utf8proc_ssize_t)left, &c);
        size_t step = got > 0 ? (size_t)got : 1;
        char text[5];
        if (got <= 0 || (c >= 0 && c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            snprintf(text, sizeof text, "\\x%02x", (unsigned)(unsigned char)*uri);
        else if (c == '\n' || c == '\t')
            snprintf(text, sizeof text, "\\%c", c == '\n' ? 'n' : 't');
        else
            snprintf(text, sizeof text, "%.*s", (int)step, uri);
        size_t length = strlen(text);
        if (used + length + sizeof "..." > size) {
            snprintf(out + used, size - used, "...");
            return out;
        }
        memcpy(out + used, text, length);
        used += length;
        uri += step;
        left -= step;
    }
    out[used] = '\0';
    return out;
}

static const char *kind_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    default:
        return "no regular file";
    }
}

static enum tl_status failed(struct tl_error *error, const char *what) {
    int code = errno;
    enum tl_status status = code == ENOENT || code == ENOTDIR || code == ELOOP ? TL_ERR_NOT_FOUND : TL_ERR_IO;
    return tl_error_set(error, status, "%s: %s", what, strerror(code));
}

static enum tl_status check(const struct stat *info, size_t limit, struct tl_error *error) {
    if (!S_ISREG(info->st_mode))
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "is %s, not a file", kind_of(info->st_mode));
    if ((uintmax_t)info->st_size > limit)
        return tl_error_set(error, TL_ERR_LIMIT, "has %jd bytes, more than the limit of %zu", (intmax_t)info->st_size,
                            limit);
    return TL_OK;
}

/* The size that fstat tells is a guess: files grow, and those of /proc tell 0. */
static enum tl_status read_all(int file, size_t guess, size_t limit, char **data, size_t *length,
                               struct tl_error *error) {
    size_t capacity = guess + 1, used = 0;
    char *buffer = malloc(capacity + 1);
    while (buffer != NULL) {
        ssize_t got = read(file, buffer + used, capacity - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(buffer);
            return failed(error, "cannot be read");
        }
        if (got == 0) {
            buffer[used] = '\0';
            *data = buffer;
            *length = used;
            return TL_OK;
        }
        used += (size_t)got;
        if (used > limit) {
            free(buffer);
            return tl_error_set(error, TL_ERR_LIMIT, "has more than the limit of %zu bytes", limit);
        }
        if (used == capacity) {
            capacity += capacity / 2 + 4096;
            char *larger = realloc(buffer, capacity + 1);
            if (larger == NULL)
                free(buffer);
            buffer = larger;
        }
    }
    return tl_error_set(error, TL_ERR_NO_MEMORY, "needs %zu bytes of memory that are not there", capacity);
}

/* Messages are clauses without a subject. */
static enum tl_status read_file(const char *path, size_t limit, char **data, size_t *length, struct tl_error *error) {
    /* Looked at before it is opened, since opening a device may do something, and again after, since
     * another file may have taken the name; O_NONBLOCK for a FIFO that came in between. */
    struct stat info;
    if (stat(path, &info) != 0)
        return failed(error, "cannot be read");
    enum tl_status status = check(&info, limit, error);
    if (status != TL_OK)
        return status;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return failed(error, "cannot be opened");
    if (fstat(file, &info) != 0)
        status = failed(error, "cannot be read");
    if (status == TL_OK)
        status = check(&info, limit, error);
    if (status == TL_OK)
        status = read_all(file, (size_t)info.st_size, limit, data, length, error);
    close(file);
    return status;
}

enum tl_status tl_document_read(const char *path, const struct tl_document_limits *limits, char **data, size_t *length,
                                struct tl_error *error) {
    struct tl_error cause = {TL_OK, ""};
    char name[256];
    *data = NULL;
    *length = 0;
    enum tl_status status = read_file(path, limits->max_bytes, data, length, &cause);
    if (status == TL_OK)
        return TL_OK;
    return tl_error_set(error, status, "%s %s", tl_document_print_uri(path, name, sizeof name), cause.message);
}
