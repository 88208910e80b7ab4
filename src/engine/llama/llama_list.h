/* llama_list.h: a JSON list of strings, written around what the model says.
 *
 * The engine writes the skeleton, the model only the insides of the strings:
 *
 *     engine: ["   model: ...   engine: ", "   model: ...   engine: ", "   ...   engine: "]
 *
 * so the list is valid JSON whatever the model does, and forced tokens cost no sampling. An
 * item ends where the model writes an unescaped quote or wants to stop altogether, or at its
 * token bound. Refused inside an item: control characters and line breaks; escapes other than
 * \" \\ \/; ending without a letter (half of the bound may go by without one); writing the
 * first four words of an earlier item again, or ending as the beginning of one: small models
 * repeat themselves.
 * Where fewer items are enough, the model chooses behind each between another one and the end.
 * A token that holds a quote in its middle is not fed as such: the part before the quote and
 * the skeleton are tokenised anew, so the model reads exactly the bytes of the list. */
#ifndef TL_ENGINE_LLAMA_LIST_H
#define TL_ENGINE_LLAMA_LIST_H

#include "base/str.h"
#include "base/value.h"
#include "engine/llama/llama_device.h"
#include "engine/llama/llama_pieces.h"

struct tl_llama_list {
    const struct tl_llama_pieces *pieces; /* borrowed */
    size_t least, wanted;     /* items: the model may end the list from `least` on; the engine does at `wanted` */
    size_t item_tokens;       /* most tokens that the model writes in one */
    struct tl_value **items;  /* texts, unescaped; owned; room for `wanted` */
    char **starts;            /* of each item, lower case: not to be written again; owned */
    size_t count;
    struct tl_str raw;        /* the current item's bytes between its quotes */
    size_t used;              /* tokens in it */
    bool between;             /* an item is closed, and the model is to write , or ] */
};

enum tl_llama_list_progress { TL_LLAMA_LIST_GOES_ON,
                              TL_LLAMA_LIST_ITEM,
                              TL_LLAMA_LIST_COMPLETE };

void tl_llama_list_init(struct tl_llama_list *list, const struct tl_llama_pieces *pieces, size_t least, size_t wanted,
                        size_t item_tokens);
void tl_llama_list_fini(struct tl_llama_list *list); /* also of a zeroed one */

/* Appends the tokens that open the list. */
void tl_llama_list_begin(struct tl_llama_list *list, struct tl_llama_tokens *forced);

/* Whether the model may write this token now; of type tl_llama_allows. */
bool tl_llama_list_allows(void *list, llama_token id);

/* Takes a token that is allowed and appends what is to be fed for it. ITEM: items[count - 1]
 * has become complete and another one is begun. COMPLETE: that was the last; nothing is fed. */
enum tl_llama_list_progress tl_llama_list_take(struct tl_llama_list *list, llama_token id,
                                               struct tl_llama_tokens *forced);

/* Ends the list early, at a bound of all tokens: a begun item with a letter is kept. */
void tl_llama_list_end(struct tl_llama_list *list);

#endif
