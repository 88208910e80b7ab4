/* pass.h: for those who write passes. See docs/graph.md, "Writing a pass". */
#ifndef TL_OPT_PASS_H
#define TL_OPT_PASS_H

#include "opt/opt.h"

struct tl_pass_ctx {
    const char *pass;
    enum tl_optimize level; /* PAPER or COST */
    const struct tl_opt_options *options;
    struct tl_str *notes;
    bool *failed;
};

/* Changes the graph and returns whether it did. A second call right after must change nothing. What it
 * leaves behind when it fails does not matter: the runner throws it away. */
typedef bool tl_pass_function(struct tl_graph *graph, const struct tl_pass_ctx *ctx);

/* Says one thing that the pass did and why: "dropped order edge a -> b". Kept when the pass changed something. */
void tl_opt_note(const struct tl_pass_ctx *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says that the pass cannot finish, and why; its changes are dropped. Returns false. */
bool tl_opt_fail(const struct tl_pass_ctx *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));

tl_pass_function tl_pass_prune;
tl_pass_function tl_pass_share;
tl_pass_function tl_pass_pipeline_decode;
tl_pass_function tl_pass_stages;
tl_pass_function tl_pass_split_prefill;
tl_pass_function tl_pass_overlap;

/* The runner with passes that are not in the table, for its tests. */
struct tl_pass {
    const char *name;
    tl_pass_function *function;
    const char *description;
};
enum tl_status tl_opt_run_passes(const struct tl_pass *passes, size_t count, struct tl_graph **graph,
                                 const struct tl_opt_options *options, struct tl_opt_report *report,
                                 struct tl_error *error);

#endif
