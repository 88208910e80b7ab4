/* opt.h: the optimizer: turns the p-graph, which says what the user wrote, into the e-graph, in which
 * everything that can start early does. Results are the same.
 *
 * A pass is one file `<name>.c` with one function that changes a graph and says whether it did, and a
 * line in the table in opt.c. The runner does the rest: it runs each pass on a clone, verifies the
 * result, and takes the clone only when all is well, so a pass that fails leaves the graph as it was;
 * it repeats the passes in the order of the table until a round changes nothing; it times them and
 * keeps what they say about their work. Running the optimizer on its own result changes nothing.
 *
 * Levels: `off` runs no pass: steps run one after the other, the baseline of every comparison.
 * `paper` applies each rule wherever it applies, and so does `cost` here: whoever knows the devices tries
 * several forms of a graph and keeps the one that is predicted to be done first (choice/choice.h).
 *
 * With TEOLA_PASS_TRACE=1 in the environment each graph that a pass has made is printed on stderr.
 */
#ifndef TL_OPT_OPT_H
#define TL_OPT_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/str.h"
#include "graph/graph.h"
#include "teola/status.h"
#include "teola/teola.h"

struct tl_opt_options {
    enum tl_optimize level;    /* DEFAULT is COST */
    const char *const *passes; /* in this order: "-name" leaves a pass out, "+name" puts it back; name may be "all" */
    size_t pass_count;
    const char *const *whole;  /* labels of prefills that `split_prefill` leaves whole */
    size_t whole_count;
    bool check;  /* also see that text and clone of each result are equal to it: on in builds without NDEBUG */
    FILE *trace; /* borrowed; NULL: no trace */
    /* The largest efficient batch of the engine, in units (texts, rows); 0: not known, then `stages` leaves its work
     * whole. NULL: known of none. */
    uint32_t (*batch)(void *context, const char *engine);
    void *context;
};

/* level DEFAULT, all passes; trace as the environment says. */
struct tl_opt_options tl_opt_defaults(void);

enum tl_opt_outcome {
    TL_OPT_UNCHANGED,
    TL_OPT_CHANGED,
    TL_OPT_FAILED,
};

/* One run of one pass. */
struct tl_opt_entry {
    const char *pass;
    unsigned round; /* from 1 */
    enum tl_opt_outcome outcome;
    uint64_t nanoseconds; /* cloning, the pass, verifying */
    struct tl_str notes;  /* what it did and why, or why it failed: a line each */
};

struct tl_opt_report {
    struct tl_opt_entry *entries;
    size_t count, capacity;
};

void tl_opt_report_init(struct tl_opt_report *report);
void tl_opt_report_fini(struct tl_opt_report *report);
/* Each run that changed something or failed, with its notes; the same on every machine. */
void tl_opt_report_print(const struct tl_opt_report *report, struct tl_str *out);

/* Replaces *graph by its optimised form (or leaves it). `report` may be NULL. A pass that fails is
 * reported and logged, and is no failure of this call. TL_ERR_USAGE: `passes` names no pass;
 * TL_ERR_INVALID: *graph does not verify. In both cases *graph is as it was. */
enum tl_status tl_opt_run(struct tl_graph **graph, const struct tl_opt_options *options, struct tl_opt_report *report,
                          struct tl_error *error);

/* TL_ERR_USAGE, with the names that there are, when `text` is no "-name" or "+name" of `tl_opt_options.passes`. */
enum tl_status tl_opt_check_pass(const char *text, struct tl_error *error);

/* Whether the options let the pass run: for what belongs to it but is done later. */
bool tl_opt_allows(const struct tl_opt_options *options, const char *pass);

size_t tl_opt_pass_count(void);
const char *tl_opt_pass_name(size_t position);        /* in the order in which they run */
const char *tl_opt_pass_description(size_t position); /* one line */

#endif
