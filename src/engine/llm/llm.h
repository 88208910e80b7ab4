/* llm.h: what a language model computes next, and where its KV is kept: decided here, in plain data.
 *
 * An engine gives its requests to the core and carries out what the core says; it decides nothing itself. The llama
 * engine does so with llama.cpp, the emulated LLM in virtual time, tests with arrays: so a simulation covers every
 * decision. The core knows token ids, no text; it has no clock, thread, lock or I/O; one thread calls.
 *
 * One step of an engine:
 *
 *     tl_llm_arrange(core)                     who computes, in which sequence; KV is saved, loaded, trimmed through
 *                                              the functions of struct tl_llm_storage, at once
 *     while (tl_llm_next_filled(core))         prefills that are complete: report them, tl_llm_end
 *     while (tl_llm_next_ready(core))          decodes whose first row is known: sample, then tl_llm_append or tl_llm_end
 *     while (tl_llm_next_call(core, &call))    one call of the model: rows of tokens
 *         compute it, tell the time with tl_llm_measured, then for each range
 *             tl_llm_computed, or tl_llm_broken when the call failed (tried alone before, if there were several)
 *             of a request that writes: sample from the rows, then tl_llm_append or tl_llm_end; of a prefill with
 *             `row`: keep the row
 *         while (tl_llm_next_filled(core)), while (tl_llm_next_ready(core))     as above
 *
 * Sequences, copies, paths. The model computes in `sequences`, each with the KV of one run of tokens from position 0.
 * A *copy* is such KV: resident in a sequence, or saved in host memory. All copies are marks in one radix tree
 * (tree.h), so the longest prefix that is there is found whoever computed it: a request, an earlier one of any run,
 * the answer that was decoded from it. Copies are whole (a library saves and loads whole sequences) and are cut
 * behind the part that is wanted after loading, which costs nothing.
 *
 * Composing. Each step every request that writes gets its rows; then prompts get what the step's time allows, in turn:
 * the first of the order until it is complete, then the next. Whether the first of these prompts shares the call of those
 * that write, or each has a call of its own, follows from what was measured: it is different for each layout of KV, model
 * and device, and for each number of rows. Where sequences are `streams`, one or two prompts that stand between requests
 * that write put a token each into their call (a *bridge*), so that it is not divided. The order is rank, then arrival.
 * Nobody starves: each time that a later arrival is served before it a request is overtaken, and one that was
 * overtaken `patience` times goes before all that were not, by arrival, and cannot be preempted.
 * A request whose prefix is being computed by another one waits for it instead of computing it again, and lends it
 * its rank meanwhile. When no sequence is free, one whose copy nobody computes in is saved and reused; when there is
 * none, a request of much lower rank is preempted, or for a decode one that only prefills the beginning of a prompt: its
 * KV stays as a copy, and it goes on where it was.
 *
 * Keeping. When a request ends its KV stays, prompt and answer. Saved copies are bounded by cache_bytes; what is
 * dropped first is what is cheapest to compute again for the memory it takes (tokens that no other copy has,
 * per token held) and was not used for the longest time; what live requests and handles hold is dropped only
 * when nothing else is left, and computed again when it is used (counted: lost). Pinned prefixes, the beginnings
 * that a workflow's queries all share, are kept apart, bounded by pin_bytes. */
#ifndef TL_ENGINE_LLM_LLM_H
#define TL_ENGINE_LLM_LLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/llm/tree.h"

/* What the engine can do, and bounds. Constant from create on. */
struct tl_llm_limits {
    uint32_t sequences;      /* that can hold KV at once; at least 1 */
    uint32_t running;        /* requests that compute at once; at most `sequences`, 0: as many */
    uint32_t context_tokens; /* most tokens of one sequence */
    uint64_t cells;          /* tokens of KV in all sequences together; 0: sequences x context_tokens. Tokens that
                                sequences share by tl_llm_storage.share are counted in each of them */
    uint32_t call_tokens;    /* most rows of one call; at least `chunk`, and at least 1 */
    uint32_t chunk;          /* most prompt tokens of a step */
    uint32_t chunk_least;    /* computed in a step even when quantum_ms allows less; so few are not left over, either */
    double quantum_ms;       /* a step should not take longer; 0: no bound but `chunk` */
    uint64_t cache_bytes;    /* of saved copies that are not pinned; storage must tell true sizes */
    uint64_t pin_bytes;      /* of pinned ones */
    uint64_t idle_steps;     /* a resident copy that nobody computes in and that was not used for so many steps is saved,
                                where all cells are attended to; 0: it stays until its sequence is wanted */
    uint32_t patience;       /* times that a request lets later ones go first; 0: 32 */
    double preempt_margin;   /* a request is preempted for one whose rank is higher by more than this; < 0: for none */
    uint32_t draft;          /* most proposals in a call (tl_llm_draft); 0: none. Not with whole_only */
    bool draft_always;       /* propose what is found; else as many as pay by what was measured */
    bool whole_only;         /* sequences cannot be cut (recurrent models): only a whole copy is ever reused */
    bool held_only;          /* KV goes with the last request or handle that holds it; pinned copies stay */
    bool joined;             /* rows that write and the first prompt of a step always share a call; else where that was
                                measured to be faster */
    bool streams;            /* each sequence has KV of its own, and the model computes rows of neighbouring ones together:
                                a sequence between them that has no row divides the call. Not with whole_only */
};

