#define _POSIX_C_SOURCE 200809L

#include "models/download.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "models/http.h"

enum { DEFAULT_ATTEMPTS = 5, LONGEST_DELAY_MS = 30000, BUFFER_SIZE = 1 << 18 };

/* The state of one tl_download_file. */
struct transfer {
    const struct tl_download *wanted;
    struct tl_download_counters *counters;
    struct tl_str part, note; /* paths */
    int file;                 /* of the part */
    uint64_t offset;          /* bytes in the part, all of them hashed */
    struct tl_sha256 *sha;
    char etag[256]; /* of what the part was taken from; "" unknown */
    bool resumed;   /* bytes of an earlier request are in the part */
};

static enum tl_status io_error(struct tl_error *error, const char *path, const char *what) {
    return tl_error_set(error, TL_ERR_IO, "%s: %s: %s", path, what, strerror(errno));
}

static void reset_digest(struct transfer *transfer) {
    char unused[TL_SHA256_HEX_SIZE];
    if (transfer->sha != NULL)
        tl_sha256_finish(transfer->sha, unused);
    transfer->sha = tl_sha256_create();
}

static enum tl_status empty_part(struct transfer *transfer, struct tl_error *error) {
    if (transfer->offset > 0)
        transfer->counters->restarts++;
    transfer->offset = 0;
    transfer->resumed = false;
    transfer->etag[0] = '\0';
    reset_digest(transfer);
    if (ftruncate(transfer->file, 0) != 0)
        return io_error(error, transfer->part.data, "cannot be emptied");
    return TL_OK;
}

/* Reads which content the part is of. False: unknown, or not the content that is wanted. */
static bool read_note(struct transfer *transfer) {
    json_t *note = json_load_file(transfer->note.data, 0, NULL);
    const char *sha256 = json_string_value(json_object_get(note, "sha256"));
    const char *etag = json_string_value(json_object_get(note, "etag"));
    bool right = sha256 != NULL && strcmp(sha256, transfer->wanted->sha256) == 0;
    if (right && etag != NULL && strlen(etag) < sizeof transfer->etag)
        memcpy(transfer->etag, etag, strlen(etag) + 1);
    json_decref(note);
    return right;
}

static enum tl_status write_note(struct transfer *transfer, struct tl_error *error) {
    struct tl_str text = TL_STR_INIT;
    tl_str_puts(&text, "{\"sha256\": ");
    tl_str_put_json(&text, transfer->wanted->sha256, strlen(transfer->wanted->sha256));
    tl_str_puts(&text, ", \"etag\": ");
    tl_str_put_json(&text, transfer->etag, strlen(transfer->etag));
    tl_str_puts(&text, "}\n");
    enum tl_status status = tl_file_write_atomic(transfer->note.data, text.data, text.length, error);
    tl_str_fini(&text);
    return status;
}

