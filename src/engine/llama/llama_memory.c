/* llama_memory.c: see llama_memory.h. */
#include "engine/llama/llama_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "engine/llama/llama_device.h"
#include "ggml-cpu.h"
#include "gguf.h"

/* ---- the file's head ---- */

struct head {
    struct gguf_context *gguf;
    const char *architecture;
};

static enum tl_status open_head(const char *path, struct head *head, struct tl_error *error) {
    tl_llama_start(); /* its log becomes ours */
    *head = (struct head){.gguf = gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true})};
    if (!head->gguf)
        return tl_error_set(error, TL_ERR_CORRUPT, "model file '%s' cannot be read as a GGUF file", path);
    int64_t key = gguf_find_key(head->gguf, "general.architecture");
    bool named = key >= 0 && gguf_get_kv_type(head->gguf, key) == GGUF_TYPE_STRING;
    head->architecture = named ? gguf_get_val_str(head->gguf, key) : "";
    return TL_OK;
}

static int64_t find_key(const struct head *head, const char *name) {
    struct tl_str key = TL_STR_INIT;
    tl_str_printf(&key, "%s.%s", head->architecture, name);
    int64_t found = gguf_find_key(head->gguf, key.data);
    tl_str_fini(&key);
    return found;
}

/* The number under "<architecture>.<name>", of a list the one at `index`; `otherwise` when there is none. */
static uint64_t number_at(const struct head *head, const char *name, size_t index, uint64_t otherwise) {
    int64_t key = find_key(head, name);
    if (key < 0)
        return otherwise;
    switch (gguf_get_kv_type(head->gguf, key)) {
    case GGUF_TYPE_UINT32: return gguf_get_val_u32(head->gguf, key);
    case GGUF_TYPE_INT32: return (uint64_t)(uint32_t)gguf_get_val_i32(head->gguf, key);
    case GGUF_TYPE_UINT64: return gguf_get_val_u64(head->gguf, key);
    case GGUF_TYPE_ARRAY: break;
    default: return otherwise;
    }
    enum gguf_type type = gguf_get_arr_type(head->gguf, key);
    if ((type != GGUF_TYPE_INT32 && type != GGUF_TYPE_UINT32) || index >= gguf_get_arr_n(head->gguf, key))
        return otherwise;
    return ((const uint32_t *)gguf_get_arr_data(head->gguf, key))[index];
}

static uint64_t number(const struct head *head, const char *name, uint64_t otherwise) {
    return number_at(head, name, 0, otherwise);
}

static bool is_causal(const struct head *head) {
    int64_t key = find_key(head, "attention.causal");
    return key < 0 || gguf_get_kv_type(head->gguf, key) != GGUF_TYPE_BOOL || gguf_get_val_bool(head->gguf, key);
}

static uint64_t vocabulary(const struct head *head) {
    int64_t key = gguf_find_key(head->gguf, "tokenizer.ggml.tokens");
    return key >= 0 && gguf_get_kv_type(head->gguf, key) == GGUF_TYPE_ARRAY ? gguf_get_arr_n(head->gguf, key) : 0;
}

static bool has_gate(const struct head *head) {
    return gguf_find_tensor(head->gguf, "blk.0.ffn_gate.weight") >= 0 ||
           gguf_find_tensor(head->gguf, "blk.0.ffn_gate_exps.weight") >= 0;
}

/* ---- weights ---- */

/* Whether the CPU back end keeps a second copy of such a matrix, in rows that are interleaved for its vector units. Those
 * for the tokens' embeddings are looked up, not multiplied with, and stay as they are. */
