/* llama_prefix_files.c: see llama_prefix_files.h. */
#define _XOPEN_SOURCE 700

#include "engine/llama/llama_prefix_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

struct tl_prefix_files {
    char *folder;
    uint64_t most_bytes;
    uint8_t identity[TL_SHA256_SIZE];
};

/* What a file begins with: in this machine's own byte order, as is the state. */
struct head {
    char magic[8]; /* the last is the version of this form */
    uint64_t count, size;
    uint8_t identity[TL_SHA256_SIZE];
};

static const char magic[8] = {'T', 'e', 'o', 'l', 'a', 'K', 'V', 1};

/* ---- the folder ---- */

/* Whether only this user can have written it. */
static bool is_private(const struct stat *info) {
    return info->st_uid == geteuid() && (info->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

static enum tl_status make_folder(const char *folder, struct tl_error *error) {
    const char *slash = strrchr(folder, '/');
    enum tl_status status = TL_OK;
    if (slash && slash > folder) {
        char *parent = tl_mem_strndup(folder, (size_t)(slash - folder));
        status = tl_file_make_directories(parent, error);
        tl_mem_free(parent);
    }
    struct stat info;
    if (status != TL_OK)
        return status;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return tl_error_set(error, TL_ERR_IO, "%s: the directory cannot be made: %s", folder, strerror(errno));
    if (lstat(folder, &info) != 0 || !S_ISDIR(info.st_mode) || !is_private(&info))
        return tl_error_set(error, TL_ERR_INVALID,
                            "%s must be a directory that belongs to this user and is closed to others (chmod 700)",
                            folder);
    return TL_OK;
}

enum tl_status tl_prefix_files_open(const char *folder, uint64_t most_bytes, const char *identity,
                                    struct tl_prefix_files **files, struct tl_error *error) {
    enum tl_status status = make_folder(folder, error);
    if (status != TL_OK)
        return status;
    *files = tl_mem_zalloc(sizeof **files);
    (*files)->folder = tl_mem_strdup(folder);
    (*files)->most_bytes = most_bytes;
    struct tl_sha256 *sum = tl_sha256_create();
    tl_sha256_update(sum, identity, strlen(identity));
    tl_sha256_digest(sum, (*files)->identity);
    tl_sha256_destroy(sum);
    return TL_OK;
}

void tl_prefix_files_close(struct tl_prefix_files *files) {
    if (!files)
        return;
    tl_mem_free(files->folder);
    tl_mem_free(files);
}

static void make_path(const struct tl_prefix_files *files, const int32_t *ids, size_t count, struct tl_str *path) {
    char hex[TL_SHA256_HEX_SIZE];
    struct tl_sha256 *sum = tl_sha256_create();
    tl_sha256_update(sum, files->identity, sizeof files->identity);
    tl_sha256_update(sum, ids, count * sizeof *ids);
    tl_sha256_finish(sum, hex);
    tl_str_printf(path, "%s/%.32s.kv", files->folder, hex);
}

static void fill_head(const struct tl_prefix_files *files, size_t count, size_t size, struct head *head) {
    *head = (struct head){.count = count, .size = size};
    memcpy(head->magic, magic, sizeof magic);
    memcpy(head->identity, files->identity, sizeof head->identity);
}

/* ---- reading ---- */

static bool read_exactly(int file, void *data, size_t size) {
    char *at = data;
    while (size > 0) {
        ssize_t got = read(file, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}

/* NULL: the state is right. Else what is wrong. */
static const char *check(const struct tl_prefix_files *files, int file, const int32_t *ids, size_t count, void *state,
                         size_t size) {
    struct stat info;
    struct head head, found;
    uint8_t digest[TL_SHA256_SIZE], said[TL_SHA256_SIZE];
    const size_t ids_bytes = count * sizeof *ids;
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode))
        return "it is no regular file";
    if (!is_private(&info))
        return "it does not belong to this user alone";
    if (info.st_size < 0 || (uint64_t)info.st_size != sizeof head + ids_bytes + size + sizeof digest)
        return "it has another size";
    fill_head(files, count, size, &head);
    if (!read_exactly(file, &found, sizeof found) || memcmp(&head, &found, sizeof head) != 0)
        return "its head is another";
    int32_t *found_ids = tl_mem_alloc(ids_bytes);
    bool same = read_exactly(file, found_ids, ids_bytes) && memcmp(ids, found_ids, ids_bytes) == 0;
    tl_mem_free(found_ids);
    if (!same)
        return "its tokens are others";
    if (!read_exactly(file, state, size) || !read_exactly(file, said, sizeof said))
        return "it cannot be read";
    struct tl_sha256 *sum = tl_sha256_create();
    tl_sha256_update(sum, &head, sizeof head);
    tl_sha256_update(sum, ids, ids_bytes);
    tl_sha256_update(sum, state, size);
    tl_sha256_digest(sum, digest);
    tl_sha256_destroy(sum);
    return memcmp(digest, said, sizeof digest) == 0 ? NULL : "its checksum is wrong";
}

enum tl_status tl_prefix_files_read(const struct tl_prefix_files *files, const int32_t *ids, size_t count, void *state,
                                    size_t size, struct tl_error *error) {
    struct tl_str path = TL_STR_INIT;
    make_path(files, ids, count, &path);
    enum tl_status status = TL_OK;
    int file = open(path.data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) {
        status = tl_error_set(error, TL_ERR_NOT_FOUND, "%s is not there", path.data);
    } else {
        const char *wrong = file < 0 ? strerror(errno) : check(files, file, ids, count, state, size);
        if (wrong) {
            unlink(path.data);
            status = tl_error_set(error, TL_ERR_CORRUPT, "%s was not used and is removed: %s", path.data, wrong);
        } else {
            futimens(file, NULL); /* used now; when it cannot be noted, it only goes earlier */
        }
    }
    if (file >= 0)
        close(file);
    tl_str_fini(&path);
    return status;
}

/* ---- the bound ---- */

struct entry {
    char *name;
    uint64_t bytes;
    struct timespec used;
};

struct listing {
    DIR *folder;
    struct entry *entries;
    size_t count, capacity;
    uint64_t bytes;
};

/* Everything that is a file: also what a process that died has left under a temporary name. */
static void list(const char *folder, struct listing *listing) {
    *listing = (struct listing){.folder = opendir(folder)};
    for (struct dirent *found; listing->folder && (found = readdir(listing->folder)) != NULL;) {
        struct stat info;
        if (fstatat(dirfd(listing->folder), found->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode))
            continue;
        listing->entries =
            tl_mem_grow(listing->entries, &listing->capacity, listing->count + 1, sizeof *listing->entries);
        listing->entries[listing->count++] =
            (struct entry){tl_mem_strdup(found->d_name), (uint64_t)info.st_size, info.st_mtim};
        listing->bytes += (uint64_t)info.st_size;
    }
}

static void listing_fini(struct listing *listing) {
    for (size_t i = 0; i < listing->count; i++)
        tl_mem_free(listing->entries[i].name);
    tl_mem_free(listing->entries);
    if (listing->folder)
        closedir(listing->folder);
}

static int by_use(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return x->used.tv_nsec < y->used.tv_nsec ? -1 : x->used.tv_nsec > y->used.tv_nsec;
}

static void shrink(const struct tl_prefix_files *files) {
    struct listing listing;
    list(files->folder, &listing);
    if (listing.count > 1)
        qsort(listing.entries, listing.count, sizeof *listing.entries, by_use);
    for (size_t i = 0; i < listing.count && listing.bytes > files->most_bytes; i++) {
        unlinkat(dirfd(listing.folder), listing.entries[i].name, 0);
        listing.bytes -= listing.entries[i].bytes;
    }
    listing_fini(&listing);
}

void tl_prefix_files_sum(const char *folder, size_t *count, uint64_t *bytes) {
    struct listing listing;
    list(folder, &listing);
    *count = listing.count;
    *bytes = listing.bytes;
    listing_fini(&listing);
}

/* ---- writing ---- */

enum tl_status tl_prefix_files_write(const struct tl_prefix_files *files, const int32_t *ids, size_t count,
                                     const void *state, size_t size, struct tl_error *error) {
    struct head head;
    const size_t ids_bytes = count * sizeof *ids, digested = sizeof head + ids_bytes + size;
    if (digested + TL_SHA256_SIZE > files->most_bytes)
        return tl_error_set(error, TL_ERR_LIMIT, "the KV of %zu tokens has %zu bytes, more than all files may have",
                            count, digested);
    struct tl_str path = TL_STR_INIT;
    make_path(files, ids, count, &path);
    enum tl_status status = TL_OK;
    if (!tl_file_exists(path.data)) {
        uint8_t *content = tl_mem_try_alloc(digested + TL_SHA256_SIZE);
        if (content) {
            fill_head(files, count, size, &head);
            memcpy(content, &head, sizeof head);
            memcpy(content + sizeof head, ids, ids_bytes);
            memcpy(content + sizeof head + ids_bytes, state, size);
            struct tl_sha256 *sum = tl_sha256_create();
            tl_sha256_update(sum, content, digested);
            tl_sha256_digest(sum, content + digested);
            tl_sha256_destroy(sum);
            status = tl_file_write_private(path.data, content, digested + TL_SHA256_SIZE, error);
        } else {
            status = tl_error_set(error, TL_ERR_NO_MEMORY, "out of memory for the KV of %zu tokens", count);
        }
        tl_mem_free(content);
        shrink(files);
    }
    tl_str_fini(&path);
    return status;
}
