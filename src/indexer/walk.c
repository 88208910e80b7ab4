#include "indexer/walk.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

struct walk {
    char *const *roots;
    size_t root_count;
    bool (*each)(void *context, const struct tl_walk_file *file);
    void *context;
    struct tl_str path;    /* of the present entry */
    struct tl_map entered; /* directories, by device and inode */
};

struct names {
    char **items; /* owned */
    size_t count, capacity;
};

enum tl_status tl_walk_roots(const char *const *paths, size_t count, char ***out, struct tl_error *error) {
    char **roots = tl_mem_zalloc((count + 1) * sizeof *roots);
    *out = NULL;
    for (size_t i = 0; i < count; i++) {
        char *resolved = realpath(paths[i], NULL);
        if (!resolved) {
            enum tl_status status = errno == ENOENT || errno == ENOTDIR ? TL_ERR_NOT_FOUND : TL_ERR_IO;
            tl_error_set(error, status, "%s: %s", paths[i], strerror(errno));
            tl_walk_roots_free(roots, i);
            return status;
        }
        roots[i] = tl_mem_strdup(resolved);
        free(resolved);
    }
    *out = roots;
    return TL_OK;
}

void tl_walk_roots_free(char **roots, size_t count) {
    if (!roots)
        return;
    for (size_t i = 0; i < count; i++)
        tl_mem_free(roots[i]);
    tl_mem_free(roots);
}

bool tl_walk_is_below(char *const *roots, size_t count, const char *path) {
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(roots[i]);
        if (strncmp(roots[i], path, length) == 0 &&
            (path[length] == '\0' || path[length] == '/' || (length > 0 && roots[i][length - 1] == '/')))
            return true;
    }
    return false;
}

/* Notes the directory; false when it has been entered before. */
static bool enter(struct walk *walk, const struct stat *facts) {
    char key[48];
    snprintf(key, sizeof key, "%ju:%ju", (uintmax_t)facts->st_dev, (uintmax_t)facts->st_ino);
    if (tl_map_has(&walk->entered, key))
        return false;
    tl_map_set(&walk->entered, key, walk);
    return true;
}

static bool report(struct walk *walk, const struct stat *facts, const char *wrong) {
    struct tl_walk_file file = {.path = walk->path.data, .wrong = wrong};
    if (facts) {
        file.size = (uint64_t)facts->st_size;
        file.modified = (int64_t)facts->st_mtim.tv_sec * 1000000000 + facts->st_mtim.tv_nsec;
    }
    return walk->each(walk->context, &file);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Reads the names in the directory walk->path, sorted; false when it cannot be read. */
static bool read_names(const struct walk *walk, struct names *names) {
    DIR *directory = opendir(walk->path.data);
    if (!directory)
        return false;
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        names->items = tl_mem_grow(names->items, &names->capacity, names->count + 1, sizeof *names->items);
        names->items[names->count++] = tl_mem_strdup(entry->d_name);
    }
    closedir(directory);
    if (names->count > 0)
        qsort(names->items, names->count, sizeof *names->items, compare_names);
    return true;
}

static bool visit(struct walk *walk);

static bool visit_directory(struct walk *walk) {
    struct names names = {0};
    bool go_on = true;
    if (!read_names(walk, &names))
        return report(walk, NULL, strerror(errno));
    size_t length = walk->path.length;
    for (size_t i = 0; i < names.count; i++) {
        if (go_on) {
            if (walk->path.data[length - 1] != '/')
                tl_str_putc(&walk->path, '/');
            tl_str_puts(&walk->path, names.items[i]);
            go_on = visit(walk);
            tl_str_truncate(&walk->path, length);
        }
        tl_mem_free(names.items[i]);
    }
    tl_mem_free(names.items);
    return go_on;
}

/* Why a symbolic link is not followed, or NULL. */
static const char *check_link(const struct walk *walk) {
    char *target = realpath(walk->path.data, NULL);
    if (!target)
        return errno == ENOENT ? "a symbolic link to nothing" : strerror(errno);
    bool below = tl_walk_is_below(walk->roots, walk->root_count, target);
    free(target);
    return below ? NULL : "a symbolic link that leads out of the paths given; name its target to have it indexed";
}

/* Visits what walk->path names. */
static bool visit(struct walk *walk) {
    struct stat facts;
    if (walk->path.length >= PATH_MAX)
        return report(walk, NULL, "the path is longer than the system allows");
    if (lstat(walk->path.data, &facts) != 0)
        return report(walk, NULL, strerror(errno));
    if (S_ISLNK(facts.st_mode)) {
        const char *wrong = check_link(walk);
        if (wrong)
            return report(walk, NULL, wrong);
        if (stat(walk->path.data, &facts) != 0)
            return report(walk, NULL, strerror(errno));
    }
    if (S_ISDIR(facts.st_mode))
        return enter(walk, &facts) ? visit_directory(walk) : true;
    if (!S_ISREG(facts.st_mode))
        return report(walk, NULL, "neither a file nor a directory");
    return report(walk, &facts, NULL);
}

bool tl_walk(char *const *roots, size_t count, bool (*each)(void *context, const struct tl_walk_file *file),
             void *context) {
    struct walk walk = {.roots = roots, .root_count = count, .each = each, .context = context};
    tl_str_init(&walk.path);
    tl_map_init(&walk.entered);
    bool go_on = true;
    for (size_t i = 0; i < count && go_on; i++) {
        tl_str_clear(&walk.path);
        tl_str_puts(&walk.path, roots[i]);
        go_on = visit(&walk);
    }
    tl_str_fini(&walk.path);
    tl_map_fini(&walk.entered);
    return go_on;
}
