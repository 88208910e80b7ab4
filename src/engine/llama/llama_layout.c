/* llama_layout.c: what is chosen, given what was measured; see llama_layout.h. */
#include "engine/llama/llama_layout.h"

#include <math.h>
#include <stdio.h>

#include "engine/llm/llm.h"

#define BETTER 0.97 /* of what the default takes: two measurements of one thing differ by as much */

const char *const tl_llama_layout_names[TL_LLAMA_LAYOUTS] = {"stream", "unified"};

double tl_llama_layout_request(const struct tl_llama_layout_times *times, size_t writers, size_t chunk) {
    double chunks = (double)TL_LLAMA_LAYOUT_OWN / (double)chunk;
    double alone = (double)TL_LLAMA_LAYOUT_WRITTEN / (double)writers - chunks;
    return times->share + chunks * fmin(times->joint, times->prompt + times->write) + fmax(0, alone) * times->write;
}

size_t tl_llama_layout_choose(const double requests[TL_LLAMA_LAYOUTS]) {
    return requests[TL_LLAMA_UNIFIED] < BETTER * requests[TL_LLAMA_STREAM] ? TL_LLAMA_UNIFIED : TL_LLAMA_STREAM;
}

static json_t *rounded(double ms) {
    return json_real(round(ms * 1000) / 1000);
}

json_t *tl_llama_layout_report(const struct tl_llama_layout_times times[TL_LLAMA_LAYOUTS], size_t writers,
                               size_t chunk) {
    double requests[TL_LLAMA_LAYOUTS];
    json_t *rows = json_array();
    for (size_t i = 0; i < TL_LLAMA_LAYOUTS; i++) {
        requests[i] = tl_llama_layout_request(&times[i], writers, chunk);
        json_array_append_new(rows, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "kv", tl_llama_layout_names[i],
                                              "share_ms", rounded(times[i].share), "prompt_ms",
                                              rounded(times[i].prompt), "write_ms", rounded(times[i].write),
                                              "joint_ms", rounded(times[i].joint), "request_ms",
                                              rounded(requests[i])));
    }
    size_t used = tl_llama_layout_choose(requests);
    char because[160];
    snprintf(because, sizeof because, "measured: a request takes %.0f ms with streams, %.0f ms unified",
             requests[TL_LLAMA_STREAM], requests[TL_LLAMA_UNIFIED]);
    return json_pack("{s:s, s:s, s:I, s:I, s:o}", "used", tl_llama_layout_names[used], "because", because,
                     "writers", (json_int_t)writers, "chunk", (json_int_t)chunk, "measured", rows);
}

const size_t tl_llama_lookup_rows[TL_LLAMA_LOOKUPS] = {1, 2, 4, 8, 16};

json_t *tl_llama_lookup_report(const double ms[TL_LLAMA_LOOKUPS]) {
    json_t *rows = json_array();
    double best = INFINITY;
    size_t proposals = 0;
    for (size_t i = 0; i < TL_LLAMA_LOOKUPS; i++) {
        size_t proposed = tl_llama_lookup_rows[i] - 1;
        double token = ms[i] / tl_llm_draft_tokens(TL_LLM_ACCEPTANCE, proposed);
        json_array_append_new(rows, json_pack("{s:I, s:o, s:o}", "lookup", (json_int_t)proposed, "call_ms",
                                              rounded(ms[i]), "token_ms", rounded(token)));
        if (i > 0 && token < best) {
            best = token;
            proposals = proposed;
        }
    }
    char because[160];
    snprintf(because, sizeof because, "measured: a token takes %.1f ms without proposals, %.1f ms with %zu at best",
             ms[0], best, proposals);
    return json_pack("{s:i, s:s, s:o}", "used", best < BETTER * ms[0] ? -1 : 0, "because", because, "measured", rows);
}
