/* llama_layout.h: which layout of KV is faster for a model on a device, and whether proposals can pay: by measuring.
 *
 * The two (setting kv; llama_sequence.c says more):
 *     stream   each sequence has cells of its own. Attention runs over these alone; a prefix gets from one sequence into
 *              another through host memory
 *     unified  sequences share the cells. A prefix is shared without copying; attention runs over all that is resident
 * What is lost by the one and the other hangs on processor, back end, model and the number of sequences, so it is timed:
 * each layout in an engine of its own, opened with the settings that it will have, by turns, so that what else the
 * machine does meets both alike. All sequences but one hold a prefix of TL_LLAMA_LAYOUT_PREFIX tokens in cells of its own.
 * Timed are, as the engine does them:
 *     share    the last sequence comes to begin with another one's prefix: by sharing cells, or by saving and loading
 *     prompt   a chunk is computed behind it
 *     write    the others, at most four, write a token each
 *     joint    both in one call
 *
 * They become one number: the device's time for a request in a steady state in which requests come as they are done. A
 * request shares the prefix, computes TL_LLAMA_LAYOUT_OWN tokens of its own and writes TL_LLAMA_LAYOUT_WRITTEN, as one of
 * so many `writers`. Each of its n chunks is computed beside a written token of every writer, in one call or in two,
 * whichever is faster (the core finds out, as it works); what is left is written without prompts:
 *
 *     request = share + n x min(joint, prompt + write) + (WRITTEN / writers - n) x write
 *
 * `unified` is used when its number is smaller by more than 3 %; else `stream`, the default where nothing was measured:
 * there what one request takes does not depend on what others have left, and it was faster on all CPUs so far.
 *
 * Beside that, in the layout that is used: a call of 1, 2, 4, 8 and 16 rows of one sequence. Proposals that are looked up
 * (setting lookup) can pay where some number of them, right as often as is supposed of a request that has had none, gives
 * a token for less time than a call of one row does, by more than 3 %. There `lookup` is -1, which finds out for each
 * request; elsewhere 0, and no call is spent on finding that out. */
#ifndef TL_ENGINE_LLAMA_LAYOUT_H
#define TL_ENGINE_LLAMA_LAYOUT_H

#include "engine/engine_impl.h"

#define TL_LLAMA_LAYOUT_PREFIX 256
#define TL_LLAMA_LAYOUT_OWN 256
#define TL_LLAMA_LAYOUT_WRITTEN 64

/* ms */
struct tl_llama_layout_times {
    double share, prompt, write, joint;
};

enum { TL_LLAMA_STREAM, TL_LLAMA_UNIFIED, TL_LLAMA_LAYOUTS };
extern const char *const tl_llama_layout_names[TL_LLAMA_LAYOUTS];

/* The number that layouts are compared by, in ms. `chunk`: tokens of `prompt`. */
double tl_llama_layout_request(const struct tl_llama_layout_times *times, size_t writers, size_t chunk);

/* Which is used, by both their requests. */
size_t tl_llama_layout_choose(const double requests[TL_LLAMA_LAYOUTS]);

/* Calls of one sequence that are timed, by rows: one, and proposals that are one less. */
enum { TL_LLAMA_LOOKUPS = 5 };
extern const size_t tl_llama_lookup_rows[TL_LLAMA_LOOKUPS];
/* The choice of lookup, by their ms: {"used": -1 or 0, "because", "measured": [{"lookup": proposals, "call_ms",
 * "token_ms"}]}; returned owned. */
json_t *tl_llama_lookup_report(const double ms[TL_LLAMA_LOOKUPS]);

/* The choice of kv: {"used", "because", "writers", "chunk", "measured": [{"kv", "share_ms", ..., "request_ms"}]};
 * returned owned. */
json_t *tl_llama_layout_report(const struct tl_llama_layout_times times[TL_LLAMA_LAYOUTS], size_t writers,
                               size_t chunk);

/* ---- llama_layout_measure.c ---- */

/* struct tl_engine_ops.choose of the llama engine. */
enum tl_status tl_llama_layout_measure(const json_t *settings, const struct tl_engine_trial *trial, json_t **choices,
                                       struct tl_error *error);

#endif