/* Carries out what the core decides about KV. Called from within tl_llm_arrange, tl_llm_end, tl_llm_broken,
 * tl_llm_clear and the like; must not call back. */
struct tl_llm_storage {
    void *context;
    /* Copies the KV of a sequence, `length` tokens, to host memory. NULL: there is no room, or it failed. */
    void *(*save)(void *context, uint32_t sequence, size_t length, uint64_t *bytes);
    /* Puts a saved copy, of the length that it was saved with, into an empty sequence. False: it failed, and the
     * sequence is empty. */
    bool (*load)(void *context, uint32_t sequence, const void *saved, size_t length);
    void (*drop)(void *context, void *saved); /* frees a saved copy */
    /* Removes what is behind `length` tokens. False: it cannot; then the sequence is empty. Length 0 never fails. */
    bool (*trim)(void *context, uint32_t sequence, size_t length);
    /* Makes an empty sequence begin with the first `length` tokens of another one, without copying them; false: it
     * failed. NULL: this layout cannot, it is saved and loaded instead. */
    bool (*share)(void *context, uint32_t from, uint32_t to, size_t length);
};

struct tl_llm_tokens {
    int32_t *ids;
    size_t count, capacity;
};

enum tl_llm_state {
    TL_LLM_WAITING, /* for a sequence, or for a prefix that another request computes */
    TL_LLM_FILLING, /* tokens[filled .. target) are to be computed */
    TL_LLM_WRITING, /* tokens[filled .. count) are fed, then the engine samples and appends */
    TL_LLM_FILLED,  /* a prefill that is complete, until it is ended */
};

/* What is asked for. */
struct tl_llm_ask {
    void *user;               /* whose request it is: request->user */
    const int32_t *ids;       /* the prompt as far as it is known; copied */
    size_t count;             /* of a decode at least 1; with `forced` at most context_tokens - 1 */
    const int32_t *forced;    /* decode: tokens behind the prompt that are fed before the first is sampled; copied */
    size_t forced_count;
    size_t pin;               /* leading tokens that later requests will have too: kept as a pinned copy; 0: none */
    size_t reserve;           /* decode: most tokens that it will write */
    bool decode;              /* goes on to write; else it ends when the KV of its prompt is there */
    bool open;                /* prefill: the prompt goes on. Of a closed one the last token is left to the decode,
                                 which needs its logits, but for `row` */
    bool row; /* prefill of a closed prompt: its last token is computed too, even when its KV is there,
                                 and its row is the caller's to keep. Decode: that row is there: if nothing is forced the
                                 first token is sampled from it, without a call */
    double rank;              /* higher first; the unit is the caller's */
    uint64_t salt;            /* requests of different salts share nothing */
};

/* A request that the core holds. Engines read; only the core writes, but for `user`. */
struct tl_llm_request {
    struct tl_llm_request *next, *before; /* all of the core, by arrival */
    void *user;
    enum tl_llm_state state;
    bool decode, open, row;
    uint64_t salt, arrival;
    double rank, effective_rank;          /* the latter: the highest of those that wait for it, too */
    struct tl_llm_tokens tokens;          /* prompt, forced, and what was appended */
    size_t prompt_count, pin, reserve;
    size_t target;                        /* tokens whose KV must be there before it is filled or writes */
    size_t filled;                        /* tokens whose KV is in its sequence */
    double acceptance;                    /* how likely the next proposal is right, by those so far */
    size_t drafted;                       /* of the tokens not filled, how many at the end are proposals */
    size_t proposed, accepted;            /* proposals that were computed; those that were right */
    struct tl_llm_copy *copy;             /* what it computes in; NULL while it waits, or had nothing to compute */
    struct tl_llm_mark promise, hold;     /* promise: TARGET, while filling */
    size_t reused;                        /* prompt tokens that were there when it began */
    size_t computed;                      /* rows computed for it */
    size_t calls;                         /* in which it wrote: some of its rows were behind its prompt, or the last of it */
    size_t kept;                          /* tokens whose KV it had, or its handle: what is missing of them was lost */
    uint32_t overtaken, preempted;        /* times */
    bool aged;                            /* overtaken often enough to go first */
    uint64_t placed, served;              /* step in which it last got a sequence, rows */
    bool began;                           /* `reused` is known */
    bool waited;                          /* for a prefix in progress */
};

