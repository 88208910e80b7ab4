/* emulated.h: the emulated engine's parts, for this folder only.
 *
 * An instance stands for any kind of engine: `serves` says for which. It takes the time that a
 * latency model says (the defaults are those of the profile "rtx3090": a 7B model and its helpers
 * on such a card), times `scale`, and gives results that follow from the inputs alone, so two runs
 * of one query are equal however their work was batched.
 *
 *   embed        embed_ms + embed_token_ms x tokens                     a bag of words as a vector
 *   rerank       score_ms + score_token_ms x tokens (query + passage)   shared words
 *   ingest       ingest_ms + ingest_row_ms x rows                       kept in memory
 *   search       search_ms + search_query_ms x queries                  by vector, or by words
 *   documents    document_ms x documents                                cut as base/tokens.h says; of files the size is
 *                                                                       known, and their text is made up
 *   web, tool    web_ms, tool_ms, any number at once                    made up; the call itself
 *   llm          one iteration: iteration_ms + prompt_token_ms x new prompt tokens
 *                + sequence_ms x (sequences decoding - 1); the iteration that ends a prefill yields
 *                the first token. Text is words chosen by a hash of the prompt.
 * What an iteration computes, in which order, and which KV stays, engine/llm decides: the very code that the llama engine
 * runs. The model is a server on a GPU that holds kv_tokens tokens of KV, which sequences share without copying, and
 * host_tokens more in main memory; moving them takes transfer_token_ms each. With prefix_cache prompts that begin alike
 * share KV whoever asks; without it a prompt goes on from the kv value that it is given, and from nothing else.
 * A list has as many items as were asked for; list_spread n: up to n more or fewer, as models do;
 * list_broken n: about every nth breaks off within an item, as models do that know no grammar.
 * A token is four bytes of text (base/tokens.h); one word of output is one token.
 *
 * For tests: fail_every n fails each nth item; break_after n: after n items the engine is broken; hang keeps items until
 * they are cancelled; wait_for PATH: a quantum does not end before somebody has opened and closed that FIFO for writing. */
#ifndef TL_ENGINE_EMULATED_EMULATED_H
#define TL_ENGINE_EMULATED_EMULATED_H

#include "base/str.h"
#include "engine/emulated/virtual.h"
#include "engine/engine_impl.h"

struct emulated_settings {
    uint32_t capabilities;
    int64_t batch, dimension, answer_tokens, list_tokens, list_spread, list_broken;
    int64_t sequences, iteration_tokens, context_tokens, kv_tokens, host_tokens;
    int64_t document_chunks, collection_chunks, collection_words, fail_every, break_after;
    double scale;
    double embed_ms, embed_token_ms, score_ms, score_token_ms, ingest_ms, ingest_row_ms, search_ms, search_query_ms;
    double document_ms, web_ms, tool_ms, iteration_ms, prompt_token_ms, sequence_ms, transfer_token_ms, preempt_margin;
    bool hang, pool, prefix_cache;
    char *wait_for; /* owned; "": for nothing */
};

/* Chunks and vectors of one collection. Shared by the engine and, when it is temporary, by the
 * resource of its index values: the last one frees it. */
struct emulated_collection {
    _Atomic uint32_t references;
    char *name; /* NULL: temporary */
    struct tl_value **chunks, **vectors; /* vectors: NULL where none was given */
    size_t count, chunk_capacity, vector_capacity;
    struct emulated_collection *next; /* of the engine's permanent ones */
};

/* One item that the engine holds. */
struct emulated_job {
    struct tl_item *item;
    struct emulated_job *next;
    struct tl_usage usage;
    /* What is left of it, in the unit of its kind: texts, pairs, rows, queries; of a decode tokens. */
    uint64_t left;
    uint64_t tokens; /* of all its units: its share of a batch's time goes by left / units */
    uint64_t units;
    /* of a language model */
    struct tl_llm_request *request;
    bool active; /* has part in this iteration */
    bool writes; /* and gets a token by it */
    bool follows; /* prefill: what comes after the prompt is known without computing, or not asked for */
    /* decode */
    struct tl_value **pieces; /* complete items of a list */
    size_t piece_count;
    struct tl_str text;
    struct tl_value *formatted; /* output of a form that is not written word by word; NULL: none */
    uint64_t hash;
    uint32_t list_items, words; /* list_items: whole ones */
    bool list, broken;          /* broken: it breaks off within the item after the last whole one */
};

struct emulated_llm {
    struct tl_llm_core *core;
    struct tl_llm_handles *handles;
    uint64_t *resident;    /* tokens by sequence */
    uint64_t tokens, most; /* of all sequences: now, and the most of an iteration so far */
    double moved_ms;       /* for KV saved and loaded since the last iteration */
    double transfer_token_ms;
    uint64_t salts; /* given out */
    uint32_t together; /* prompts and sequences of the iteration at hand */
    struct tl_emulated_work *works; /* its parts */
    size_t work_count, work_capacity;
    /* emulated_ahead.c */
    uint64_t ahead; /* iterations to come of which nothing shows */
    uint64_t owed;  /* iterations whose time has passed, but which have not been computed */
    uint64_t postponed; /* that ever were owed */
    int32_t *ids;   /* scratch */
    size_t id_capacity;
};

struct emulated_engine {
    struct tl_engine base;
    struct emulated_settings settings;
    const struct tl_emit *emit;
    struct emulated_job *first; /* list, best rank first, then in order of arrival; not those of the LLM */
    struct emulated_llm *llm;   /* NULL: not open */
    struct emulated_collection *collections;
    uint64_t submitted;
    uint64_t temporaries; /* made so far: numbers for their names */
    bool llm_was_last, told_broken;
    struct tl_emulated_world *world; /* NULL: real time */
    /* Real time, ns: when the last quantum should have been over; when its step ended, 0 when nothing goes on. */
    uint64_t due, left;
};

