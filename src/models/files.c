/* files.c: locks, work folders and flushing: what every way of making a model's file needs. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "models/models_internal.h"

enum tl_status tl_models_take_lock(const struct tl_models *models, const char *name, void (*waits)(void *user),
                                   void *user, int *lock, struct tl_error *error) {
    struct tl_str path = TL_STR_INIT;
    enum tl_status status = tl_file_make_directories(models->directory.data, error);
    *lock = -1;
    if (status != TL_OK)
        return status;
    tl_str_printf(&path, "%s/.%s.lock", models->directory.data, name);
    /* Without O_CLOEXEC: a child shares the lock, so that when this process is killed the next one waits until
     * the child has ended, and does not clear the work folder under its hands. */
    *lock = open(path.data, O_RDWR | O_CREAT, 0666);
    int failed = *lock < 0;
    if (!failed && flock(*lock, LOCK_EX | LOCK_NB) != 0) {
        failed = errno != EWOULDBLOCK;
        if (!failed) {
            if (waits != NULL)
                waits(user);
            while ((failed = flock(*lock, LOCK_EX)) != 0 && errno == EINTR)
                continue;
        }
    }
    if (failed)
        status = tl_error_set(error, TL_ERR_IO, "%s: cannot be locked: %s", path.data, strerror(errno));
    tl_str_fini(&path);
    return status;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void tl_models_remove_folder(const char *path) {
    if (tl_file_exists(path) && nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        tl_log(TL_LOG_WARN, "%s: cannot be removed: %s", path, strerror(errno));
}

enum tl_status tl_models_sync_file(const char *path, struct tl_error *error) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    int failed = file < 0 || fsync(file) != 0;
    int code = errno;
    if (file >= 0)
        close(file);
    return failed ? tl_error_set(error, TL_ERR_IO, "%s: cannot be flushed to disk: %s", path, strerror(code)) : TL_OK;
}