/* KV of the first mark.length tokens of a sequence: resident, or saved. */
struct tl_llm_copy {
    struct tl_llm_copy *next, *before; /* all of the core */
    struct tl_llm_mark mark;           /* COPY */
    uint64_t salt;
    int32_t sequence;                  /* -1: saved */
    struct tl_llm_request *user;       /* of a resident one: who computes in it; NULL: idle */
    void *saved;                       /* the engine's */
    size_t saved_length;               /* tokens in it: what is behind mark.length is cut after loading */
    uint64_t bytes;
    bool pinned;                       /* saved ones only */
    uint64_t used;                     /* step of its last use */
};

/* A prefix that somebody will come back to: what a kv value stands for. Its tokens stay known; their KV is kept in
 * preference to all that nobody holds. It takes no sequence. */
struct tl_llm_handle {
    struct tl_llm_handle *next, *before;
    struct tl_llm_tokens tokens; /* whole prompt */
    bool open;
    uint64_t salt;
    struct tl_llm_mark hold;
};

/* Consecutive tokens of one request in a call: tokens.ids[first .. first + count) at these positions. */
struct tl_llm_range {
    struct tl_llm_request *request;
    uint32_t sequence;
    size_t first, count;
    size_t logits; /* rows at its end that are wanted: 0, 1, or 1 + drafted */
    bool writes;   /* false: of a prompt */
};

struct tl_llm_call {
    struct tl_llm_range *ranges; /* the core's; until the next call */
    size_t count, rows;
    size_t writers;              /* of the ranges, how many are of requests that write: in the order of their sequences */
    size_t bridges;              /* how many are single tokens of prompts, between those that write */
};

/* Work done so far, and things held now. */
struct tl_llm_counters {
    uint64_t steps;
    uint64_t write_calls, fill_calls, joint_calls; /* of requests that write (and bridges), of prompts, of both */
    uint64_t bridges;                 /* tokens of prompts in calls of requests that write */
    uint64_t asked, reused, computed; /* prompt tokens of requests; computed: also of what was lost */
    uint64_t written;                 /* rows of written tokens */
    uint64_t evicted, lost;           /* tokens whose only KV was dropped; those that had to be computed again for a
                                         decode, whose prefill did so before, or a preempted request */
    uint64_t saves, loads, shares, drops, trims;
    uint64_t drafted, accepted;       /* proposals computed; those that were right */
    uint64_t given;                   /* tokens of pinned copies that came from outside */
    uint64_t waits;                   /* requests that waited for a prefix in progress */
    uint64_t preemptions;
    size_t requests, handles, resident, saved, pinned; /* resident, saved (pinned too), pinned: copies */
    uint64_t saved_bytes, pinned_bytes;                /* the former without the latter */
};

struct tl_llm_core;

struct tl_llm_core *tl_llm_create(const struct tl_llm_limits *limits, const struct tl_llm_storage *storage);
/* Drops all copies, frees all handles: these dangle then. Requests must have been ended. NULL is allowed. */
void tl_llm_destroy(struct tl_llm_core *core);

/* ---- requests ---- */

/* Takes a request in; it begins at the next step. NULL: it can never fit (count + forced_count is over context_tokens,
 * for a decode over context_tokens - 1) or a decode has no tokens. */
struct tl_llm_request *tl_llm_submit(struct tl_llm_core *core, const struct tl_llm_ask *ask);

/* The oldest request; the others follow by `next`, by arrival. NULL: none. */
struct tl_llm_request *tl_llm_first(const struct tl_llm_core *core);

/* Of the first tokens of the request, which are to be pinned: how many have no KV yet. Who has it from elsewhere may give
 * it before the next step. */
size_t tl_llm_pin_missing(const struct tl_llm_core *core, const struct tl_llm_request *request);
/* Gives the core the KV of the first request->pin tokens, as if it had been saved. Takes `saved`. */
void tl_llm_pin_give(struct tl_llm_core *core, const struct tl_llm_request *request, void *saved, uint64_t bytes);
/* Pinned copies, in no particular order: start with NULL; NULL at the end. */
const struct tl_llm_copy *tl_llm_next_pinned(const struct tl_llm_core *core, const struct tl_llm_copy *copy);

/* The request is over, whatever its state: finished, failed, cancelled. Its KV stays. Frees it. */
void tl_llm_end(struct tl_llm_core *core, struct tl_llm_request *request);