static bool has_copy(const struct gguf_context *gguf, int64_t tensor) {
    const int64_t *size = gguf_get_tensor_ne(gguf, tensor);
    bool x86 = ggml_cpu_has_avx2() != 0;
    bool arm = ggml_cpu_has_neon() && (ggml_cpu_has_dotprod() || ggml_cpu_has_matmul_int8());
    if (size[1] < 8 || size[1] % 8 != 0 || strcmp(gguf_get_tensor_name(gguf, tensor), "token_embd.weight") == 0)
        return false;
    switch (gguf_get_tensor_type(gguf, tensor)) {
    case GGML_TYPE_Q4_0:
    case GGML_TYPE_Q4_K:
    case GGML_TYPE_IQ4_NL:
    case GGML_TYPE_MXFP4: return x86 || arm;
    case GGML_TYPE_Q2_K: return ggml_cpu_has_avx512() != 0;
    case GGML_TYPE_Q5_K:
    case GGML_TYPE_Q6_K:
    case GGML_TYPE_Q8_0: return arm;
    default: return false;
    }
}

static uint64_t weights_of(const struct head *head) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < gguf_get_n_tensors(head->gguf); i++)
        sum += gguf_get_tensor_size(head->gguf, i) * (has_copy(head->gguf, i) ? 2u : 1u);
    return sum;
}

/* ---- cache ---- */

/* State of one recurrent layer and sequence (Mamba's: the convolution's last inputs, and the state itself), 4 bytes each. */
static uint64_t recurrent_bytes(const struct head *head) {
    uint64_t inner = number(head, "ssm.inner_size", 0), state = number(head, "ssm.state_size", 0);
    uint64_t kernel = number(head, "ssm.conv_kernel", 1), groups = number(head, "ssm.group_count", 0);
    return 4 * ((kernel > 0 ? kernel - 1 : 0) * (inner + 2 * groups * state) + inner * state);
}

static uint64_t cache_of(const struct head *head, const struct tl_llama_extent *extent, uint64_t context_tokens) {
    uint64_t layers = number(head, "block_count", 0), width = number(head, "embedding_length", 0), sum = 0;
    uint64_t cells = (context_tokens + 255) / 256 * 256 * (extent->unified ? 1 : extent->sequences);
    uint64_t state = recurrent_bytes(head) * extent->sequences;
    if (!is_causal(head))
        return 0; /* an encoder keeps nothing */
    for (size_t layer = 0; layer < layers && layer < 4096; layer++) {
        uint64_t heads = number_at(head, "attention.head_count", layer, 0);
        uint64_t kv_heads = number_at(head, "attention.head_count_kv", layer, heads);
        uint64_t length = heads > 0 ? width / heads : 0;
        uint64_t both = number(head, "attention.key_length", length) + number(head, "attention.value_length", length);
        sum += kv_heads > 0 && heads > 0 ? kv_heads * both * 2 * cells : state;
    }
    return sum;
}

/* ---- work ---- */

/* Floats that live at once for each token of a call: four of the model's width beside the feed-forward network's (three
 * with a gate; an encoder without one keeps three and one), found by comparing with llama.cpp's buffers. */
static uint64_t work_of(const struct head *head, const struct tl_llama_extent *extent, uint64_t context_tokens) {
    uint64_t width = number(head, "embedding_length", 0), forward = number(head, "feed_forward_length", 4 * width);
    uint64_t heads = number(head, "attention.head_count", 1), length = heads > 0 ? width / heads : 0;
    uint64_t across = heads * number(head, "attention.key_length", length); /* of queries: may be more than the width */
    uint64_t experts = number(head, "expert_used_count", 0), tokens = extent->batch_tokens;
    if (experts > 0)
        forward = experts * number(head, "expert_feed_forward_length", forward);
    uint64_t floats = has_gate(head) ? 4 * width + 3 * forward : 3 * width + forward;
    if (across > width)
        floats += across - width;
    uint64_t streams = extent->unified ? 1 : extent->sequences;
    uint64_t seen = is_causal(head) ? context_tokens : tokens; /* cells that the attention's mask covers */
    uint64_t mask = seen * ((tokens + streams - 1) / streams) * streams * 2;
    uint64_t rows = extent->outputs * (vocabulary(head) + (is_causal(head) ? 0 : width)) * 4;
    return tokens * 4 * floats + mask + rows;
}

/* ---- what is there ---- */

