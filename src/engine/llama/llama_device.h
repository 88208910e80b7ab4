/* llama_device.h: what every engine over llama.cpp shares: its one start-up with the log
 * routed to ours, loading a model with a readable reason when that fails, and threads.
 *
 * Threads. Each context gets a threadpool of its own (llama_attach_threadpool): without one,
 * ggml makes and joins threads for every graph. Pools do not poll, so an idle pool sleeps in
 * a condition variable and costs nothing; the engines of one device never compute at the
 * same time (they share an executor), so their pools never compete for the cores. */
#ifndef TL_ENGINE_LLAMA_DEVICE_H
#define TL_ENGINE_LLAMA_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "llama.h"
#include "teola/status.h"

/* Starts the library once per process and routes its log to tl_log: its errors and warnings
 * at debug level, since what goes wrong is reported by whoever called. Thread-safe. */
void tl_llama_start(void);

struct tl_llama_loading {
    const char *path;
    bool vocab_only;
    int32_t gpu_layers;      /* < 0: all */
    const char *gpu_devices; /* llama.cpp's names of those to use, separated by commas; NULL: all GPUs there are */
};

/* Loads a GGUF file; how far it has come is reported (base/progress.h), unless only the vocabulary is wanted. The reason
 * of a failure names the path and what llama.cpp said of it; TL_ERR_INVALID lists the devices there are when one that is
 * named is not. */
enum tl_status tl_llama_load(const struct tl_llama_loading *loading, struct llama_model **model,
                             struct tl_error *error);

/* Threads that a context uses when its settings say nothing: one for each core that this
 * process may run on (sched_getaffinity, and the CPU quota of its control group); hardware
 * threads of one core count once. */
int32_t tl_llama_default_threads(void);

/* Makes a pool of `threads` threads (the calling one included) and attaches it. Free the
 * context first, then the pool with ggml_threadpool_free. */
enum tl_status tl_llama_attach_pool(struct llama_context *context, int32_t threads, struct ggml_threadpool **pool,
                                    struct tl_error *error);

/* The file's name without its directories and ".gguf", for people; returns owned. */
char *tl_llama_model_name(const char *path);

/* An array of token ids. */
struct tl_llama_tokens {
    llama_token *ids;
    size_t count, capacity;
};

void tl_llama_tokens_fini(struct tl_llama_tokens *tokens);
void tl_llama_tokens_push(struct tl_llama_tokens *tokens, llama_token id);
void tl_llama_tokens_append(struct tl_llama_tokens *tokens, const llama_token *ids, size_t count);

/* Appends the tokens of a text; adds no special tokens. With parse_special false nothing in
 * the text can become a control token. Texts of any length; TL_ERR_NO_MEMORY is the only failure. */
enum tl_status tl_llama_tokenize(const struct llama_vocab *vocab, const char *text, size_t length, bool parse_special,
                                 struct tl_llama_tokens *out);

#endif
