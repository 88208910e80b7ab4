/* cost_emulated.c: the latency models of emulated engines, from the settings that the engine itself reads.
 *
 * The names and defaults are those of the engine type `emulated` (docs/engines.md); this module does not see engines,
 * so they stand here a second time, and a test compares the predictions with the engine's own times. */
#include "base/hash.h"
#include "cost/cost_impl.h"

struct reader {
    const json_t *settings;
    uint64_t hash; /* of all that was read */
};

static double number(struct reader *reader, const char *name, double otherwise) {
    const json_t *value = json_object_get(reader->settings, name);
    double read = json_is_number(value) ? json_number_value(value) : otherwise;
    reader->hash = tl_hash_bytes(&read, sizeof read, reader->hash);
    return read;
}

static struct cost_line line(double base, double unit, double token, double limit) {
    return (struct cost_line){.known = true, .base = base, .unit = unit, .token = token, .limit = (uint32_t)limit};
}

void tl_cost_add_emulated(struct tl_cost *cost, const char *name, const json_t *settings) {
    struct reader reader = {settings, tl_hash_string(name, 2)};
    struct cost_engine *engine = tl_cost_replace(cost, name);
    double scale = number(&reader, "scale", 1), batch = number(&reader, "batch", 64);
    engine->measured = engine->exact = true;
    struct cost_line *lines = engine->lines;
    lines[TL_OP_EMBED] = line(scale * number(&reader, "embed_ms", 25), 0,
                              scale * number(&reader, "embed_token_ms", 0.1), batch);
    lines[TL_OP_SCORE] = line(scale * number(&reader, "score_ms", 14), 0,
                              scale * number(&reader, "score_token_ms", 0.017), batch);
    lines[TL_OP_INGEST] = line(scale * number(&reader, "ingest_ms", 15),
                               scale * number(&reader, "ingest_row_ms", 0.5), 0, 4 * batch);
    lines[TL_OP_SEARCH] = lines[TL_OP_MATCH] = line(scale * number(&reader, "search_ms", 2),
                                                    scale * number(&reader, "search_query_ms", 1.3), 0, batch);
    lines[TL_OP_COLLECTION] = line(0, 0, 0, 0);
    lines[TL_OP_CHUNK] = line(0, scale * number(&reader, "document_ms", 1), 0, batch);
    lines[TL_OP_WEB_SEARCH] = line(scale * number(&reader, "web_ms", 350), 0, 0, 0);
    lines[TL_OP_TOOL] = line(scale * number(&reader, "tool_ms", 200), 0, 0, 0);
    engine->llm = (struct cost_llm){
        .known = true,
        .base = scale * number(&reader, "iteration_ms", 18),
        .prompt = scale * number(&reader, "prompt_token_ms", 0.24),
        .iteration_tokens = (uint32_t)number(&reader, "iteration_tokens", 2048),
        .sequences = (uint32_t)number(&reader, "sequences", 32),
        .step_count = 2,
        .rows = {1, 2},
        .step = {0, scale * number(&reader, "sequence_ms", 0.4)},
    };
    tl_cost_changed(cost, reader.hash);
}
