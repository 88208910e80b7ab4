#define _POSIX_C_SOURCE 200809L

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/str.h"

static _Atomic int threshold = TL_LOG_WARN;

void tl_log_set_level(enum tl_log_level level) {
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

enum tl_log_level tl_log_get_level(void) {
    return (enum tl_log_level)atomic_load_explicit(&threshold, memory_order_relaxed);
}

void tl_log(enum tl_log_level level, const char *format, ...) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (level > tl_log_get_level())
        return;
    struct tl_str line = TL_STR_INIT;
    tl_str_printf(&line, "teola: %s: ", names[level]);
    va_list args;
    va_start(args, format);
    tl_str_vprintf(&line, format, args);
    va_end(args);
    /* A message may quote input: it stays one line and cannot steer the terminal. */
    for (size_t i = 0; i < line.length; i++)
        if ((unsigned char)line.data[i] < 0x20 || line.data[i] == 0x7f)
            line.data[i] = '?';
    tl_str_putc(&line, '\n');
    size_t done = 0;
    while (done < line.length) {
        ssize_t wrote = write(STDERR_FILENO, line.data + done, line.length - done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            break;
        done += (size_t)wrote;
    }
    tl_str_fini(&line);
}
