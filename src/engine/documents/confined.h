/* confined.h: runs a program that reads untrusted input from its standard input and writes to its
 * standard output, with as little power as a process can have cheaply: no arguments from input, an
 * empty environment, no open files, no new privileges, a network namespace of its own where the
 * kernel allows it, limits on time, memory, files written and output, a process group that is killed
 * as one. */
#ifndef TL_ENGINE_DOCUMENTS_CONFINED_H
#define TL_ENGINE_DOCUMENTS_CONFINED_H

#include <stdbool.h>
#include <stddef.h>

#include "teola/status.h"

struct tl_confined {
    const char *program;     /* path */
    const char *const *argv; /* ends in NULL */
    const char *input;       /* borrowed */
    size_t input_length;
    unsigned seconds;  /* by the clock, and of CPU time */
    size_t max_memory; /* bytes of address space */
    size_t max_output; /* bytes */
};

struct tl_confined_result {
    char *output; /* owned (free), NUL-terminated */
    size_t length;
    char complaint[512]; /* the beginning of its standard error, NUL-terminated */
    int exit_code;       /* -1: ended by a signal */
};

/* TL_OK whenever the program ended by itself or crashed: look at exit_code. TL_ERR_NOT_FOUND: no such
 * program. TL_ERR_LIMIT: stopped, it took too long or wrote too much. TL_ERR_IO, TL_ERR_NO_MEMORY.
 * Blocks for at most about `seconds`. Messages are clauses without a subject. */
enum tl_status tl_confined_run(const struct tl_confined *run, struct tl_confined_result *result,
                               struct tl_error *error);

/* Writes the path of the program found in PATH into out; false when there is none. */
bool tl_confined_find(const char *name, char *out, size_t size);

#endif
