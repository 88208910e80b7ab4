/* conformance.h: the suite that every engine passes: it drives an instance on one thread as
 * an executor would, and checks what engine_impl.h promises. Test code: linked into tests only.
 *
 * A test names its engine, settings that open a working instance, and a function that makes
 * valid items of several kinds:
 *
 *     static void make(struct tl_conformance *run, size_t kind, uint32_t variation, struct tl_conformance_item *item) {
 *         item->op = TL_OP_EMBED;
 *         tl_conformance_input(item, "input", tl_value_text(texts[variation % 4], ...));
 *     }
 *     static const struct tl_conformance_subject subject = {
 *         .ops = &tl_embed_engine, .settings = "{\"model\": ...}", .kinds = 1, .make = make};
 *     ...
 *     tl_conformance_check(&subject);
 *
 * Checked: life cycles; settings (unknown names, wrong kinds of value) refused with a sentence;
 * a constant description; exactly one outcome per item under random orders of submit, step and
 * cancel; close with items held; pieces and deltas equal to the final output; equal results
 * alone, together, beside cancelled items and in a second instance; items of a foreign
 * primitive refused; usage; nothing left behind (check_at_rest, and the leak checker).
 */
#ifndef TL_ENGINE_CONFORMANCE_H
#define TL_ENGINE_CONFORMANCE_H

#include "base/arena.h"
#include "base/str.h"
#include "engine/engine_impl.h"

#define TL_CONFORMANCE_INPUTS 4

struct tl_conformance; /* one instance being driven */

/* What make fills in; zeroed before, but for the arena. */
struct tl_conformance_item {
    struct tl_arena *arena; /* for the attributes; lives as long as the item */
    enum tl_primitive op;
    struct tl_attributes attributes;
    struct tl_value *inputs[TL_CONFORMANCE_INPUTS]; /* references owned by the item; NULL: absent */
    const char *input_names[TL_CONFORMANCE_INPUTS];
    size_t input_count;
    const char *tenant; /* as of an item; NULL: nobody's */
    bool stream, pieces;
    bool fails;      /* the item is well-formed but the engine must refuse it */
    bool incomparable; /* results of equal items may differ (handles, random sampling) */
};

struct tl_conformance_subject {
    const struct tl_engine_ops *ops;
    const char *settings; /* JSON object that opens a working instance */
    size_t kinds;         /* kinds of item that make knows, from 0 */
    /* The same kind and variation must give an equal item. May compute what the item needs
     * (a kv handle, a filled collection) with tl_conformance_compute. */
    void (*make)(struct tl_conformance *run, size_t kind, uint32_t variation, struct tl_conformance_item *item);
    /* Whether two results are equal; NULL: tl_value_equal. */
    bool (*equal)(const struct tl_value *a, const struct tl_value *b);
    /* LOOP engines: runs their loop until something was reported or nothing is left. */
    void (*pump)(struct tl_engine *engine);
    /* Optional. Called when nothing is held and every value is released: asserts that the
     * engine's own counters are back at zero. */
    void (*check_at_rest)(struct tl_engine *engine);
    size_t rounds;     /* of random orders; 0: 4 */
    size_t items;      /* in each round; 0: 12 */
    size_t variations; /* of each kind; 0: 4 */
};

/* Appends an input; takes the reference (NULL: an optional input that is absent). */
void tl_conformance_input(struct tl_conformance_item *item, const char *name, struct tl_value *value);

/* Runs one item alone to its end and returns its first output, owned. Fails the test when the
 * item fails. The item's inputs are released. */
struct tl_value *tl_conformance_compute(struct tl_conformance *run, struct tl_conformance_item *item);

struct tl_engine *tl_conformance_engine(struct tl_conformance *run);

/* Runs all checks; fails the current cmocka test at the first that does not hold. */
void tl_conformance_check(const struct tl_conformance_subject *subject);

/* ---- for an engine's own tests: a driven instance ---- */

/* What became of an item. */
struct tl_conformance_outcome {
    bool finished;            /* the one outcome has come */
    enum tl_status status;    /* TL_OK: done */
    char message[512];        /* of a failure */
    char notice[512];         /* the last one */
    struct tl_value **outputs; /* owned */
    size_t output_count;
    struct tl_value **pieces; /* owned; in order */
    size_t piece_count, piece_capacity;
    struct tl_str deltas;
    struct tl_usage usage;
};

struct tl_conformance_held; /* a submitted item with its outcome */

/* Creates and opens an instance; fails the test with the engine's sentence when it cannot. */
struct tl_conformance *tl_conformance_open(const struct tl_conformance_subject *subject);
/* Closes the instance: afterwards every item has its outcome. */
void tl_conformance_stop(struct tl_conformance *run);
/* Closes (unless stopped) and destroys the instance and frees everything submitted. */
void tl_conformance_close(struct tl_conformance *run);

/* Submits a copy of the item (takes its inputs); valid until tl_conformance_close. */
struct tl_conformance_held *tl_conformance_submit(struct tl_conformance *run, struct tl_conformance_item *item);
void tl_conformance_cancel(struct tl_conformance *run, struct tl_conformance_held *held);
/* One step (or pump); false when the engine holds nothing. */
bool tl_conformance_step(struct tl_conformance *run);
/* Steps until every item has its outcome; fails the test when the engine stops before. */
void tl_conformance_finish(struct tl_conformance *run);
struct tl_conformance_outcome *tl_conformance_outcome(struct tl_conformance_held *held);
const struct tl_item *tl_conformance_item_of(const struct tl_conformance_held *held);
/* Releases the item's inputs and outputs now rather than at close; it must be finished. */
void tl_conformance_release(struct tl_conformance_held *held);
/* Starts an item for make-like use: zeroed, with an arena of the run. */
void tl_conformance_item_init(struct tl_conformance *run, struct tl_conformance_item *item);

#endif
