/* error.h: filling `struct tl_error`, and the abort for our own defects. */
#ifndef TL_BASE_ERROR_H
#define TL_BASE_ERROR_H

#include <stdarg.h>

#include "teola/status.h"

#define TL_PRINTF(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))

/* Writes the sentence into *error (which may be NULL) and returns `status`, so that
 * `return tl_error_set(error, TL_ERR_INVALID, "...")` reads as one step.
 * A message that is too long is cut at a UTF-8 border and ends in "...". */
enum tl_status tl_error_set(struct tl_error *error, enum tl_status status, const char *format, ...) TL_PRINTF(3, 4);
enum tl_status tl_error_setv(struct tl_error *error, enum tl_status status, const char *format, va_list args);

/* Puts "<prefix>: " before the message, keeping the status, which is returned. */
enum tl_status tl_error_prefix(struct tl_error *error, const char *format, ...) TL_PRINTF(2, 3);

/* A defect of ours: prints file, line and the message to stderr and aborts. */
#define TL_BUG(...) tl_bug_at(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void tl_bug_at(const char *file, int line, const char *format, ...) TL_PRINTF(3, 4);

/* An invariant that holds in release builds too. */
#define TL_ASSERT(condition) ((condition) ? (void)0 : TL_BUG("assertion failed: %s", #condition))

#endif
