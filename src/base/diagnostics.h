/* diagnostics.h: a list of findings about a file, so that all errors are shown at once.
 * Printed as  FILE:LINE:COLUMN: error: MESSAGE  like a compiler. */
#ifndef TL_BASE_DIAGNOSTICS_H
#define TL_BASE_DIAGNOSTICS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum tl_severity { TL_SEVERITY_ERROR, TL_SEVERITY_WARNING };

struct tl_diagnostic {
    enum tl_severity severity;
    unsigned line, column; /* from 1; 0: the file as a whole */
    char *message;         /* owned */
};

struct tl_diagnostics {
    char *file; /* owned; as shown to the user */
    struct tl_diagnostic *items;
    size_t count, capacity;
    size_t errors; /* of `count` */
};

void tl_diagnostics_init(struct tl_diagnostics *list, const char *file);
void tl_diagnostics_fini(struct tl_diagnostics *list);
void tl_diagnostics_add(struct tl_diagnostics *list, enum tl_severity severity, unsigned line, unsigned column,
                        const char *format, ...) __attribute__((format(printf, 5, 6)));
void tl_diagnostics_add_list(struct tl_diagnostics *list, enum tl_severity severity, unsigned line, unsigned column,
                             const char *format, va_list args) __attribute__((format(printf, 5, 0)));
/* Sorts by line and column, stable, and appends one line for each finding. */
void tl_diagnostics_print(struct tl_diagnostics *list, struct tl_str *out);

#endif
