/* llm_draft.c: proposals of what a request writes next, looked up in its prompt and in what it wrote.
 *
 * A call with proposals computes a row for each and one for the token before; those that the model would have chosen
 * itself are accepted, up to the first that it would not: what is written is the same, in fewer calls. Rows are not
 * free on a CPU, so how many are proposed follows from what was measured: with d proposals, each right with
 * probability p, a call gives (1 - p^(d+1)) / (1 - p) tokens for the time of 1 + d rows; the d with most tokens for the
 * time is taken. Only for who writes alone: beside others its rows would be computed apart from theirs. */
#include "base/error.h"
#include "engine/llm/llm_impl.h"

#define SURELY_KNOWN 3 /* calls of a size that are timed before its time is believed */
#define TRY_AGAIN 128  /* steps after which what was found to be slower is tried again */
#define LONGEST_MATCH 3
#define SHORTEST_MATCH 2

size_t tl_llm_lookup(const int32_t *ids, size_t count, int32_t *out, size_t most) {
    for (size_t match = LONGEST_MATCH; match >= SHORTEST_MATCH; match--) {
        if (count < match + 1)
            continue;
        const int32_t *last = ids + count - match;
        for (size_t at = count - match; at-- > 0;) {
            size_t same = 0;
            while (same < match && ids[at + same] == last[same])
                same++;
            if (same < match)
                continue;
            size_t found = 0;
            while (found < most && at + match + found < count) {
                out[found] = ids[at + match + found];
                found++;
            }
            return found;
        }
    }
    return 0;
}

void tl_llm_note_drafted(struct tl_llm_core *core, struct tl_llm_request *request, size_t accepted, size_t drafted) {
    core->counters.drafted += drafted;
    core->counters.accepted += accepted;
    request->proposed += drafted;
    request->accepted += accepted;
    for (size_t i = 0; i < accepted; i++)
        request->acceptance += (1 - request->acceptance) / 8;
    if (accepted < drafted)
        request->acceptance -= request->acceptance / 8;
}

double tl_llm_draft_tokens(double right, size_t proposals) {
    double tokens = 1, power = 1;
    for (size_t i = 0; i < proposals; i++)
        tokens += power *= right;
    return tokens;
}

/* How many of `found` proposals pay. Sizes are 1, 3, 7 and 15: so few are soon measured. */
static size_t worthwhile(const struct tl_llm_core *core, const struct tl_llm_request *request, size_t found) {
    if (core->alone[1].samples < SURELY_KNOWN)
        return 0;
    double best = 1 / core->alone[1].ms;
    size_t chosen = 0;
    for (size_t d = 1; d <= found; d = 2 * d + 1) {
        double tokens = tl_llm_draft_tokens(request->acceptance, d);
        const struct tl_llm_average *time = &core->alone[1 + d];
        if (time->samples < SURELY_KNOWN)
            return d; /* tried, to know */
        if (tokens / time->ms > best) {
            best = tokens / time->ms;
            chosen = d;
        }
    }
    return chosen;
}

static bool writes_alone(const struct tl_llm_core *core, const struct tl_llm_request *request) {
    for (uint32_t i = 0; i < core->top; i++) {
        const struct tl_llm_request *user = core->resident[i] ? core->resident[i]->user : NULL;
        if (user && user != request && user->state == TL_LLM_WRITING)
            return false;
    }
    return request->state == TL_LLM_WRITING;
}

bool tl_llm_together(const struct tl_llm_core *core, const struct tl_llm_request *request, size_t count) {
    if (count < 2 || count > TL_LLM_MOST_DRAFTED + 1 || core->step % TRY_AGAIN == 0 || !writes_alone(core, request))
        return true;
    const struct tl_llm_average *one = &core->alone[1], *all = &core->alone[count];
    bool known = one->samples >= SURELY_KNOWN && all->samples >= SURELY_KNOWN;
    return !known || all->ms <= (double)count * one->ms;
}

size_t tl_llm_draft(struct tl_llm_core *core, struct tl_llm_request *request, size_t most) {
    size_t context = core->limits.context_tokens - request->tokens.count;
    size_t pending = request->tokens.count - request->filled;
    size_t room = pending < core->limits.call_tokens ? core->limits.call_tokens - pending : 0;
    most = most < core->limits.draft ? most : core->limits.draft;
    most = most < context ? most : context;
    most = most < room ? most : room;
    if (most == 0 || request->drafted > 0 || !writes_alone(core, request))
        return 0;
    int32_t ids[TL_LLM_MOST_DRAFTED];
    size_t found = tl_llm_lookup(request->tokens.ids, request->tokens.count, ids, most);
    size_t count = core->limits.draft_always || found == 0 ? found : worthwhile(core, request, found);
    if (count < found && request->acceptance < TL_LLM_ACCEPTANCE)
        request->acceptance += 0.01; /* what was wrong is given another chance, in time */
    if (count > 0)
        tl_llm_append(core, request, ids, count, count);
    return count;
}
