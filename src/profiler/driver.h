/* driver.h: an engine without a runtime whose every step is timed: several items at once, on the calling thread. */
#ifndef TL_PROFILER_DRIVER_H
#define TL_PROFILER_DRIVER_H

#include "engine/engine_impl.h"

enum { TL_DRIVER_ITEMS = 64 };

struct tl_driver {
    struct tl_engine *engine;
    struct tl_emit emit;
    struct tl_engine_description description;
    /* The items of the present batch. */
    struct tl_item items[TL_DRIVER_ITEMS];
    struct tl_value *inputs[TL_DRIVER_ITEMS][3]; /* references */
    struct tl_value *outputs[TL_DRIVER_ITEMS];   /* references; NULL before its end */
    struct tl_usage usage;                       /* sums of all items that are done */
    size_t count, finished;
    enum tl_status status;                       /* of the first item that failed */
    struct tl_str message;
};

enum tl_status tl_driver_open(struct tl_driver *driver, const char *type, const char *name, const json_t *settings,
                              struct tl_error *error);
void tl_driver_close(struct tl_driver *driver); /* also after a failed open */

/* Forgets the items of the batch before, which have ended. */
void tl_driver_begin(struct tl_driver *driver);
/* Adds an item; takes the inputs, NULL for one that is absent. */
void tl_driver_add(struct tl_driver *driver, enum tl_primitive op, const struct tl_attributes *attributes,
                   struct tl_value *a, struct tl_value *b, struct tl_value *c);
void tl_driver_submit(struct tl_driver *driver); /* all that were added */
/* One step of the engine: returns its ns. */
uint64_t tl_driver_step(struct tl_driver *driver);
/* Steps until all items have ended. Adds up the ns. */
enum tl_status tl_driver_finish(struct tl_driver *driver, uint64_t *nanoseconds, struct tl_error *error);
void tl_driver_cancel(struct tl_driver *driver); /* what has not ended; then finish */

#endif
