#include "models/python.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"

extern char **environ;

enum { MOST_ARGUMENTS = 24, LARGEST_LOG = 16 << 20, SHOWN_OF_LOG = 600 };

static enum tl_status find_python(struct tl_str *path, struct tl_error *error) {
    const char *given = getenv("TEOLA_PYTHON");
    if (given != NULL && given[0] != '\0') {
        /* A relative path is meant from here, but the child starts in another folder. */
        char here[4096];
        if (given[0] != '/' && strchr(given, '/') != NULL && getcwd(here, sizeof here) != NULL)
            tl_str_printf(path, "%s/", here);
        tl_str_puts(path, given);
        return TL_OK;
    }
    enum tl_status status = tl_file_cache_path("venv/bin/python", path, error);
    if (status == TL_OK && access(path->data, X_OK) != 0) {
        tl_str_clear(path);
        tl_str_puts(path, "python3");
    }
    return status;
}

/* The end of the log as one line, which says why the child failed. */
static void append_log_end(const char *log, struct tl_str *out) {
    struct tl_str text = TL_STR_INIT;
    if (tl_file_read(log, LARGEST_LOG, &text, NULL) == TL_OK) {
        size_t start = text.length > SHOWN_OF_LOG ? text.length - SHOWN_OF_LOG : 0;
        const char *line = start == 0 ? text.data : strchr(text.data + start, '\n');
        bool gap = false;
        for (const char *c = line == NULL ? text.data + start : line; *c != '\0'; c++) {
            if ((unsigned char)*c <= ' ') {
                gap = out->length > 0;
                continue;
            }
            if (gap)
                tl_str_putc(out, ' ');
            gap = false;
            tl_str_putc(out, *c);
        }
    }
    tl_str_fini(&text);
}

static enum tl_status wait_for(pid_t child, const char *name, const char *log, struct tl_error *error) {
    int result;
    while (waitpid(child, &result, 0) < 0)
        if (errno != EINTR)
            return tl_error_set(error, TL_ERR_IO, "%s: cannot be waited for: %s", name, strerror(errno));
    if (WIFEXITED(result) && WEXITSTATUS(result) == 0)
        return TL_OK;
    struct tl_str reason = TL_STR_INIT;
    append_log_end(log, &reason);
    if (WIFSIGNALED(result))
        tl_error_set(error, TL_ERR_IO, "%s: ended by signal %d: %s", name, WTERMSIG(result), reason.data);
    else
        tl_error_set(error, TL_ERR_IO, "%s: failed (exit status %d): %s", name, WEXITSTATUS(result), reason.data);
    tl_str_fini(&reason);
    return TL_ERR_IO;
}

/* Starts argv[0] in `directory` with its output in the file `log` and signals as in a fresh process,
 * whatever this one ignores or blocks. Returns an errno value. */
static int spawn(const char *const *argv, const char *directory, const char *log, pid_t *child) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t usual, none;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    if (posix_spawn_file_actions_init(&actions) != 0 || posix_spawnattr_init(&attributes) != 0 ||
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0) != 0 ||
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC, 0600) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO) != 0 ||
        posix_spawn_file_actions_addchdir_np(&actions, directory) != 0 ||
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK) != 0 ||
        posix_spawnattr_setsigdefault(&attributes, &usual) != 0 || posix_spawnattr_setsigmask(&attributes, &none) != 0)
        TL_BUG("posix_spawn could not be prepared");
    int failed = posix_spawnp(child, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

/* Runs the interpreter with `arguments` after -I. */
static enum tl_status run(const char *name, const char *const *arguments, const char *directory,
                          struct tl_error *error) {
    struct tl_str python = TL_STR_INIT, log = TL_STR_INIT;
    const char *argv[MOST_ARGUMENTS + 3] = {NULL, "-I"};
    size_t count = 2;
    enum tl_status status = find_python(&python, error);
    if (status != TL_OK)
        goto out;
    argv[0] = python.data;
    for (const char *const *argument = arguments; *argument != NULL; argument++) {
        TL_ASSERT(count < MOST_ARGUMENTS + 2);
        argv[count++] = *argument;
    }
    tl_str_printf(&log, "%s/python.log", directory);

    pid_t child;
    int failed = spawn(argv, directory, log.data, &child);
    if (failed != 0)
        status = tl_error_set(error, TL_ERR_NOT_FOUND,
                              "%s: Python (%s) cannot be started: %s; set TEOLA_PYTHON, or run scripts/setup", name,
                              python.data, strerror(failed));
    else
        status = wait_for(child, name, log.data, error);
out:
    tl_str_fini(&python);
    tl_str_fini(&log);
    return status;
}

enum tl_status tl_python_run(const char *name, const char *script, const char *const *arguments, const char *directory,
                             struct tl_error *error) {
    const char *argv[MOST_ARGUMENTS] = {"-c", script};
    size_t count = 2;
    for (const char *const *argument = arguments; *argument != NULL; argument++) {
        TL_ASSERT(count < MOST_ARGUMENTS - 1);
        argv[count++] = *argument;
    }
    return run(name, argv, directory, error);
}

/* Appends the path of the one wheel in the folder. */
static enum tl_status find_wheel(const char *directory, struct tl_str *wheel, struct tl_error *error) {
    DIR *folder = opendir(directory);
    size_t found = 0;
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (tl_str_ends_with(entry->d_name, ".whl") && found++ == 0)
            tl_str_printf(wheel, "%s/%s", directory, entry->d_name);
    if (folder != NULL)
        closedir(folder);
    if (found == 1)
        return TL_OK;
    return tl_error_set(error, TL_ERR_NOT_FOUND, "%s: holds %zu wheels after pip, expected one", directory, found);
}

enum tl_status tl_python_fetch_wheel(const char *package, const char *version, const char *sha256,
                                     const char *directory, struct tl_str *wheel, struct tl_error *error) {
    struct tl_str line = TL_STR_INIT, requirements = TL_STR_INIT;
    char found[TL_SHA256_HEX_SIZE];
    tl_str_printf(&line, "%s==%s --hash=sha256:%s\n", package, version, sha256);
    tl_str_printf(&requirements, "%s/requirements.txt", directory);
    enum tl_status status = tl_file_write_atomic(requirements.data, line.data, line.length, error);
    if (status == TL_OK) {
        const char *const arguments[] = {"-m",
                                         "pip",
                                         "download",
                                         "--quiet",
                                         "--disable-pip-version-check",
                                         "--no-cache-dir",
                                         "--no-deps",
                                         "--only-binary=:all:",
                                         "--require-hashes",
                                         "--dest",
                                         ".",
                                         "--requirement",
                                         "requirements.txt",
                                         NULL};
        status = run("pip download", arguments, directory, error);
        if (status != TL_OK && error != NULL)
            tl_error_prefix(error, "the wheel %s %s", package, version);
    }
    if (status == TL_OK)
        status = find_wheel(directory, wheel, error);
    if (status == TL_OK)
        status = tl_sha256_file(wheel->data, found, error);
    if (status == TL_OK && strcmp(found, sha256) != 0)
        status = tl_error_set(error, TL_ERR_CORRUPT, "%s: has SHA-256 %s, expected %s", wheel->data, found, sha256);
    tl_str_fini(&line);
    tl_str_fini(&requirements);
    return status;
}
