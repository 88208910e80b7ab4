/* llama_memory_test.c: the estimate against what llama.cpp reports after loading, and what is available where control
 * groups have limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_test_support.h"
#include "base/progress.h"
#include "base/str.h"
#include "engine/call.h"
#include "engine/llama/llama_device.h"
#include "engine/llama/llama_memory.h"
#include "engine/llama/quantize.h"

/* What llama.cpp said of its buffers, in MiB, summed by kind. */
static struct {
    double weights, cache, work;
} reported;

static void listen_to(enum ggml_log_level level, const char *text, void *unused) {
    static const struct {
        const char *words;
        double *sum;
    } kinds[] = {{"model buffer size =", &reported.weights},
                 {"KV buffer size =", &reported.cache},
                 {"compute buffer size =", &reported.work},
                 {"output buffer size =", &reported.work}};
    (void)level;
    (void)unused;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const char *at = strstr(text, kinds[i].words);
        if (at)
            *kinds[i].sum += strtod(at + strlen(kinds[i].words), NULL);
    }
}

static void load(const char *path, const struct tl_llama_extent *extent, bool encoder) {
    struct llama_model *model;
    const struct tl_llama_loading loading = {.path = path};
    tl_llama_start();
    memset(&reported, 0, sizeof reported);
    llama_log_set(listen_to, NULL);
    assert_int_equal(tl_llama_load(&loading, &model, NULL), TL_OK);
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = extent->context_tokens * (extent->unified ? 1 : extent->sequences);
    params.n_seq_max = extent->sequences;
    params.n_batch = params.n_ubatch = extent->batch_tokens;
    params.n_outputs_max = encoder ? 0 : extent->outputs;
    params.embeddings = encoder;
    params.kv_unified = extent->unified;
    params.swa_full = true;
    struct llama_context *context = llama_init_from_model(model, params);
    assert_non_null(context);
    llama_free(context);
    llama_model_free(model);
}

static void expect_near(const char *what, uint64_t bytes, double mib, double share) {
    double estimate = (double)bytes / (1 << 20);
    if (fabs(estimate - mib) > share * mib + 0.02)
        fail_msg("%s: estimated %.2f MiB, llama.cpp has %.2f", what, estimate, mib);
}

static void compare(const char *path, const struct tl_llama_extent *extent, bool encoder) {
    struct tl_engine_memory memory;
    struct tl_error error;
    if (tl_llama_memory_estimate(path, extent, &memory, &error) != TL_OK)
        fail_msg("%s", error.message);
    load(path, extent, encoder);
    expect_near("weights", memory.weights, reported.weights, 0.005);
    expect_near("cache", memory.cache, reported.cache, 0);
    expect_near("work", memory.work, reported.work, 0.1);
    assert_true(memory.available > 0);
    assert_true(llama_supports_gpu_offload() || memory.device == 0);
}

static const char *model_path(const char *name) {
    static char path[1024];
    const char *folder = getenv("TEOLA_TEST_MODELS");
    if (!folder)
        fail_msg("TEOLA_TEST_MODELS is not set: tests need the folder with the models");
    snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    return path;
}

static void test_language_models(void **state) {
    (void)state;
    static const struct tl_llama_extent extents[] = {
        {.context_tokens = 4096, .sequences = 8, .batch_tokens = 128, .outputs = 8},
        {.context_tokens = 1024, .sequences = 2, .batch_tokens = 512, .outputs = 2},
        {.context_tokens = 300, .sequences = 3, .batch_tokens = 64, .outputs = 3},
    };
    for (size_t i = 0; i < 3; i++)
        compare(model_path("smollm2-135m-instruct-q8_0"), &extents[i], false);
    compare(model_path("smollm2-135m-instruct-q4_1"), &extents[0], false);
}

static void test_an_encoder(void **state) {
    (void)state;
    static const struct tl_llama_extent extents[] = {
        {.context_tokens = 512, .sequences = 64, .batch_tokens = 512, .outputs = 64, .unified = true},
        {.context_tokens = 2048, .sequences = 64, .batch_tokens = 2048, .outputs = 64, .unified = true},
    };
    for (size_t i = 0; i < 2; i++)
        compare(model_path("all-minilm-l6-v2-f16"), &extents[i], true);
}

/* Q4_0 is copied into another layout where the processor has vector units for it. */
static void test_copies_of_weights(void **state) {
    (void)state;
    char path[] = "/tmp/teola-memory-XXXXXX";
    static const struct tl_llama_extent extent = {
        .context_tokens = 256, .sequences = 1, .batch_tokens = 64, .outputs = 1};
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(tl_llama_quantize(model_path("smollm2-135m-instruct-q4_1"), path, "q4_0", NULL), TL_OK);
    compare(path, &extent, false);
    unlink(path);
}

