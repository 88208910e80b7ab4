#define _POSIX_C_SOURCE 200809L

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static const char *const status_names[TL_STATUS_COUNT] = {
    [TL_OK] = "ok",
    [TL_ERR_USAGE] = "wrong use",
    [TL_ERR_INVALID] = "invalid",
    [TL_ERR_NOT_FOUND] = "not found",
    [TL_ERR_IO] = "input/output error",
    [TL_ERR_NO_MEMORY] = "out of memory",
    [TL_ERR_LIMIT] = "limit exceeded",
    [TL_ERR_BUSY] = "busy",
    [TL_ERR_UNSUPPORTED] = "unsupported",
    [TL_ERR_CORRUPT] = "corrupt",
    [TL_ERR_ENGINE] = "engine failure",
    [TL_ERR_DEADLINE] = "deadline passed",
    [TL_ERR_CANCELLED] = "cancelled",
};

const char *tl_status_name(enum tl_status status) {
    if ((unsigned)status >= TL_STATUS_COUNT)
        return "unknown status";
    return status_names[status];
}

/* Formats into message[TL_ERROR_MESSAGE_MAX]; what does not fit is cut and marked. */
static void format_message(char *message, const char *format, va_list args) {
    int needed = vsnprintf(message, TL_ERROR_MESSAGE_MAX, format, args);
    if (needed < 0) {
        snprintf(message, TL_ERROR_MESSAGE_MAX, "(message could not be formatted: %s)", format);
        return;
    }
    if ((size_t)needed < TL_ERROR_MESSAGE_MAX)
        return;
    size_t border = tl_utf8_border(message, TL_ERROR_MESSAGE_MAX - 1, TL_ERROR_MESSAGE_MAX - sizeof "...");
    memcpy(message + border, "...", sizeof "...");
}

enum tl_status tl_error_setv(struct tl_error *error, enum tl_status status, const char *format, va_list args) {
    if (error == NULL)
        return status;
    /* The arguments may point into error->message, so it is written only at the end. */
    char message[TL_ERROR_MESSAGE_MAX];
    format_message(message, format, args);
    error->status = status;
    memcpy(error->message, message, strlen(message) + 1);
    return status;
}

enum tl_status tl_error_set(struct tl_error *error, enum tl_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tl_error_setv(error, status, format, args);
    va_end(args);
    return status;
}

enum tl_status tl_error_prefix(struct tl_error *error, const char *format, ...) {
    if (error == NULL)
        TL_BUG("tl_error_prefix needs an error to prefix");
    char prefix[TL_ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    format_message(prefix, format, args);
    va_end(args);
    return tl_error_set(error, error->status, "%s: %s", prefix, error->message);
}

_Noreturn void tl_bug_at(const char *file, int line, const char *format, ...) {
    char message[TL_ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    format_message(message, format, args);
    va_end(args);
    fprintf(stderr, "teola: defect at %s:%d: %s\n", file, line, message);
    fflush(stderr);
    abort();
}
