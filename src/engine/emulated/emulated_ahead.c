/* emulated_ahead.c: iterations of the emulated LLM of which nothing shows, computed together afterwards: in virtual time, for
 * who simulates much.
 *
 * Most iterations do nothing but add a token to each text that is being written. Nobody can tell when that is done, as long
 * as it is before anybody looks. So such an iteration only takes its time and is *owed*: what is owed is paid, in one go,
 * before anything else happens to the model. What comes out is the same, to the last counter:
 *   - `ahead` is how many iterations to come are like that: the core does the same in each of them (tl_llm_is_steady), and
 *     none ends an answer or a piece that is passed on (tl_emulated_write_unseen).
 *   - Whatever could change that is seen before the next iteration begins: an item that comes, a cancel, and the engine's
 *     end pay first and start anew, and so does a kv value that was released.
 *   - Each iteration is still asked for by a step of its own and takes the time that it would have taken, by the same
 *     function of the same parts. So who shares the device, is in the way, breaks or delays the instance sees no difference.
 *   - Text that is streamed has begun when its item was accepted; nobody may depend on when the rest of it is told. */
#include "base/mem.h"
#include "engine/emulated/emulated.h"
#include "engine/llm/handles.h"

void tl_emulated_ahead_look(struct emulated_engine *engine) {
    struct emulated_llm *llm = engine->llm;
    llm->ahead = 0;
    if (!engine->world || !engine->world->ahead || !tl_llm_is_steady(llm->core))
        return;
    uint64_t ahead = UINT64_MAX;
    for (const struct tl_llm_request *request = tl_llm_first(llm->core); request; request = request->next) {
        uint64_t unseen = request->state == TL_LLM_WRITING ? tl_emulated_write_unseen(request->user) : UINT64_MAX;
        ahead = unseen < ahead ? unseen : ahead;
    }
    llm->ahead = ahead;
}

bool tl_emulated_ahead_pass(struct emulated_engine *engine, double *ms) {
    struct emulated_llm *llm = engine->llm;
    if (llm->ahead == 0 || tl_llm_handles_are_released(llm->handles))
        return false;
    llm->ahead--;
    llm->owed++;
    for (size_t i = 0; i < llm->work_count; i++) /* those of the iteration before: all of them write */
        llm->works[i].context++;
    *ms = tl_emulated_llm_ms(engine, 0, llm->work_count);
    return true;
}

static void write_on(struct emulated_engine *engine, struct emulated_job *job, size_t count) {
    struct emulated_llm *llm = engine->llm;
    llm->ids = tl_mem_grow(llm->ids, &llm->id_capacity, count, sizeof *llm->ids);
    uint64_t written = job->usage.tokens_out - job->left;
    for (size_t i = 0; i < count; i++)
        llm->ids[i] = tl_emulated_llm_id(job, written + i + 1);
    tl_emulated_write_words(engine, job, count);
    tl_llm_append(llm->core, job->request, llm->ids, count, 0);
    llm->resident[job->request->copy->sequence] += count;
    llm->tokens += count;
}

void tl_emulated_ahead_pay(struct emulated_engine *engine) {
    struct emulated_llm *llm = engine->llm;
    size_t count = (size_t)llm->owed;
    llm->ahead = llm->owed = 0;
    llm->postponed += count;
    if (count == 0)
        return;
    for (struct tl_llm_request *request = tl_llm_first(llm->core); request; request = request->next)
        if (request->state == TL_LLM_WRITING)
            write_on(engine, request->user, count);
    tl_llm_catch_up(llm->core, count);
    if (llm->tokens > llm->most)
        llm->most = llm->tokens;
}
