/* llama_prompt.h: a prompt value to token ids, by the model file's own chat template.
 *
 * The template is rendered once per prompt with marks in place of the contents, and cut at
 * the marks. Its own text is tokenised with special tokens parsed, contents without, so that
 * no content can become a control token. The parts of one message are joined before they are
 * tokenised: borders between parts never change tokens.
 *
 * An open prompt ends where its text ends for now. The last word's tokens are left out, since
 * text that follows may merge with them; whoever has the whole prompt tokenises all of it and
 * reuses the longest common prefix of ids, so a cut never changes what goes into the model. */
#ifndef TL_ENGINE_LLAMA_PROMPT_H
#define TL_ENGINE_LLAMA_PROMPT_H

#include "base/value.h"
#include "engine/llama/llama_device.h"

struct tl_llama_template {
    const struct llama_vocab *vocab;
    char *text;           /* the model file's template; NULL: it has none, or one that llama.cpp does not know; owned */
    char *default_system; /* system message that the template adds when there is none; NULL: it adds none; owned */
};

void tl_llama_template_init(struct tl_llama_template *template, const struct llama_model *model);
void tl_llama_template_fini(struct tl_llama_template *template);

/* Appends the prompt's tokens. `limit` is the most that fit: of a closed prompt, trimmable parts
 * are cut at their ends, longest first; *trimmed is how many tokens were cut. An open prompt
 * with such parts is cut at its end instead, silently (it only saves work). TL_ERR_LIMIT when the
 * prompt does not fit even so, or never will. */
enum tl_status tl_llama_prompt_tokens(const struct tl_llama_template *template, const struct tl_prompt *prompt,
                                      size_t limit, struct tl_llama_tokens *out, bool *open, size_t *trimmed,
                                      struct tl_error *error);

/* How many of a prompt's tokens are certain as soon as the parts at its beginning that are the same for every query
 * (TL_PART_STATIC) are known: what all these queries share. `tokens` are the whole prompt's. */
size_t tl_llama_prompt_static(const struct tl_llama_template *template, const struct tl_prompt *prompt,
                              const struct tl_llama_tokens *tokens);

#endif