/* Opens the part and hashes what is in it already. */
static enum tl_status open_part(struct transfer *transfer, struct tl_error *error) {
    struct stat info;
    transfer->file = open(transfer->part.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (transfer->file < 0)
        return io_error(error, transfer->part.data, "cannot be opened");
    if (fstat(transfer->file, &info) != 0)
        return io_error(error, transfer->part.data, "cannot be examined");
    if (info.st_size == 0)
        return TL_OK;
    if (!read_note(transfer) || (uint64_t)info.st_size > transfer->wanted->size) {
        transfer->counters->restarts++;
        return empty_part(transfer, error);
    }
    unsigned char *buffer = tl_mem_alloc(BUFFER_SIZE);
    enum tl_status status = TL_OK;
    for (;;) {
        ssize_t got = pread(transfer->file, buffer, BUFFER_SIZE, (off_t)transfer->offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = io_error(error, transfer->part.data, "cannot be read");
        if (got <= 0)
            break;
        tl_sha256_update(transfer->sha, buffer, (size_t)got);
        transfer->offset += (uint64_t)got;
    }
    tl_mem_free(buffer);
    transfer->resumed = transfer->offset > 0;
    return status;
}

static enum tl_status check_space(const struct transfer *transfer, struct tl_error *error) {
    struct statvfs disk;
    if (fstatvfs(transfer->file, &disk) != 0)
        return TL_OK; /* unknown: the writes will tell */
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize, need = transfer->wanted->size - transfer->offset;
    if (room >= need)
        return TL_OK;
    return tl_error_set(error, TL_ERR_IO, "%s: needs %" PRIu64 " bytes more, but the disk has only %" PRIu64 " free",
                        transfer->wanted->path, need, room);
}

static enum tl_status wrong_size(const struct transfer *transfer, uint64_t found, struct tl_error *error) {
    return tl_error_set(error, TL_ERR_CORRUPT, "%s: the file at %s has %" PRIu64 " bytes, expected %" PRIu64,
                        transfer->wanted->path, transfer->wanted->url, found, transfer->wanted->size);
}

static enum tl_status begin(void *user, const struct tl_http_response *response, struct tl_error *error) {
    struct transfer *transfer = user;
    if (response->status == 206) {
        if (response->range_start < 0 || (uint64_t)response->range_start != transfer->offset)
            return tl_error_set(error, TL_ERR_IO, "%s: answered with bytes from %" PRId64 ", asked for %" PRIu64,
                                transfer->wanted->url, response->range_start, transfer->offset);
        if (response->range_total >= 0 && (uint64_t)response->range_total != transfer->wanted->size)
            return wrong_size(transfer, (uint64_t)response->range_total, error);
        transfer->counters->resumed++;
    } else {
        enum tl_status status = empty_part(transfer, error);
        if (status != TL_OK)
            return status;
        if (response->content_length >= 0 && (uint64_t)response->content_length != transfer->wanted->size)
            return wrong_size(transfer, (uint64_t)response->content_length, error);
    }
    /* A weak validator says "equivalent", not "the same bytes": of no use for If-Range. */
    bool strong = response->etag[0] == '"';
    memcpy(transfer->etag, strong ? response->etag : "", strong ? strlen(response->etag) + 1 : 1);
    return write_note(transfer, error);
}

static enum tl_status take(void *user, const void *data, size_t size, struct tl_error *error) {
    struct transfer *transfer = user;
    const char *bytes = data;
    transfer->counters->received += size;
    if (size > transfer->wanted->size - transfer->offset)
        return tl_error_set(error, TL_ERR_CORRUPT, "%s: the file at %s is longer than the %" PRIu64 " bytes expected",
                            transfer->wanted->path, transfer->wanted->url, transfer->wanted->size);
    size_t done = 0;
    while (done < size) {
        ssize_t wrote = pwrite(transfer->file, bytes + done, size - done, (off_t)(transfer->offset + done));
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return io_error(error, transfer->part.data, "cannot be written");
        done += (size_t)wrote;
    }
    tl_sha256_update(transfer->sha, data, size);
    transfer->offset += size;
    if (transfer->wanted->progress != NULL)
        transfer->wanted->progress(transfer->wanted->user, transfer->offset, transfer->wanted->size);
    return TL_OK;
}

/* One request for what is missing. */
static enum tl_status request_rest(struct transfer *transfer, unsigned *retry_after, struct tl_error *error) {
    struct tl_str range = TL_STR_INIT, condition = TL_STR_INIT;
    const char *headers[3] = {NULL};
    if (transfer->offset > 0) {
        tl_str_printf(&range, "Range: bytes=%" PRIu64 "-", transfer->offset);
        headers[0] = range.data;
        if (transfer->etag[0] != '\0') {
            tl_str_printf(&condition, "If-Range: %s", transfer->etag);
            headers[1] = condition.data;
        }
    }
    const struct tl_http_request request = {
        .url = transfer->wanted->url,
        .token = transfer->wanted->token,
        .headers = headers,
        .stall_seconds = transfer->wanted->stall_seconds,
    };
    const struct tl_http_sink sink = {.begin = begin, .data = take, .user = transfer};
    struct tl_http_response response;
    transfer->counters->requests++;
    enum tl_status status = tl_http_get(&request, &sink, &response, error);
    *retry_after = response.retry_after;
    tl_str_fini(&range);
    tl_str_fini(&condition);
    if (status == TL_ERR_LIMIT && response.status == 416 && transfer->offset > 0) {
        status = empty_part(transfer, error); /* what is there is no part of what the server has */
        return status == TL_OK ? TL_ERR_BUSY : status;
    }
    if (status == TL_OK && transfer->offset < transfer->wanted->size)
        status = tl_error_set(error, TL_ERR_BUSY, "%s: only %" PRIu64 " of %" PRIu64 " bytes came",
                              transfer->wanted->url, transfer->offset, transfer->wanted->size);
    return status;
}

static void wait_ms(uint64_t ms) {
    struct timespec rest = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        continue;
}

/* Requests until all bytes are there, or nothing comes any more. */
static enum tl_status fetch_all(struct transfer *transfer, struct tl_error *error) {
    unsigned most = transfer->wanted->attempts == 0 ? DEFAULT_ATTEMPTS : transfer->wanted->attempts;
    uint64_t delay = transfer->wanted->first_delay_ms;
    for (unsigned attempt = 0; transfer->offset < transfer->wanted->size;) {
        uint64_t before = transfer->counters->received;
        unsigned retry_after = 0;
        enum tl_status status = request_rest(transfer, &retry_after, error);
        if (status != TL_OK && status != TL_ERR_BUSY)
            return status;
        if (transfer->counters->received > before) {
            attempt = 0;
            delay = transfer->wanted->first_delay_ms;
        }
        if (status == TL_OK)
            break;
        transfer->resumed = transfer->offset > 0;
        if (++attempt >= most)
            return status;
        uint64_t asked = (uint64_t)retry_after * 1000;
        uint64_t wait = asked > delay ? asked : delay;
        wait_ms(wait < LONGEST_DELAY_MS ? wait : LONGEST_DELAY_MS);
        delay = delay * 2 < LONGEST_DELAY_MS ? delay * 2 : LONGEST_DELAY_MS;
    }
    return TL_OK;
}

static enum tl_status check_digest(struct transfer *transfer, struct tl_error *error) {
    char found[TL_SHA256_HEX_SIZE];
    tl_sha256_finish(transfer->sha, found);
    transfer->sha = tl_sha256_create();
    if (strcmp(found, transfer->wanted->sha256) == 0)
        return TL_OK;
    return tl_error_set(error, TL_ERR_CORRUPT, "%s: the file at %s has SHA-256 %s, expected %s; it was not kept",
                        transfer->wanted->path, transfer->wanted->url, found, transfer->wanted->sha256);
}

static enum tl_status finish(struct transfer *transfer, struct tl_error *error) {
    if (fsync(transfer->file) != 0)
        return io_error(error, transfer->part.data, "cannot be flushed to disk");
    if (rename(transfer->part.data, transfer->wanted->path) != 0)
        return io_error(error, transfer->wanted->path, "cannot be replaced");
    unlink(transfer->note.data);
    return TL_OK;
}

enum tl_status tl_download_file(const struct tl_download *download, struct tl_download_counters *counters,
                                struct tl_error *error) {
    struct tl_download_counters ours = {0};
    struct transfer transfer = {
        .wanted = download,
        .counters = counters == NULL ? &ours : counters,
        .part = TL_STR_INIT,
        .note = TL_STR_INIT,
        .file = -1,
    };
    tl_str_printf(&transfer.part, "%s.part", download->path);
    tl_str_printf(&transfer.note, "%s.part.json", download->path);
    reset_digest(&transfer);
    enum tl_status status = open_part(&transfer, error);
    if (status == TL_OK)
        status = check_space(&transfer, error);
    if (status == TL_OK)
        status = fetch_all(&transfer, error);
    if (status == TL_OK) {
        bool resumed = transfer.resumed;
        status = check_digest(&transfer, error);
        if (status == TL_ERR_CORRUPT && resumed) {
            /* The part may have been of another version of the file: once more, from the start. */
            status = empty_part(&transfer, error);
            if (status == TL_OK)
                status = fetch_all(&transfer, error);
            if (status == TL_OK)
                status = check_digest(&transfer, error);
        }
    }
    if (status == TL_OK)
        status = finish(&transfer, error);
    if (status == TL_ERR_CORRUPT) {
        unlink(transfer.part.data);
        unlink(transfer.note.data);
    }
    if (transfer.file >= 0)
        close(transfer.file);
    char unused[TL_SHA256_HEX_SIZE];
    tl_sha256_finish(transfer.sha, unused);
    tl_str_fini(&transfer.part);
    tl_str_fini(&transfer.note);
    return status;
}
