/* llama_encoder.h: texts through an encoder model, several a call: what embed and rerank share.
 *
 * A job is a number of texts in order, known by index; its owner turns an index into token
 * ids when the text is about to be packed and takes its vectors afterwards. One call of
 * tl_llama_encoder_step packs texts of all jobs up to the batch's tokens (attention spans
 * the whole call, so a call is worth filling to 256 to 512 tokens and no further), computes
 * them and delivers. Fairness: the jobs give one text each in turn, higher rank first, then
 * older first, so a query's one text does not wait for a thousand chunks.
 *
 * A job also knows the item that it is for and how that fares: the first failure, and the
 * report at its end. Not here: what the texts are, and what an output is made of. */
#ifndef TL_ENGINE_LLAMA_ENCODER_H
#define TL_ENGINE_LLAMA_ENCODER_H

#include <stddef.h>

#include "engine/engine_impl.h"
#include "engine/llama/llama_device.h"

struct tl_llama_encoder_settings {
    const char *model;
    int64_t threads;      /* 0: tl_llama_default_threads() */
    int64_t batch_tokens; /* most tokens of one call */
    int64_t gpu_layers;
    const char *gpu_devices; /* NULL: all */
    enum llama_pooling_type pooling; /* UNSPECIFIED: as the file says */
};

struct tl_llama_encoder {
    struct llama_model *model;
    const struct llama_vocab *vocab;
    struct llama_context *context;
    struct ggml_threadpool *pool;
    struct llama_batch batch;
    enum llama_pooling_type pooling;
    uint32_t batch_tokens;    /* most tokens of one call */
    uint32_t batch_texts;     /* most texts of one call */
    uint32_t text_tokens;     /* most tokens of one text, special ones included */
    uint32_t dimension;       /* of the vectors; with rank pooling the number of scores */
    struct tl_llama_tokens prefix, suffix; /* special tokens around each text: [CLS], [SEP] */
    uint64_t calls;           /* of the library, for tests */
    struct placed *placed;    /* what the current call holds; batch_texts entries */
    const float **rows;       /* scratch of batch_tokens pointers */
};

/* One item's texts; the first member of what the owner keeps for an item. */
struct tl_llama_job {
    struct tl_llama_job *next; /* in the queue */
    struct tl_item *item;
    double rank;
    size_t count;              /* texts */
    size_t packed;             /* texts handed to a call, or waiting in `pending` */
    size_t delivered;          /* texts that came back */
    enum tl_status status;     /* of the item so far */
    char failure[160];         /* its sentence when status is not TL_OK */
    bool has_pending;
    struct tl_llama_tokens pending; /* tokens of text `packed`, not placed yet */
    uint64_t tokens_in, tokens_trimmed, tokens_computed, cut_texts; /* counters */
    uint32_t batch_units;      /* texts in the largest call with one of its own */
};

/* The jobs held, in order of arrival. Zeroed: empty. */
struct tl_llama_jobs {
    struct tl_llama_job *first, *last;
};

void tl_llama_jobs_push(struct tl_llama_jobs *jobs, struct tl_llama_job *job);
/* The item's job; NULL: none is held. */
struct tl_llama_job *tl_llama_jobs_find(const struct tl_llama_jobs *jobs, const struct tl_item *item);

/* Lets the item fail in the end; the first failure counts. */
void tl_llama_job_fail(struct tl_llama_job *job, enum tl_status status, const char *message);
/* Counts a text that was delivered; call it last. True when the job is over: a failed one packs no more texts, but
 * waits for those of it that are in this call. */
bool tl_llama_job_delivered(struct tl_llama_job *job);

/* The owner's functions. `deliver` gets `count` vectors (1, or one per token when the pooling
 * is none), valid during the call; or NULL with the reason. It may unlink and free the job
 * when no text of it is left in the call: that is when the deliver call for its last packed
 * text is made; a job must never be freed before. Between steps no text is in a call. */
struct tl_llama_encoder_owner {
    void *context;
    void (*tokens)(void *context, struct tl_llama_job *job, size_t text, struct tl_llama_tokens *out);
    void (*deliver)(void *context, struct tl_llama_job *job, size_t text, const float *const *vectors, size_t count,
                    const char *failure);
};

/* What tl_llama_encoder_open will take. */
enum tl_status tl_llama_encoder_memory(const struct tl_llama_encoder_settings *settings,
                                       struct tl_engine_memory *memory, struct tl_error *error);

enum tl_status tl_llama_encoder_open(struct tl_llama_encoder *encoder, const struct tl_llama_encoder_settings *settings,
                                     struct tl_error *error);
void tl_llama_encoder_close(struct tl_llama_encoder *encoder); /* a zeroed one is allowed */

/* Appends prefix, the text's tokens and suffix; what exceeds text_tokens is cut before the
 * suffix and counted in the job. */
void tl_llama_encoder_frame(const struct tl_llama_encoder *encoder, struct tl_llama_job *job, const char *text,
                            size_t length, struct tl_llama_tokens *out);

/* Packs and computes one call. False when the jobs held no text to compute. */
bool tl_llama_encoder_step(struct tl_llama_encoder *encoder, const struct tl_llama_jobs *jobs,
                           const struct tl_llama_encoder_owner *owner);

/* Takes the job out of the queue and reports how its item ended: its failure, or else `output`, which is taken, and
 * for which `units` were asked; with a notice when texts were cut. The item may be gone then; the job is the
 * owner's to free. */
void tl_llama_job_report(struct tl_llama_job *job, struct tl_llama_jobs *jobs, const struct tl_llama_encoder *encoder,
                         const struct tl_emit *emit, struct tl_value *output, size_t units);

void tl_llama_job_fini(struct tl_llama_job *job);

#endif
