/* engine_target.h: a benchmark's target: an engine that writes text, driven on the calling thread as an executor
 * would: submit, step, step; no scheduler, no other engines. */
#ifndef TL_BENCH_ENGINE_TARGET_H
#define TL_BENCH_ENGINE_TARGET_H

#include <jansson.h>

#include "bench/drive.h"

/* Creates and opens an engine of `type` with `settings` (borrowed for the call). TL_ERR_UNSUPPORTED when it writes no
 * text or needs an event loop. */
enum tl_status tl_bench_engine_target_open(const char *type, const json_t *settings, struct tl_bench_target **target,
                                           struct tl_error *error);

#endif
