/* prefix_files: what it takes to compute the beginning of a prompt, and to have its KV from a file instead.
 *
 *     prefix_files MODEL.gguf [REPEATS] [TOKENS...]         20 repeats of 20, 100 and 400 tokens by default
 *
 * Medians in ms: of writing and reading as they pass, of the rest processor time, with one compute thread, so that other
 * work on the machine changes little. The file is read once as it lies in the page cache and once after the kernel was
 * told to forget it (posix_fadvise, which needs no rights; a file on tmpfs stays where it is). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/engines.h"
#include "engine/llama/llama_internal.h"

enum { COMPUTE, SAVE, WRITE, READ, READ_COLD, DIGEST, LOAD, STEPS };
static const char *const step_names[STEPS] = {"compute", "get_data", "write", "read", "read, cold", "SHA-256", "set_data"};

static void fail(const char *what, const struct tl_error *error) {
    fprintf(stderr, "prefix_files: %s%s%s\n", what, error ? ": " : "", error ? error->message : "");
    exit(1);
}

static int ascending(const void *a, const void *b) {
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double cpu_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static double ms_since(uint64_t begin) {
    return (double)(tl_clock_now() - begin) / (double)TL_NS_PER_MS;
}

static void forget_pages(const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) != 0)
        fail("posix_fadvise failed", NULL);
    close(file);
}

static double read_file(const char *path, struct tl_str *content) {
    struct tl_error error;
    tl_str_clear(content);
    uint64_t begin = tl_clock_now();
    if (tl_file_read(path, (size_t)1 << 30, content, &error) != TL_OK)
        fail("reading failed", &error);
    return ms_since(begin);
}

static void decode(struct tl_llama_engine *engine, const llama_token *ids, size_t count) {
    for (size_t first = 0; first < count; first += (size_t)engine->chunk) {
        size_t take = count - first < (size_t)engine->chunk ? count - first : (size_t)engine->chunk;
        engine->batch.n_tokens = (int32_t)take;
        for (size_t i = 0; i < take; i++) {
            engine->batch.token[i] = ids[first + i];
            engine->batch.pos[i] = (llama_pos)(first + i);
            engine->batch.n_seq_id[i] = 1;
            engine->batch.seq_id[i][0] = 0;
            engine->batch.logits[i] = false;
        }
        if (llama_decode(engine->context, engine->batch) != 0)
            fail("llama.cpp could not compute", NULL);
        llama_synchronize(engine->context);
    }
}

static size_t measure(struct tl_llama_engine *engine, const llama_token *ids, size_t count, const char *path,
                      double times[STEPS]) {
    struct tl_error error;
    struct tl_str content = TL_STR_INIT;
    char hex[TL_SHA256_HEX_SIZE];
    llama_memory_seq_rm(engine->memory, 0, -1, -1);
    double cpu = cpu_ms();
    decode(engine, ids, count);
    times[COMPUTE] = cpu_ms() - cpu;
    cpu = cpu_ms();
    size_t size = llama_state_seq_get_size(engine->context, 0);
    uint8_t *data = tl_mem_alloc(size);
    if (llama_state_seq_get_data(engine->context, data, size, 0) != size)
        fail("no state", NULL);
    times[SAVE] = cpu_ms() - cpu;
    uint64_t begin = tl_clock_now();
    if (tl_file_write_atomic(path, data, size, &error) != TL_OK)
        fail("writing failed", &error);
    times[WRITE] = ms_since(begin);
    forget_pages(path);
    times[READ_COLD] = read_file(path, &content);
    times[READ] = read_file(path, &content);
    cpu = cpu_ms();
    tl_sha256_hex(content.data, content.length, hex);
    times[DIGEST] = cpu_ms() - cpu;
    llama_memory_seq_rm(engine->memory, 0, -1, -1);
    cpu = cpu_ms();
    if (content.length != size ||
        llama_state_seq_set_data(engine->context, (const uint8_t *)content.data, content.length, 0) != size)
        fail("the state was not taken", NULL);
    times[LOAD] = cpu_ms() - cpu;
    tl_str_fini(&content);
    tl_mem_free(data);
    return size;
}

static void table_row(struct tl_llama_engine *engine, const llama_token *ids, size_t count, const char *path,
                      size_t repeats) {
    double (*all)[STEPS] = tl_mem_zalloc(repeats * sizeof *all), *column = tl_mem_zalloc(repeats * sizeof *column);
    size_t size = 0;
    for (size_t i = 0; i < repeats; i++)
        size = measure(engine, ids, count, path, all[i]);
    printf("| %zu | %zu |", count, size);
    for (size_t step = 0; step < STEPS; step++) {
        for (size_t i = 0; i < repeats; i++)
            column[i] = all[i][step];
        qsort(column, repeats, sizeof *column, ascending);
        printf(" %.2f |", column[repeats / 2]);
    }
    printf("\n");
    tl_mem_free(all);
    tl_mem_free(column);
}

int main(int argc, char **argv) {
    static const size_t usual[] = {20, 100, 400};
    if (argc < 2) {
        fprintf(stderr, "usage: prefix_files MODEL.gguf [REPEATS] [TOKENS...]\n");
        return 2;
    }
    size_t repeats = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 20;
    struct tl_error error;
    struct tl_engine *base;
    struct tl_emit emit = {0};
    json_t *settings = json_pack("{s:s, s:i, s:i}", "model", argv[1], "threads", 1, "parallel", 2);
    if (tl_llama_engine.create("llm", settings, &base, &error) != TL_OK ||
        tl_llama_engine.open(base, &emit, &error) != TL_OK)
        fail("the model cannot be opened", &error);
    struct tl_llama_engine *engine = (struct tl_llama_engine *)base;
    struct tl_str text = TL_STR_INIT;
    if (tl_file_read(TEOLA_SOURCE_DIR "/models/sample.txt", 1 << 20, &text, &error) != TL_OK)
        fail("no text", &error);
    struct tl_llama_tokens ids = {0};
    tl_llama_tokenize(engine->vocab, text.data, text.length, false, &ids);
    char path[] = "prefix_files.tmp";
    printf("| tokens | bytes |");
    for (size_t step = 0; step < STEPS; step++)
        printf(" %s |", step_names[step]);
    printf("\n");
    for (int i = 3; i < argc || (argc <= 3 && i < 6); i++) {
        size_t count = argc > 3 ? (size_t)strtoul(argv[i], NULL, 10) : usual[i - 3];
        if (count > 0 && count <= ids.count)
            table_row(engine, ids.ids, count, path, repeats);
    }
    unlink(path);
    tl_llama_tokens_fini(&ids);
    tl_str_fini(&text);
    json_decref(settings);
    tl_llama_engine.close(base);
    tl_llama_engine.destroy(base);
    return 0;
}
