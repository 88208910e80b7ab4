/* confined.c: see confined.h. Between fork and exec only functions that are safe after a fork in a
 * threaded process are called. */
#include "engine/documents/confined.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

struct child {
    pid_t pid;
    int handle;            /* pidfd; -1 where the kernel has none */
    int output, complaint; /* read ends; -1 once at their end */
};

bool tl_confined_find(const char *name, char *out, size_t size) {
    const char *path = getenv("PATH");
    if (path == NULL || *path == '\0')
        path = "/usr/local/bin:/usr/bin:/bin";
    while (true) {
        size_t length = strcspn(path, ":");
        int written = snprintf(out, size, "%.*s/%s", (int)length, path, name);
        if (length > 0 && written > 0 && (size_t)written < size && access(out, X_OK) == 0)
            return true;
        if (path[length] == '\0')
            return false;
        path += length + 1;
    }
}

static void set_limit(int resource, rlim_t value) {
    struct rlimit limit = {value, value};
    setrlimit(resource, &limit);
}

_Noreturn static void become(const struct tl_confined *run, int input, int output, int complaint) {
    static const char *const environment[] = {"LANG=C.UTF-8", NULL};
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (unshare(CLONE_NEWNET) != 0)
        (void)!unshare(CLONE_NEWUSER | CLONE_NEWNET); /* where neither is allowed: as it is */
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    /* The parent may lack some of 0, 1, 2, so that ours are among them: first out of the way. */
    input = fcntl(input, F_DUPFD, 3);
    output = fcntl(output, F_DUPFD, 3);
    complaint = fcntl(complaint, F_DUPFD, 3);
    if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(complaint, 2) < 0 || chdir("/") != 0)
        _exit(126);
    close_range(3, ~0U, 0);

    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_FSIZE, 0);
    set_limit(RLIMIT_NOFILE, 64);
    set_limit(RLIMIT_CPU, run->seconds);
    set_limit(RLIMIT_AS, run->max_memory);
    execve(run->program, (char *const *)run->argv, (char *const *)environment);
    _exit(127);
}

static enum tl_status fail(struct tl_error *error, const char *what) {
    return tl_error_set(error, TL_ERR_IO, "%s: %s", what, strerror(errno));
}

/* A file without a name that holds the input. */
static int make_input(const struct tl_confined *run) {
    int file = memfd_create("document", MFD_CLOEXEC);
    size_t done = 0;
    while (file >= 0 && done < run->input_length) {
        ssize_t wrote = write(file, run->input + done, run->input_length - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            close(file);
            return -1;
        }
        done += (size_t)wrote;
    }
    if (file >= 0)
        lseek(file, 0, SEEK_SET);
    return file;
}

static enum tl_status start(const struct tl_confined *run, struct child *child, struct tl_error *error) {
    int output[2] = {-1, -1}, complaint[2] = {-1, -1};
    int input = make_input(run);
    bool ready = input >= 0 && pipe2(output, O_CLOEXEC) == 0 && pipe2(complaint, O_CLOEXEC) == 0;
    child->pid = ready ? fork() : -1;
    if (child->pid == 0)
        become(run, input, output[1], complaint[1]);
    enum tl_status status = child->pid > 0 ? TL_OK : fail(error, "could not be given to a child process");
    if (input >= 0)
        close(input);
    for (size_t end = 0; end < 2; end++) { /* on success the read ends stay open */
        if (output[end] >= 0 && (end == 1 || status != TL_OK))
            close(output[end]);
        if (complaint[end] >= 0 && (end == 1 || status != TL_OK))
            close(complaint[end]);
    }
    if (status != TL_OK)
        return status;
    setpgid(child->pid, child->pid); /* as the child does: whoever comes first */
    child->handle = (int)syscall(SYS_pidfd_open, child->pid, 0);
    child->output = output[0];
    child->complaint = complaint[0];
    return TL_OK;
}

