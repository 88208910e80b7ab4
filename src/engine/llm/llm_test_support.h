/* llm_test_support.h: an executor of the core's orders that has no model: KV is the token ids themselves, so a test
 * sees at every row whether a sequence holds what it should. Used by the core's tests. */
#ifndef TL_ENGINE_LLM_LLM_TEST_SUPPORT_H
#define TL_ENGINE_LLM_LLM_TEST_SUPPORT_H

#include "engine/llm/llm.h"

#define TL_LLM_TEST_SEQUENCES 16
#define TL_LLM_TEST_CONTEXT 640

/* Zeroed but for `seed`: everything works. Chances are of 100. */
struct tl_llm_test_world {
    struct tl_llm_core *core;
    int32_t kv[TL_LLM_TEST_SEQUENCES][TL_LLM_TEST_CONTEXT];
    size_t length[TL_LLM_TEST_SEQUENCES];
    size_t alive;                    /* saved copies */
    uint64_t seed;
    uint64_t save_fails, load_fails, trim_fails, call_fails;
    bool whole_only;
    /* what the last step did */
    size_t rows, prompt_rows, calls;
    double ms_row, ms_call;          /* told to the core; 0: nothing is told */
    double ms_joint;                 /* beside these, of a call of rows that write and of a prompt */
    /* Called for a writing request whose rows were computed: appends or ends. Without a range: its first row is known. */
    void (*wrote)(struct tl_llm_test_world *world, struct tl_llm_request *request, const struct tl_llm_range *range);
    /* Called for a prefill whose last row was computed. NULL: nothing is done. */
    void (*row)(struct tl_llm_test_world *world, struct tl_llm_request *request);
    /* Called for a filled prefill: ends it. NULL: it is ended. */
    void (*filled)(struct tl_llm_test_world *world, struct tl_llm_request *request);
    /* Called when a request's rows failed. NULL: it goes on. True: it was ended. */
    bool (*failed)(struct tl_llm_test_world *world, struct tl_llm_request *request);
};

/* A number below `below`. */
uint64_t tl_llm_test_draw(struct tl_llm_test_world *world, uint64_t below);
/* Makes the core; `share`: sequences can share tokens without copying. */
void tl_llm_test_open(struct tl_llm_test_world *world, const struct tl_llm_limits *limits, bool share);
/* Destroys the core and checks that nothing is left. */
void tl_llm_test_close(struct tl_llm_test_world *world);
/* Gives the request its pinned beginning, as one who had it from elsewhere. */
void tl_llm_test_give(struct tl_llm_test_world *world, const struct tl_llm_request *request);
/* One step, checked at every row. False: nothing to do. */
bool tl_llm_test_step(struct tl_llm_test_world *world);

#endif