/* The number on the line of /proc/meminfo that begins so, in bytes; 0 when there is none. */
static uint64_t meminfo_line(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

/* A file with one number. UINT64_MAX when it is not there or says "max". */
static uint64_t read_number(const char *folder, const char *name) {
    struct tl_str path = TL_STR_INIT, text = TL_STR_INIT;
    tl_str_printf(&path, "%s/%s", folder, name);
    uint64_t value = UINT64_MAX;
    if (tl_file_read(path.data, 64, &text, NULL) == TL_OK && text.data[0] >= '0' && text.data[0] <= '9')
        value = strtoull(text.data, NULL, 10);
    tl_str_fini(&path);
    tl_str_fini(&text);
    return value;
}

/* What a group leaves: its limit, less what is used and cannot be dropped (file pages that nobody has used lately can). */
static uint64_t left_in(const char *folder, const char *limit_name, const char *used_name, const char *inactive_name) {
    uint64_t limit = read_number(folder, limit_name), used = read_number(folder, used_name), inactive = 0;
    if (limit == UINT64_MAX || limit > (uint64_t)1 << 60 || used == UINT64_MAX)
        return UINT64_MAX;
    struct tl_str path = TL_STR_INIT, text = TL_STR_INIT;
    tl_str_printf(&path, "%s/memory.stat", folder);
    if (tl_file_read(path.data, 1 << 16, &text, NULL) == TL_OK) {
        const char *at = strstr(text.data, inactive_name);
        inactive = at ? strtoull(at + strlen(inactive_name), NULL, 10) : 0;
    }
    tl_str_fini(&path);
    tl_str_fini(&text);
    used = used > inactive ? used - inactive : 0;
    return limit > used ? limit - used : 0;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Along a group's path up to the root, the least that any of them leaves. `path` is changed. */
static uint64_t left_along(const char *groups, char *path, bool second_version) {
    uint64_t left = UINT64_MAX;
    struct tl_str folder = TL_STR_INIT;
    for (;;) {
        tl_str_clear(&folder);
        tl_str_printf(&folder, "%s%s%s", groups, second_version ? "" : "/memory", path);
        left = least(left, second_version
                               ? left_in(folder.data, "memory.max", "memory.current", "\ninactive_file ")
                               : left_in(folder.data, "memory.limit_in_bytes", "memory.usage_in_bytes",
                                         "total_inactive_file "));
        char *slash = strrchr(path, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    tl_str_fini(&folder);
    return left;
}

uint64_t tl_llama_memory_read_available(const char *meminfo, const char *cgroup, const char *groups) {
    struct tl_str text = TL_STR_INIT;
    uint64_t available = UINT64_MAX;
    if (tl_file_read(meminfo, 1 << 16, &text, NULL) == TL_OK) {
        uint64_t said = meminfo_line(text.data, "MemAvailable:");
        available = said > 0 ? said : UINT64_MAX;
    }
    tl_str_clear(&text);
    if (tl_file_read(cgroup, 1 << 16, &text, NULL) == TL_OK)
        for (char *line = text.data, *end; *line; line = end) {
            end = line + strcspn(line, "\n");
            end += *end == '\n' ? (*end = '\0', 1) : 0;
            const char *first = strchr(line, ':');
            char *path = first ? strchr(first + 1, ':') : NULL;
            if (!path)
                continue;
            bool second_version = strncmp(line, "0::", 3) == 0;
            bool of_memory = strstr(first, ":memory:") != NULL;
            if (second_version || of_memory)
                available = least(available, left_along(groups, path + 1, second_version));
        }
    tl_str_fini(&text);
    return available;
}

uint64_t tl_llama_memory_available(void) {
    return tl_llama_memory_read_available("/proc/meminfo", "/proc/self/cgroup", "/sys/fs/cgroup");
}

/* ---- devices ---- */

size_t tl_llama_devices(struct tl_llama_device_info *devices, size_t most) {
    tl_llama_start();
    size_t count = ggml_backend_dev_count();
    for (size_t i = 0; i < count && i < most; i++) {
        ggml_backend_dev_t device = ggml_backend_dev_get(i);
        size_t free_bytes = 0, total = 0;
        ggml_backend_dev_memory(device, &free_bytes, &total);
        enum ggml_backend_dev_type type = ggml_backend_dev_type(device);
        devices[i] = (struct tl_llama_device_info){
            .name = ggml_backend_dev_name(device),
            .description = ggml_backend_dev_description(device),
            .backend = ggml_backend_reg_name(ggml_backend_dev_backend_reg(device)),
            .free = free_bytes,
            .total = total,
            .gpu = type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU,
        };
    }
    return count;
}

static uint64_t free_on_gpus(void) {
    struct tl_llama_device_info devices[64];
    size_t count = tl_llama_devices(devices, 64);
    uint64_t sum = 0;
    for (size_t i = 0; i < count && i < 64; i++)
        sum += devices[i].gpu ? devices[i].free : 0;
    return sum;
}

/* ---- the estimate ---- */

enum tl_status tl_llama_memory_estimate(const char *path, const struct tl_llama_extent *extent,
                                        struct tl_engine_memory *memory, struct tl_error *error) {
    struct head head;
    enum tl_status status = open_head(path, &head, error);
    if (status != TL_OK)
        return status;
    uint64_t trained = number(&head, "context_length", 4096), tokens = extent->context_tokens;
    if (tokens == 0)
        tokens = least(trained, 4096);
    *memory = (struct tl_engine_memory){
        .weights = weights_of(&head),
        .cache = cache_of(&head, extent, tokens),
        .work = work_of(&head, extent, tokens),
        .available = tl_llama_memory_available(),
    };
    uint64_t layers = number(&head, "block_count", 0) + 1; /* and what comes behind them */
    gguf_free(head.gguf);
    if (!llama_supports_gpu_offload() || extent->gpu_layers == 0)
        return TL_OK;
    uint64_t on_gpu = extent->gpu_layers < 0 ? layers : least((uint64_t)extent->gpu_layers, layers);
    memory->device = (memory->weights + memory->cache) / layers * on_gpu + memory->work;
    memory->weights -= memory->weights / layers * on_gpu;
    memory->cache -= memory->cache / layers * on_gpu;
    memory->device_available = free_on_gpus();
    return TL_OK;
}

static double gib(uint64_t bytes) {
    return (double)bytes / (double)((uint64_t)1 << 30);
}

enum tl_status tl_llama_memory_check(const char *path, const struct tl_llama_extent *extent, const char *advice,
                                     struct tl_error *error) {
    struct tl_engine_memory memory;
    enum tl_status status = tl_llama_memory_estimate(path, extent, &memory, error);
    if (status != TL_OK)
        return status;
    uint64_t need = memory.weights + memory.cache + memory.work;
    if (need > memory.available)
        return tl_error_set(error, TL_ERR_NO_MEMORY,
                            "model file '%s' needs %.1f GiB (weights %.1f, cache %.1f, work %.1f), but %.1f GiB are "
                            "available; %s",
                            path, gib(need), gib(memory.weights), gib(memory.cache), gib(memory.work),
                            gib(memory.available), advice);
    if (memory.device > memory.device_available)
        return tl_error_set(
            error, TL_ERR_NO_MEMORY,
            "model file '%s' needs %.1f GiB on the GPU, but %.1f GiB are free there; lower gpu_layers; %s", path,
            gib(memory.device), gib(memory.device_available), advice);
    return TL_OK;
}

enum tl_status tl_llama_memory_elements(const char *path, uint64_t *matrices, uint64_t *others,
                                        struct tl_error *error) {
    struct head head;
    enum tl_status status = open_head(path, &head, error);
    if (status != TL_OK)
        return status;
    *matrices = *others = 0;
    for (int64_t i = 0; i < gguf_get_n_tensors(head.gguf); i++) {
        const int64_t *size = gguf_get_tensor_ne(head.gguf, i);
        uint64_t count = (uint64_t)(size[0] * size[1] * size[2] * size[3]);
        *(size[1] > 1 ? matrices : others) += count;
    }
    gguf_free(head.gguf);
    return TL_OK;
}