/* Reads once; closes the pipe at its end. False when the output is larger than allowed. */
static enum tl_status drain_output(struct child *child, const struct tl_confined *run,
                                   struct tl_confined_result *result, size_t *capacity) {
    if (*capacity - result->length < 65536) {
        size_t grown = *capacity + *capacity / 2 + 131072;
        char *output = realloc(result->output, grown + 1);
        if (output == NULL)
            return TL_ERR_NO_MEMORY;
        result->output = output;
        *capacity = grown;
    }
    ssize_t got = read(child->output, result->output + result->length, *capacity - result->length);
    if (got > 0) {
        result->length += (size_t)got;
        return result->length > run->max_output ? TL_ERR_LIMIT : TL_OK;
    }
    if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        close(child->output);
        child->output = -1;
    }
    return TL_OK;
}

/* Keeps the beginning, reads the rest away. */
static void drain_complaint(struct child *child, struct tl_confined_result *result, size_t *used) {
    char buffer[512];
    ssize_t got = read(child->complaint, buffer, sizeof buffer);
    if (got > 0) {
        size_t keep = sizeof result->complaint - 1 - *used;
        if (keep > (size_t)got)
            keep = (size_t)got;
        memcpy(result->complaint + *used, buffer, keep);
        *used += keep;
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        close(child->complaint);
        child->complaint = -1;
    }
}

/* Until the program has closed both pipes and ended. */
static enum tl_status converse(struct child *child, const struct tl_confined *run, struct tl_confined_result *result,
                               struct tl_error *error) {
    uint64_t deadline = tl_clock_now() + run->seconds * TL_NS_PER_S;
    size_t capacity = 0, complained = 0;
    bool ended = false;
    while (child->output >= 0 || child->complaint >= 0 || !ended) {
        uint64_t now = tl_clock_now();
        if (now >= deadline)
            return tl_error_set(error, TL_ERR_LIMIT, "took longer than %u seconds", run->seconds);
        bool pipes_open = child->output >= 0 || child->complaint >= 0;
        if (!pipes_open && child->handle < 0)
            break; /* without a handle there is nothing to wait on with a deadline */
        struct pollfd waits[3] = {
            {child->output, POLLIN, 0}, {child->complaint, POLLIN, 0}, {pipes_open ? -1 : child->handle, POLLIN, 0}};
        int count = poll(waits, 3, (int)((deadline - now) / TL_NS_PER_MS + 1));
        if (count < 0 && errno != EINTR)
            return fail(error, "could not wait for a child process");
        if (count <= 0)
            continue;
        ended = waits[2].revents != 0;
        if (waits[1].revents != 0)
            drain_complaint(child, result, &complained);
        enum tl_status status = waits[0].revents != 0 ? drain_output(child, run, result, &capacity) : TL_OK;
        if (status == TL_ERR_LIMIT)
            return tl_error_set(error, status, "holds more than %zu bytes of text", run->max_output);
        if (status != TL_OK)
            return tl_error_set(error, status, "needs more memory than there is");
    }
    return TL_OK;
}

/* Kills what is left of the group and collects the child. */
static int finish(struct child *child, bool kill_it) {
    if (kill_it && kill(-child->pid, SIGKILL) != 0)
        kill(child->pid, SIGKILL);
    int state = 0;
    while (waitpid(child->pid, &state, 0) < 0)
        if (errno != EINTR)
            return -1;
    if (!kill_it)
        kill(-child->pid, SIGKILL); /* descendants, if it had any */
    if (child->output >= 0)
        close(child->output);
    if (child->complaint >= 0)
        close(child->complaint);
    if (child->handle >= 0)
        close(child->handle);
    return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

enum tl_status tl_confined_run(const struct tl_confined *run, struct tl_confined_result *result,
                               struct tl_error *error) {
    *result = (struct tl_confined_result){0};
    if (access(run->program, X_OK) != 0)
        return tl_error_set(error, TL_ERR_NOT_FOUND, "needs %s: %s", run->program, strerror(errno));
    struct child child;
    enum tl_status status = start(run, &child, error);
    if (status != TL_OK)
        return status;
    status = converse(&child, run, result, error);
    result->exit_code = finish(&child, status != TL_OK);
    if (result->output != NULL)
        result->output[result->length] = '\0';
    if (status != TL_OK) {
        free(result->output);
        result->output = NULL;
        result->length = 0;
    }
    return status;
}
