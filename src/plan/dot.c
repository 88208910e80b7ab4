/* dot.c: DOT to SVG by graphviz' program `dot` as a child process, with a limit on time and size.
 * The drawing goes to the child as a file in memory, so there is nothing to feed while reading. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "plan/draw_impl.h"

#define TIME_LIMIT (60 * TL_NS_PER_S)
#define SIZE_LIMIT ((size_t)64 << 20)

extern char **environ;

static enum tl_status write_all(int fd, const char *data, size_t length, struct tl_error *error) {
    while (length > 0) {
        ssize_t written = write(fd, data, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return tl_error_set(error, TL_ERR_IO, "cannot hand the drawing to dot: %s", strerror(errno));
        data += written;
        length -= (size_t)written;
    }
    return TL_OK;
}

static enum tl_status spawn_dot(int input, int output, pid_t *child, struct tl_error *error) {
    char *const arguments[] = {"dot", "-Tsvg", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int failure = posix_spawnp(child, "dot", &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failure == ENOENT)
        return tl_error_set(error, TL_ERR_NOT_FOUND,
                            "the program dot was not found: install the package graphviz, or print the graph as DOT");
    if (failure != 0)
        return tl_error_set(error, TL_ERR_IO, "cannot start dot: %s", strerror(failure));
    return TL_OK;
}

static enum tl_status read_all(int fd, struct tl_str *out, struct tl_error *error) {
    uint64_t end = tl_clock_now() + TIME_LIMIT;
    size_t start = out->length;
    for (;;) {
        uint64_t now = tl_clock_now();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int ready = now < end ? poll(&wait, 1, (int)((end - now) / TL_NS_PER_MS) + 1) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return tl_error_set(error, TL_ERR_DEADLINE, "dot did not finish the drawing within %d s",
                                (int)(TIME_LIMIT / TL_NS_PER_S));
        char buffer[65536];
        ssize_t length = read(fd, buffer, sizeof buffer);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            return tl_error_set(error, TL_ERR_IO, "cannot read from dot: %s", strerror(errno));
        if (length == 0)
            return TL_OK;
        if (out->length - start + (size_t)length > SIZE_LIMIT)
            return tl_error_set(error, TL_ERR_LIMIT, "the drawing is larger than %zu MiB", SIZE_LIMIT >> 20);
        tl_str_append(out, buffer, (size_t)length);
    }
}

/* Waits for the child, which is killed first when its work is not wanted any more. */
static enum tl_status finish(pid_t child, enum tl_status status, struct tl_error *error) {
    int code = 0;
    if (status != TL_OK)
        kill(child, SIGKILL);
    while (waitpid(child, &code, 0) < 0 && errno == EINTR);
    if (status == TL_OK && (!WIFEXITED(code) || WEXITSTATUS(code) != 0))
        return tl_error_set(error, TL_ERR_INVALID, "dot could not draw the graph (it %s %d)",
                            WIFEXITED(code) ? "ended with code" : "was killed by signal",
                            WIFEXITED(code) ? WEXITSTATUS(code) : WTERMSIG(code));
    return status;
}

enum tl_status tl_draw_lay_out(const char *dot, size_t length, struct tl_str *svg, struct tl_error *error) {
    int output[2] = {-1, -1};
    size_t start = svg->length;
    pid_t child;
    enum tl_status status = TL_OK;
    int input = memfd_create("drawing", MFD_CLOEXEC);
    if (input < 0 || pipe2(output, O_CLOEXEC) != 0)
        status = tl_error_set(error, TL_ERR_IO, "cannot prepare the drawing: %s", strerror(errno));
    if (status == TL_OK)
        status = write_all(input, dot, length, error);
    if (status == TL_OK && lseek(input, 0, SEEK_SET) != 0)
        status = tl_error_set(error, TL_ERR_IO, "cannot prepare the drawing: %s", strerror(errno));
    if (status == TL_OK)
        status = spawn_dot(input, output[1], &child, error);
    if (output[1] >= 0)
        close(output[1]);
    if (status == TL_OK)
        status = finish(child, read_all(output[0], svg, error), error);
    if (output[0] >= 0)
        close(output[0]);
    if (input >= 0)
        close(input);
    if (status != TL_OK)
        tl_str_truncate(svg, start);
    return status;
}
