/* llama_answer.h: what a decode writes, from its attributes to its output value.
 *
 * An answer is asked with each row of logits what is fed next: usually the one token that it has
 * chosen, often more where the format forces what follows, and nothing when it has ended. It knows
 * the vocabulary and nothing of batches, KV or priorities, so whoever computes the rows may do so
 * in any order and company: the same rows give the same answer.
 *
 *     init → follows → begin → next … next → outputs → fini          end: when there is no room for more
 *
 * Counting: `written` is every token that was fed for the answer, or would have been had it gone
 * on; `forced` is the part of it that the format wrote and the model did not. */
#ifndef TL_ENGINE_LLAMA_ANSWER_H
#define TL_ENGINE_LLAMA_ANSWER_H

#include "base/attributes.h"
#include "base/value.h"
#include "engine/llama/llama_device.h"
#include "engine/llama/llama_list.h"
#include "engine/llama/llama_logprobs.h"
#include "engine/llama/llama_pieces.h"
#include "engine/llama/llama_sample.h"
#include "engine/llama/llama_structure.h"
#include "engine/llama/llama_write.h"
#include "schema/tools.h"

#define TL_LLAMA_ANSWER_OUTPUTS 2

enum tl_llama_format {
    TL_LLAMA_FORMAT_TEXT,
    TL_LLAMA_FORMAT_LIST,
    TL_LLAMA_FORMAT_JSON,
    TL_LLAMA_FORMAT_CHOICE,
    TL_LLAMA_FORMAT_TOOL_CALL, /* with a call, by tool_choice: its arguments fit the tool's schema */
    TL_LLAMA_FORMAT_TOOL_TEXT, /* text in which there may be calls */
};

struct tl_llama_answer {
    const struct tl_llama_pieces *pieces; /* borrowed */
    enum tl_llama_format format;
    struct tl_llama_sampler sampler;
    struct tl_llama_writer writer;        /* TEXT, TOOL_TEXT */
    struct tl_llama_list list;            /* LIST */
    struct tl_llama_structure structure;  /* JSON, CHOICE, TOOL_CALL */
    struct tl_llama_logprobs logprobs;
    json_t *tools;                        /* TOOL_*; owned */
    json_t *message;                        /* TOOL_*, once it has ended: text and calls; owned */
    size_t max_tokens;
    size_t written, forced;               /* tokens */
    size_t passed_on;                     /* JSON, CHOICE: bytes of text given out by delta */
    bool ignores_end;                     /* TEXT: end tokens are never chosen */
    bool must_be_whole;                   /* LIST: one that breaks off is a failure */
    const char *finish;                   /* NULL while it goes on; then why it ended, as in struct tl_usage */
};

enum tl_llama_answer_progress {
    TL_LLAMA_ANSWER_GOES_ON,
    TL_LLAMA_ANSWER_ENDED,
    TL_LLAMA_ANSWER_NAN, /* the logits hold a NaN, or nothing finite: the item has failed */
};

/* Reads the attributes of a decode (base/primitive.h). An answer that could not be read needs no fini. */
enum tl_status tl_llama_answer_init(struct tl_llama_answer *answer, const struct tl_llama_pieces *pieces,
                                    const struct tl_attributes *attributes, struct tl_error *error);
void tl_llama_answer_fini(struct tl_llama_answer *answer); /* also of a zeroed one */

/* Tells of the prompt, which repetition_penalty counts. */
void tl_llama_answer_follows(struct tl_llama_answer *answer, const llama_token *prompt, size_t count);

/* Appends the tokens that the format writes behind the prompt before anything is chosen. */
void tl_llama_answer_begin(struct tl_llama_answer *answer, struct tl_llama_tokens *forced);

/* Chooses by a row of logits, which is changed, and appends to `next` what is fed for it; nothing
 * when the answer has ended. `scratch` is any; several answers may share it. */
enum tl_llama_answer_progress tl_llama_answer_next(struct tl_llama_answer *answer, struct tl_llama_candidates *scratch,
                                                   float *logits, struct tl_llama_tokens *next);

/* Ends an answer that cannot go on, for want of room, with what it has. */
void tl_llama_answer_end(struct tl_llama_answer *answer);

/* The outputs once it has ended: a text, a list of texts, JSON, or a list of JSON; and the log probabilities if asked
 * for. Returns how many, 0 when memory is out. */
size_t tl_llama_answer_outputs(const struct tl_llama_answer *answer, struct tl_value *outputs[TL_LLAMA_ANSWER_OUTPUTS]);
/* Whether what was written is a failure by the attributes: a list that breaks off before its items are there. */
bool tl_llama_answer_is_broken(const struct tl_llama_answer *answer);
/* What it counts as in struct tl_usage: elements of a list, else 1. */
size_t tl_llama_answer_units(const struct tl_llama_answer *answer);

/* Text that is certain and was not taken yet: whole characters. */
const char *tl_llama_answer_delta(struct tl_llama_answer *answer, size_t *length);

/* Elements of a list output that are complete, and one of them (a reference is returned). */
size_t tl_llama_answer_piece_count(const struct tl_llama_answer *answer);
struct tl_value *tl_llama_answer_piece(const struct tl_llama_answer *answer, size_t position);

#endif
