/* call.h: an engine without a runtime: one instance driven on the calling thread, one item at
 * a time. For tools that need one kind of work in a row (indexing, profiling), and for tests.
 * Engines of the event loop (TL_EXECUTOR_LOOP) cannot be driven so. */
#ifndef TL_ENGINE_CALL_H
#define TL_ENGINE_CALL_H

#include "engine/engine_impl.h"

struct tl_engine_caller;

/* Creates and opens an instance of `type` ("embed"). `settings` is borrowed for the call. */
enum tl_status tl_engine_caller_open(const char *type, const json_t *settings, struct tl_engine_caller **caller,
                                     struct tl_error *error);
void tl_engine_caller_close(struct tl_engine_caller *caller); /* NULL is allowed */

void tl_engine_caller_describe(const struct tl_engine_caller *caller, struct tl_engine_description *description);

/* Computes one item to its end. Inputs are borrowed; they are in the order of the signature, NULL for
 * an absent optional one. *output gets the first output, owned. `attributes` and `usage` may be
 * NULL. */
enum tl_status tl_engine_call(struct tl_engine_caller *caller, enum tl_primitive op,
                              const struct tl_attributes *attributes, struct tl_value *const *inputs,
                              size_t input_count, struct tl_value **output, struct tl_usage *usage,
                              struct tl_error *error);

/* Asked between steps of a call: when it returns true, the item is cancelled. NULL: never. */
void tl_engine_caller_on_stop(struct tl_engine_caller *caller, bool (*stop)(void *context), void *context);

/* The last notice that the engine gave in the latest call, "" when none; borrowed. */
const char *tl_engine_caller_notice(const struct tl_engine_caller *caller);

#endif
