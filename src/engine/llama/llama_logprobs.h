/* llama_logprobs.h: how likely the model found what was chosen, and what it found likelier: natural logarithms of
 * probabilities over the whole vocabulary, with logit_bias and penalties, before temperature, top_p and the like. */
#ifndef TL_ENGINE_LLAMA_LOGPROBS_H
#define TL_ENGINE_LLAMA_LOGPROBS_H

#include "base/value.h"
#include "engine/llama/llama_pieces.h"

#define TL_LLAMA_LOGPROBS_MAX 20

struct tl_llama_logprobs {
    json_t *tokens; /* NULL: not wanted. As in the OpenAI API, with "id": [{"token", "id", "bytes", "logprob",
                       "top_logprobs"}] */
    size_t most;    /* in top_logprobs */
    /* of the row looked at last */
    double norm;    /* logarithm of the sum over all tokens */
    struct {
        llama_token id;
        float logit;
    } best[TL_LLAMA_LOGPROBS_MAX]; /* likeliest first */
    size_t best_count;
};

void tl_llama_logprobs_init(struct tl_llama_logprobs *logprobs, size_t most);
void tl_llama_logprobs_fini(struct tl_llama_logprobs *logprobs); /* also of a zeroed one */

/* Looks at a row before anything is chosen from it. */
void tl_llama_logprobs_look(struct tl_llama_logprobs *logprobs, const float *logits, size_t count);
/* Records the token chosen from that row. */
void tl_llama_logprobs_chose(struct tl_llama_logprobs *logprobs, const struct tl_llama_pieces *pieces, llama_token id,
                             float logit);

#endif
