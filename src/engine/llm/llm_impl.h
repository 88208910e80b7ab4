/* llm_impl.h: the core's own state, for the files of this folder.
 *
 *     llm.c          life, requests and handles, counters
 *     llm_cache.c    copies: which is taken from, what is saved, what is dropped
 *     llm_compose.c  a step: who gets a sequence, whose rows are computed next
 *     llm_draft.c    proposals of what comes next, by looking it up
 *     tree.c         longest common prefixes */
#ifndef TL_ENGINE_LLM_LLM_IMPL_H
#define TL_ENGINE_LLM_LLM_IMPL_H

#include "engine/llm/llm.h"

/* Rows of a writing call whose duration is kept, each number for itself. */
#define TL_LLM_TIMED_ROWS 8

/* Most proposals in a call. */
#define TL_LLM_MOST_DRAFTED 15

/* A moving average of durations. */
struct tl_llm_average {
    double ms;
    uint32_t samples;
};

struct tl_llm_core {
    struct tl_llm_limits limits;
    struct tl_llm_storage storage;
    struct tl_llm_tree tree;
    struct tl_llm_request *first, *last; /* requests by arrival */
    struct tl_llm_handle *handles;
    struct tl_llm_copy *copies;
    struct tl_llm_copy **resident;       /* by sequence; NULL: empty */
    uint32_t top;                        /* sequences from here on are empty */
    uint32_t running;                    /* resident copies with a user */
    uint32_t filled;                     /* requests in that state */
    uint64_t step, arrivals;
    uint64_t changes;                    /* counted: what came, went, was placed, kept, dropped */
    uint64_t changes_before;             /* of these, when the last step began */
    size_t budget;                       /* prompt tokens that are left for this step */
    bool filled_some;                    /* this step has computed prompt tokens */
    struct tl_llm_request **order;       /* scratch of arrange */
    size_t order_capacity;
    struct tl_llm_range *ranges;         /* of the call at hand; one for each sequence */
    double token_bytes;                  /* of the last save; 0: none yet */
    struct tl_llm_average prompt_token;  /* ms of one, in calls of usual length */
    struct tl_llm_average writing[TL_LLM_TIMED_ROWS + 1]; /* by requests, a row each; [0]: a row of larger calls */
    struct tl_llm_average alone[TL_LLM_MOST_DRAFTED + 2]; /* one request, by rows */
    struct tl_llm_average joint[TL_LLM_TIMED_ROWS + 1]; /* by requests that write: a joint call's time as a share of what
                                                           its rows take in calls of their own; [0]: of more requests */
    uint64_t joinable;                   /* times that there was a choice */
    struct tl_llm_counters counters;
};

/* ---- llm_cache.c ---- */

/* Tokens of the request that it may take from a copy: up to its target, without one whose row it has to give. */
size_t tl_llm_taken_at_most(const struct tl_llm_request *request);
/* Tokens of the request, at most so many, that some copy has. */
size_t tl_llm_cached(const struct tl_llm_core *core, const struct tl_llm_request *request);
/* Gives the request a sequence that begins with what is cached of it. False: none can be had now. */
bool tl_llm_place(struct tl_llm_core *core, struct tl_llm_request *request);
/* The copy holds the first `length` tokens of its user now. */
void tl_llm_copy_length(struct tl_llm_core *core, struct tl_llm_copy *copy, size_t length);
/* Nobody computes in it any more. */
void tl_llm_copy_leave(struct tl_llm_core *core, struct tl_llm_copy *copy);
/* Keeps the request's pinned prefix, once it is there. */
void tl_llm_pin(struct tl_llm_core *core, struct tl_llm_request *request);
/* Whether the request's pinned prefix has yet to be computed and kept. */
bool tl_llm_pin_wanted(const struct tl_llm_core *core, const struct tl_llm_request *request);
void tl_llm_copy_drop(struct tl_llm_core *core, struct tl_llm_copy *copy);
/* Takes copies off sequences that were idle for too long. */
void tl_llm_cool(struct tl_llm_core *core);
/* For held_only: drops what nobody holds any more, now that somebody let these tokens go. */
void tl_llm_drop_unheld(struct tl_llm_core *core, uint64_t salt, const struct tl_llm_tokens *tokens);

/* ---- llm_compose.c ---- */

/* Whether `a` is served before `b`. */
bool tl_llm_precedes(const struct tl_llm_request *a, const struct tl_llm_request *b);
/* Adds to the times that others went first. */
void tl_llm_overtake(struct tl_llm_core *core, struct tl_llm_request *request, uint32_t times);

/* ---- llm_draft.c ---- */

/* Of the proposals of a call so many were right, up to the first that was not. */
void tl_llm_note_drafted(struct tl_llm_core *core, struct tl_llm_request *request, size_t accepted, size_t drafted);

/* ---- llm.c ---- */

/* The request begins to compute, or goes on, with `filled` tokens in its copy; without one when that is all it needs. */
void tl_llm_begin(struct tl_llm_core *core, struct tl_llm_request *request);
/* Takes its copy from the request, which waits again. */
void tl_llm_preempt(struct tl_llm_core *core, struct tl_llm_request *request);

#endif