/* ---- emulated_text.c: deterministic texts and vectors ---- */
/* Appends `count` words that follow from `hash`, from the nth on; the first word of a text starts with a capital. */
void tl_emulated_words(uint64_t hash, uint64_t n, size_t count, struct tl_str *out);
struct tl_value *tl_emulated_vector(const char *text, size_t length, uint32_t dimension);
double tl_emulated_dot(const struct tl_value *a, const struct tl_value *b);
/* The words of a query, which texts are looked through for. Large, and only in part set. */
#define EMULATED_MOST_ASKED 512 /* words that a query may have; later ones are not looked for */
#define EMULATED_CHAINS 64
struct emulated_asked {
    uint64_t words[EMULATED_MOST_ASKED + 1]; /* as numbers, from 1 on */
    uint16_t next[EMULATED_MOST_ASKED + 1];  /* in its chain; 0: none */
    uint32_t found[EMULATED_MOST_ASKED + 1]; /* in this text the last time */
    uint16_t first[EMULATED_CHAINS];
    size_t count, shared;
    uint32_t text; /* number of the text at hand, from 1 */
};
void tl_emulated_ask(struct emulated_asked *asked, const char *query, size_t length);
/* How many words of the query the text has too, as a share from 0 to 1. */
double tl_emulated_overlap(struct emulated_asked *asked, const char *text, size_t length);
/* A made-up passage of so many words, which are as many tokens. */
struct tl_value *tl_emulated_chunk(const char *uri, uint32_t ordinal, uint32_t words);

/* ---- emulated_work.c: results of all but the LLM ---- */
/* How much work an item is, but an LLM's: fills left, units, tokens. TL_ERR_UNSUPPORTED for what the instance does not serve. */
enum tl_status tl_emulated_measure(struct emulated_engine *engine, struct emulated_job *job, struct tl_error *error);
/* The output of a job whose time is over; owned; NULL with the error. */
struct tl_value *tl_emulated_result(struct emulated_engine *engine, struct emulated_job *job, struct tl_error *error);
void tl_emulated_collection_unref(struct emulated_collection *collection);

/* ---- emulated_llm.c ---- */
void tl_emulated_llm_create(struct emulated_engine *engine);
void tl_emulated_llm_destroy(struct emulated_engine *engine);
/* Takes the job, which may be over, and gone, at once. Not when it fails. */
enum tl_status tl_emulated_llm_submit(struct emulated_engine *engine, struct emulated_job *job, struct tl_error *error);
bool tl_emulated_llm_holds(const struct emulated_engine *engine); /* any job */
/* Cancels the item's job, or the oldest when it is NULL. False: there is none. */
bool tl_emulated_llm_cancel(struct emulated_engine *engine, const struct tl_item *item);
void tl_emulated_llm_clear(struct emulated_engine *engine); /* cancels all jobs and forgets all KV */
/* Computes one iteration over all jobs; returns its duration in ms. */
double tl_emulated_llm_plan(struct emulated_engine *engine);
/* After that time: tells what came of it. */
void tl_emulated_llm_advance(struct emulated_engine *engine);

/* ms of an iteration of so many new prompt tokens and sequences that get a token; its parts are in `works`. */
double tl_emulated_llm_ms(const struct emulated_engine *engine, uint64_t prompt, uint64_t sequences);
/* The id of the token that is the last of so many that are written: it follows from the prompt and its place, and stands
 * in no prompt. */
int32_t tl_emulated_llm_id(const struct emulated_job *job, uint64_t written);

/* ---- emulated_ahead.c ---- */
/* After an iteration: of how many to come nothing shows. */
void tl_emulated_ahead_look(struct emulated_engine *engine);
/* True when the next iteration is one of those: it takes *ms, and is owed from now on. */
bool tl_emulated_ahead_pass(struct emulated_engine *engine, double *ms);
/* Computes what is owed: before anything else is done with the model. */
void tl_emulated_ahead_pay(struct emulated_engine *engine);

/* ---- emulated_write.c ---- */
/* What the decode will write, at most `most` tokens, at least one. */
enum tl_status tl_emulated_write_begin(struct emulated_engine *engine, struct emulated_job *job, uint64_t most,
                                       struct tl_error *error);
/* Writes the next words, at most those that are left; a list's item becomes a piece with its last word. */
void tl_emulated_write_words(struct emulated_engine *engine, struct emulated_job *job, uint64_t count);
/* How many words to come are neither the last one nor complete a piece that is passed on. */
uint64_t tl_emulated_write_unseen(const struct emulated_job *job);
/* The output of a decode that has written all; owned; NULL with the error. */
struct tl_value *tl_emulated_written(struct emulated_engine *engine, struct emulated_job *job, struct tl_error *error);

/* ---- emulated_engine.c ---- */
/* Reports the job's outcome, takes `output` (NULL: it failed with the error) and frees the job, which
 * must have been unlinked. */
void tl_emulated_finish(struct emulated_engine *engine, struct emulated_job *job, struct tl_value *output,
                        const struct tl_error *error);

/* emulated_format.c: the output of a decode whose attributes ask for JSON, a choice or a call, and about how many tokens
 * it has. NULL with TL_OK: another format. */
enum tl_status tl_emulated_formatted(const struct tl_attributes *attributes, uint64_t hash, struct tl_value **value,
                                     uint64_t *tokens, struct tl_error *error);

#endif
