/* llama_pieces.c: see llama_pieces.h. */
#include "engine/llama/llama_pieces.h"

#include "base/mem.h"

#define USUAL_BYTES 8 /* of a token */

void tl_llama_pieces_init(struct tl_llama_pieces *pieces, const struct llama_vocab *vocab) {
    size_t count = (size_t)llama_vocab_n_tokens(vocab), used = 0, capacity = 0;
    *pieces = (struct tl_llama_pieces){.vocab = vocab, .count = count};
    pieces->begins = tl_mem_alloc((count + 1) * sizeof *pieces->begins);
    pieces->ends = tl_mem_alloc(count * sizeof *pieces->ends + 1);
    pieces->bytes = tl_mem_grow(NULL, &capacity, count * USUAL_BYTES + 1, 1);
    for (size_t i = 0; i < count; i++) {
        llama_token id = (llama_token)i;
        int32_t length = llama_token_to_piece(vocab, id, pieces->bytes + used, (int32_t)(capacity - used), 0, false);
        if (length < 0) { /* no room: so many bytes are needed */
            pieces->bytes = tl_mem_grow(pieces->bytes, &capacity, used + (size_t)-length + USUAL_BYTES, 1);
            length = llama_token_to_piece(vocab, id, pieces->bytes + used, (int32_t)(capacity - used), 0, false);
        }
        pieces->begins[i] = (uint32_t)used;
        pieces->ends[i] = llama_vocab_is_eog(vocab, id);
        used += length > 0 ? (size_t)length : 0;
    }
    pieces->begins[count] = (uint32_t)used;
}

void tl_llama_pieces_fini(struct tl_llama_pieces *pieces) {
    tl_mem_free(pieces->begins);
    tl_mem_free(pieces->bytes);
    tl_mem_free(pieces->ends);
    *pieces = (struct tl_llama_pieces){0};
}
