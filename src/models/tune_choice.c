/* tune_choice.c: which of the formats that were measured is used; see tune.h. */
#include "models/tune.h"

#define NEAR 1.03 /* faster by less than this is not faster: two samples of one file differ by as much */

double tl_tune_request_ms(double prefill, double decode) {
    return prefill > 0 && decode > 0 ? 1000 * (512 / prefill + 64 / decode) : 0;
}

static bool fits(const struct tl_tune_candidate *candidate, double most_loss) {
    return candidate->request > 0 && candidate->loss <= most_loss;
}

size_t tl_tune_choose(const struct tl_tune_candidate *candidates, size_t count, double most_loss) {
    double fastest = 0;
    for (size_t i = 0; i < count; i++)
        if (fits(&candidates[i], most_loss) && (fastest == 0 || candidates[i].request < fastest))
            fastest = candidates[i].request;
    size_t chosen = 0;
    if (count > 0 && fits(&candidates[0], most_loss) && candidates[0].request <= fastest * NEAR)
        return 0;
    for (size_t i = 1; i < count; i++)
        if (fits(&candidates[i], most_loss) && candidates[i].request <= fastest * NEAR &&
            (chosen == 0 || candidates[i].size < candidates[chosen].size))
            chosen = i;
    return chosen;
}