static void test_what_does_not_fit(void **state) {
    (void)state;
    struct tl_error error;
    json_t *settings = json_pack("{s:s, s:i, s:i, s:i}", "model", model_path("smollm2-135m-instruct-q8_0"),
                                 "context_size", 1 << 20, "parallel", 256, "threads", 1);
    struct tl_engine_caller *caller;
    /* 256 sequences of a million tokens: 5.6 TiB of cache. */
    assert_int_equal(tl_engine_caller_open("llama", settings, &caller, &error), TL_ERR_NO_MEMORY);
    assert_non_null(strstr(error.message, "cache 5760.0"));
    assert_non_null(strstr(error.message, "lower the settings parallel or context_size"));
    json_decref(settings);
    const struct tl_llama_extent extent = {.sequences = 1, .batch_tokens = 64, .outputs = 1};
    assert_int_equal(tl_llama_memory_check("/dev/null", &extent, "", &error), TL_ERR_CORRUPT);
}

static void note_progress(void *context, const char *what, double share) {
    double *last = context;
    assert_string_equal(what, "loading smollm2-135m-instruct-q8_0");
    assert_true(share >= *last && share <= 1);
    *last = share;
}

static void test_progress(void **state) {
    (void)state;
    double last = 0;
    struct llama_model *model;
    const struct tl_llama_loading loading = {.path = model_path("smollm2-135m-instruct-q8_0")};
    tl_progress_listen(note_progress, &last);
    assert_int_equal(tl_llama_load(&loading, &model, NULL), TL_OK);
    tl_progress_listen(NULL, NULL);
    assert_true(last > 0.99);
    llama_model_free(model);
}

static void test_devices(void **state) {
    (void)state;
    struct tl_llama_device_info devices[8];
    struct llama_model *model;
    struct tl_error error;
    assert_true(tl_llama_devices(devices, 8) >= 1);
    assert_true(strlen(devices[0].name) > 0 && strlen(devices[0].backend) > 0);
    const struct tl_llama_loading loading = {
        .path = model_path("smollm2-135m-instruct-q8_0"), .vocab_only = true, .gpu_devices = "Nonsense7"};
    assert_int_equal(tl_llama_load(&loading, &model, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "no device 'Nonsense7' here, only: "));
    assert_non_null(strstr(error.message, "CPU"));
}

/* ---- what is available ---- */

static char folder[] = "/tmp/teola-groups-XXXXXX";

static void put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    *strrchr(path, '/') = '\0';
    assert_int_equal(tl_file_make_directories(path, NULL), TL_OK);
    path[strlen(path)] = '/';
    assert_int_equal(tl_file_write_atomic(path, text, strlen(text), NULL), TL_OK);
}

static uint64_t available(void) {
    char meminfo[256], cgroup[256];
    snprintf(meminfo, sizeof meminfo, "%s/meminfo", folder);
    snprintf(cgroup, sizeof cgroup, "%s/cgroup", folder);
    return tl_llama_memory_read_available(meminfo, cgroup, folder);
}

static void test_available(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_true(available() == UINT64_MAX);
    put("meminfo", "MemTotal:  9000 kB\nMemFree:  1000 kB\nMemAvailable:  5000 kB\n");
    assert_true(available() == 5000 * 1024);
    put("cgroup", "0::/a/b\n");
    put("a/b/memory.max", "max\n");
    put("a/b/memory.current", "1000\n");
    assert_true(available() == 5000 * 1024);
    put("a/memory.max", "100000\n"); /* the group above has a limit */
    put("a/memory.current", "70000\n");
    assert_true(available() == 30000);
    put("a/memory.stat", "anon 50000\ninactive_file 20000\nactive_file 9\n");
    assert_true(available() == 50000);
    put("a/memory.current", "900000\n");
    assert_true(available() == 0);
    put("cgroup", "5:cpu,cpuacct:/x\n4:memory:/c\n");
    put("memory/c/memory.limit_in_bytes", "4096\n");
    put("memory/c/memory.usage_in_bytes", "96\n");
    assert_true(available() == 4000);
    assert_int_equal(tl_file_test_remove(folder), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_language_models), cmocka_unit_test(test_an_encoder),
        cmocka_unit_test(test_copies_of_weights), cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_progress), cmocka_unit_test(test_devices), cmocka_unit_test(test_available),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
