/* llama_memory.h: the memory that a model will take, from the head of its file: before anything is loaded.
 *
 *   weights  the tensors, and the copies that the CPU back end keeps of some formats in another layout
 *   cache    keys and values: layers x (key + value length of all KV heads) x 2 bytes x tokens of all sequences, in
 *            steps of 256 tokens; of recurrent layers their state instead
 *   work     the largest intermediate results of one call, and its logits
 *
 * Estimates: weights and cache are what llama.cpp reports after loading, but for kinds of models that keep something else
 * than keys and values; work is that of the common transformer, and the smallest of the three. */
#ifndef TL_ENGINE_LLAMA_MEMORY_H
#define TL_ENGINE_LLAMA_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine_impl.h"
#include "teola/status.h"

/* A context as an engine will make it. */
struct tl_llama_extent {
    uint32_t context_tokens; /* of one sequence; 0: what the model was trained for, at most 4096 */
    uint32_t sequences;
    uint32_t batch_tokens; /* of one call */
    uint32_t outputs;      /* rows of logits, or vectors, of one call */
    bool unified;          /* all sequences share context_tokens */
    int32_t gpu_layers;    /* as for llama.cpp: < 0 all */
};

/* Fills in everything, `available` too. TL_ERR_CORRUPT when the file is no GGUF file. */
enum tl_status tl_llama_memory_estimate(const char *path, const struct tl_llama_extent *extent,
                                        struct tl_engine_memory *memory, struct tl_error *error);

/* TL_ERR_NO_MEMORY with all numbers when the estimate is more than what is available. `advice` ends the sentence: which
 * settings to lower. */
enum tl_status tl_llama_memory_check(const char *path, const struct tl_llama_extent *extent, const char *advice,
                                     struct tl_error *error);

/* Bytes that this process may still take: what the kernel calls available, or what its control groups leave, whichever
 * is less; UINT64_MAX when nothing says it. */
uint64_t tl_llama_memory_available(void);

/* As tl_llama_memory_available, from other files, for tests: /proc/meminfo, /proc/self/cgroup, and the folder in which
 * the control groups are. */
uint64_t tl_llama_memory_read_available(const char *meminfo, const char *cgroup, const char *groups);

/* A device that llama.cpp can compute on, with its back ends as they were built or are installed. */
struct tl_llama_device_info {
    const char *name, *description, *backend; /* "CUDA0", "NVIDIA ...", "CUDA"; llama.cpp's own */
    uint64_t free, total;                     /* bytes of its memory; 0 when it does not say */
    bool gpu;
};

/* Fills in at most `most` devices; returns how many there are. */
size_t tl_llama_devices(struct tl_llama_device_info *devices, size_t most);

/* Elements of all tensors of the model file with two dimensions or more, and of the others: what a re-quantised file's
 * size follows from. */
enum tl_status tl_llama_memory_elements(const char *path, uint64_t *matrices, uint64_t *others, struct tl_error *error);

#endif
