/* settings.h: reading an engine's JSON settings by a table: unknown names, wrong kinds and
 * values out of bounds are refused with a sentence that says what was expected. */
#ifndef TL_ENGINE_SETTINGS_H
#define TL_ENGINE_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "teola/status.h"

/* Exactly one of text, integer, number and boolean is set: where the value goes. It keeps
 * what it held (the default) when the setting is absent. */
struct tl_setting {
    const char *name;
    char **text; /* the value is copied: free with tl_mem_free, also when reading failed */
    int64_t *integer;
    double *number;
    bool *boolean;
    double minimum, maximum; /* of integers and numbers, both included */
    bool required;
};

/* TL_ERR_INVALID at the first setting that is wrong. `engine` is the engine's type, for the message. */
enum tl_status tl_settings_read(const char *engine, const json_t *settings, const struct tl_setting *table,
                                size_t count, struct tl_error *error);

#endif
