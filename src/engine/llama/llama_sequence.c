/* llama_sequence.c: KV in and out of the context, as engine/llm says.
 *
 * Two layouts (setting kv). In `stream` each sequence has cells of its own: attention runs over these alone, and KV
 * goes from one sequence to another through host memory (llama_state_seq_get_data and set_data, some 2 ms for 512
 * tokens, where computing them takes 800; llama_memory_seq_cp between streams is carried out only at the next decode,
 * when the source may have been overwritten). In `unified` all sequences share the cells: a prefix is shared without
 * copying, and attention runs over whatever is resident. Which is faster is measured (llama_layout.h). */
#include "base/mem.h"
#include "engine/llama/llama_internal.h"

/* ---- storage ---- */

static void empty(const struct tl_llama_engine *engine, uint32_t sequence) {
    llama_memory_seq_rm(engine->memory, (llama_seq_id)sequence, -1, -1); /* of a whole sequence: never fails */
}

static void *save(void *context, uint32_t sequence, size_t length, uint64_t *bytes) {
    struct tl_llama_engine *engine = context;
    (void)length;
    size_t size = llama_state_seq_get_size(engine->context, (llama_seq_id)sequence);
    struct tl_llama_snapshot *snapshot = size > 0 ? tl_mem_try_alloc(sizeof *snapshot + size) : NULL;
    if (!snapshot)
        return NULL;
    snapshot->bytes = size;
    if (llama_state_seq_get_data(engine->context, snapshot->data, size, (llama_seq_id)sequence) != size) {
        tl_mem_free(snapshot);
        return NULL;
    }
    *bytes = sizeof *snapshot + size;
    return snapshot;
}

static bool load(void *context, uint32_t sequence, const void *saved, size_t length) {
    struct tl_llama_engine *engine = context;
    const struct tl_llama_snapshot *snapshot = saved;
    (void)length;
    if (llama_state_seq_set_data(engine->context, snapshot->data, snapshot->bytes, (llama_seq_id)sequence) ==
        snapshot->bytes)
        return true;
    empty(engine, sequence);
    return false;
}

static void drop(void *context, void *saved) {
    (void)context;
    tl_mem_free(saved);
}

static bool trim(void *context, uint32_t sequence, size_t length) {
    struct tl_llama_engine *engine = context;
    if (length > 0 && llama_memory_seq_rm(engine->memory, (llama_seq_id)sequence, (llama_pos)length, -1))
        return true;
    empty(engine, sequence);
    return length == 0;
}

static bool share(void *context, uint32_t from, uint32_t to, size_t length) {
    struct tl_llama_engine *engine = context;
    llama_memory_seq_cp(engine->memory, (llama_seq_id)from, (llama_seq_id)to, 0, (llama_pos)length);
    return true;
}

struct tl_llm_storage tl_llama_storage(struct tl_llama_engine *engine) {
    return (struct tl_llm_storage){engine, save, load, drop, trim, engine->unified ? share : NULL};
}