/* A handle on a filled prefill's prompt; the request is still to be ended. */
struct tl_llm_handle *tl_llm_handle_create(struct tl_llm_core *core, const struct tl_llm_request *request);
void tl_llm_handle_release(struct tl_llm_core *core, struct tl_llm_handle *handle);

/* ---- a step ---- */

/* Begins a step: places waiting requests. True while there are requests. */
bool tl_llm_arrange(struct tl_llm_core *core);
/* A prefill whose prompt is in the KV; the caller ends it before it asks again. NULL: none (any more). */
struct tl_llm_request *tl_llm_next_filled(struct tl_llm_core *core);
/* A decode that has nothing to feed, since the row behind its prompt is known: the caller samples from that, and appends or
 * ends the request before it asks again. NULL: none (any more). */
struct tl_llm_request *tl_llm_next_ready(struct tl_llm_core *core);
/* The next call of this step; false: the step is over. Each range must be answered for before the next call. */
bool tl_llm_next_call(struct tl_llm_core *core, struct tl_llm_call *call);

/* The first `count` rows of the request's range were computed. */
void tl_llm_computed(struct tl_llm_core *core, struct tl_llm_request *request, size_t count);
/* Rows of the request failed: what they may have left is removed. The request goes on as before that call unless the
 * caller ends it: the same range may be tried again at once if request->filled is still range->first (a sequence that
 * cannot be cut begins anew). */
void tl_llm_broken(struct tl_llm_core *core, struct tl_llm_request *request);
/* How long a call took: prompts are cut, and calls composed, by what was measured. */
void tl_llm_measured(struct tl_llm_core *core, const struct tl_llm_call *call, double ms);

/* Tokens that follow what was written. The last `drafted` of them are proposals: rows of all of these and of the
 * token before are sampled from, and what is not right is taken back with tl_llm_reject. All must fit. */
void tl_llm_append(struct tl_llm_core *core, struct tl_llm_request *request, const int32_t *ids, size_t count,
                   size_t drafted);
/* Proposes what may come next: appends to a request that writes what followed the last few tokens where they stand
 * earlier in its prompt or answer (answers quote what was retrieved), at most `most` tokens, as many as pay. Called
 * after what was written is appended. Returns how many. */
size_t tl_llm_draft(struct tl_llm_core *core, struct tl_llm_request *request, size_t most);
/* Tokens that a call with so many proposals writes, on average, each right with that probability. */
double tl_llm_draft_tokens(double right, size_t proposals);
#define TL_LLM_ACCEPTANCE 0.6 /* that probability of a request that has had no proposals */
/* Whether `count` tokens that are certain to follow are better appended together than one after the other: few rows in a
 * call can take longer than as many calls of one. True where that was not measured, and beside others that write. */
bool tl_llm_together(const struct tl_llm_core *core, const struct tl_llm_request *request, size_t count);
/* Once the rows of proposals were computed, even if all were right: the last `count` of them are not what is written,
 * and what is written instead is appended next. */
void tl_llm_reject(struct tl_llm_core *core, struct tl_llm_request *request, size_t count);

/* What followed the last tokens of ids where they stand before: the latest place at which the last three are found, else
 * the last two. Writes at most `most` tokens to `out`; returns how many. */
size_t tl_llm_lookup(const int32_t *ids, size_t count, int32_t *out, size_t most);

/* ---- steps alike ---- */

/* Whether the next step does just what the last one did: a row for each request that writes, and nothing else. It does when
 * the last one placed, preempted, saved and dropped nothing although it looked at all who wait, nothing has come or gone
 * since, and each of these requests has one token to feed. Then the step after it is alike, too, and so on, until something
 * comes or goes: whether a request finds room depends on what the writing ones may come to, not on how far they are.
 * (Two that write the same could show each other's tokens to a third that was preempted while it wrote: it says false while
 * such a one waits; and the engine must write tokens that stand in no prompt.) */
bool tl_llm_is_steady(const struct tl_llm_core *core);
/* Makes up for `steps` such steps, which the engine did not ask for: it has appended as many tokens to each request that
 * writes, and these are computed now, but for the last ones. */
void tl_llm_catch_up(struct tl_llm_core *core, size_t steps);

/* ---- the whole ---- */

/* Drops every copy that no request computes in, pinned ones only if `pinned`. */
void tl_llm_clear(struct tl_llm_core *core, bool pinned);
/* Prompt tokens that a step takes now beside `writing` rows of decodes. */
size_t tl_llm_chunk(const struct tl_llm_core *core, size_t writing);
struct tl_llm_counters tl_llm_count(const struct tl_llm_core *core);
/* Aborts when the state contradicts itself; for tests. */
void tl_llm_check(const struct tl_llm_core *core);

#endif
