/* llama_structure.h: a text of a given form (src/schema), written by a model token by token.
 *
 * What has only one next byte the engine writes itself, as many tokens at once as it takes, and the
 * model chooses only where there is a choice:
 *
 *     engine: {"name": "   model: Ada Lovelace"   engine: , "age":   model:  36,   engine: "born":   ...
 *
 * Borders of tokens. A token may hold the end of a value and more: what is allowed of it is taken, up to
 * the end of that value at least, and tokenised anew together with what follows, so the model reads what
 * it would have written itself. The space before a number or a word is left to the model, whose tokens
 * begin with it. White space where a value may end, ends it. A token that says that nothing more comes
 * ends the value or the text where they may end.
 *
 * A token is asked about alone; nothing goes over the vocabulary (llama_sample.h). */
#ifndef TL_ENGINE_LLAMA_STRUCTURE_H
#define TL_ENGINE_LLAMA_STRUCTURE_H

#include "base/value.h"
#include "engine/llama/llama_device.h"
#include "engine/llama/llama_pieces.h"
#include "schema/schema.h"

struct tl_llama_structure {
    const struct tl_llama_pieces *pieces; /* borrowed */
    struct tl_schema *schema;             /* owned */
    struct tl_schema_state state, scratch;
    struct tl_schema_bytes next;          /* of state, while next_known */
    bool next_known;
    struct tl_str text;                   /* written so far */
    struct tl_str tried;                  /* scratch: text of a token that is tried */
    /* of an array, its elements as they become complete */
    bool is_array;
    struct tl_value **elements; /* JSON; owned */
    size_t element_count, element_capacity;
    size_t element_begin;       /* in text, of the one being written */
};

/* Takes the schema. */
void tl_llama_structure_init(struct tl_llama_structure *structure, const struct tl_llama_pieces *pieces,
                             struct tl_schema *schema);
void tl_llama_structure_fini(struct tl_llama_structure *structure); /* also of a zeroed one */

/* Appends the tokens that stand before the first choice. */
void tl_llama_structure_begin(struct tl_llama_structure *structure, struct tl_llama_tokens *forced);

/* Whether the model may choose this token now; of type tl_llama_allows. */
bool tl_llama_structure_allows(void *structure, llama_token id);

/* Takes a token that is allowed; appends what is fed for it. Whether the text goes on. */
bool tl_llama_structure_take(struct tl_llama_structure *structure, llama_token id, struct tl_llama_tokens *next);

/* Completes the text by as little as its form allows. */
void tl_llama_structure_close(struct tl_llama_structure *structure);

#endif
