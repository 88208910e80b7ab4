/* llama_layout.c: which layout is used, given what was measured; see llama_layout.h. */
#include "engine/llama/llama_layout.h"

#include <math.h>
#include <stdio.h>

#define BETTER 0.97 /* of what streams take: two measurements of one layout differ by as much */

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
    return json_pack("{s:{s:s, s:s, s:I, s:I, s:o}}", "kv", "used", tl_llama_layout_names[used], "because", because,
                     "writers", (json_int_t)writers, "chunk", (json_int_t)chunk, "measured", rows);
}
