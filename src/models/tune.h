/* tune.h: the weight format in which a model runs best on this machine.
 *
 * A model is re-quantised to several formats, each is measured beside the model as it is, and the fastest of those that
 * predict a text nearly as well is kept as <name>.tuned.gguf beside the model, with a record in the ledger. From then on
 * tl_models_locate gives that file for the model's name; tl_models_untune goes back. A variant that was made from other
 * weights than the model's present ones is not used. What was measured is kept in <name>.tune.json, and measured again
 * only for another model file, processor, number of threads or other options.
 *
 * All formats are tried once for their loss; those within bounds are then timed in rounds, one sample of each in turn, so
 * that what else the machine does meets them all alike, and medians are compared. */
#ifndef TL_MODELS_TUNE_H
#define TL_MODELS_TUNE_H

#include <jansson.h>

#include "models/models.h"

struct tl_tune {
    const char *const *formats; /* to try; ends with NULL; NULL: all there are */
    double most_loss;           /* of perplexity, as a share: 0.02 */
    unsigned rounds;            /* of timing, at least 1 */
    const char *text;           /* to judge by; NULL: a sample of our own */
    size_t text_length;
    int32_t threads; /* 0: as the engines do */
    bool again;      /* measure even if it was done before */
    /* Both may be NULL. `stop` is asked between calls of the model. `step` is told what begins, for people. */
    bool (*stop)(void *user);
    void (*step)(void *user, const char *what);
    void *user;
};

/* Tunes a model that is here. *report, returned owned, is
 *     {"model", "source": <SHA-256>, "processor", "threads", "most_loss", "rounds", "text": <SHA-256>, "judged_tokens",
 *      "formats": [{"format", "as_is", "size", "prefill", "decode", "decode8", "request_ms", "perplexity", "loss",
 *                   "verdict": "used" | "slower" | "loss" | "failed", "reason"}],
 *      "used": <format>, "tuned": <whether another file than the model's own is used>, "measured_before"}
 * with tokens a second. TL_ERR_CANCELLED leaves everything as it was; TL_ERR_NO_MEMORY or TL_ERR_LIMIT says what is missing
 * of memory or disk space, before anything is written. */
enum tl_status tl_models_tune(struct tl_models *models, const char *name, const struct tl_tune *tune, json_t **report,
                              struct tl_error *error);

/* Goes back to the model as it is. No variant is no error; *was (may be NULL): whether there was one. */
enum tl_status tl_models_untune(struct tl_models *models, const char *name, bool *was, struct tl_error *error);

/* ---- the choice, for tests ---- */

struct tl_tune_candidate {
    uint64_t size;
    double loss;    /* as a share of the perplexity of the first */
    double request; /* ms of the request that is compared by; 0: not timed */
};

/* Of the candidates that were timed and lose at most that much: the fastest; among those within three hundredths of
 * it the first candidate (the model as it is), else the smallest file. */
size_t tl_tune_choose(const struct tl_tune_candidate *candidates, size_t count, double most_loss);

/* The request that is compared by: a prompt of 512 tokens and 64 written, alone. */
double tl_tune_request_ms(double prefill, double decode);

#endif
