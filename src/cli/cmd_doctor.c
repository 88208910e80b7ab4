/* cmd_doctor.c: `teola doctor`: looks at everything that runs need and says what to do about what is missing. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "engine/engine_impl.h"
#include "engine/llama/llama_memory.h"
#include "engine/llama/llama_prefix_files.h"
#include "engine/sqlite/store.h"
#include "runtime/costs.h"

static const char help[] =
    "Usage: teola doctor [OPTIONS]\n"
    "\n"
    "Checks the configuration, models, store, helper programs and this machine: a line for each, and what to do about\n"
    "what is not in order.\n"
    "\n"
    "      --load         also load every engine, as a run would\n"
    "      --config FILE  configuration (default: $TEOLA_CONFIG, ./teola.yaml, the user's)\n"
    "      --set E.S=VALUE  one setting of the configuration; may be repeated\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit status: 0 all that is needed is there, 1 something is missing, 2 wrong use.\n";

static const struct option long_options[] = {
    {"load", no_argument, NULL, 'l'},
    {"config", required_argument, NULL, 'f'},
    {"set", required_argument, NULL, 's'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

enum grade { GOOD, OPTIONAL, BAD };

struct checkup {
    bool color;
    unsigned bad;
};

static void say(struct checkup *checkup, enum grade grade, const char *what, const char *format, ...) TL_PRINTF(4, 5);
static void say(struct checkup *checkup, enum grade grade, const char *what, const char *format, ...) {
    static const char *const words[] = {"ok  ", "note", "BAD "}, *const colors[] = {"\033[32m", "\033[33m", "\033[31m"};
    checkup->bad += grade == BAD;
    printf("%s%s%s  %-12s ", checkup->color ? colors[grade] : "", words[grade], checkup->color ? "\033[0m" : "", what);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* ---- the machine ---- */

static void check_machine(struct checkup *checkup) {
    cpu_set_t set;
    long usable = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    double gib = (double)pages * (double)size / (1 << 30);
    say(checkup, GOOD, "cpu", "%ld processor%s for this program", usable, usable == 1 ? "" : "s");
    say(checkup, gib < 1 ? OPTIONAL : GOOD, "memory", "%.1f GiB%s", gib, gib < 1 ? "; small models only" : "");
}

static bool in_path(const char *program) {
    const char *path = getenv("PATH");
    struct tl_str file = TL_STR_INIT;
    bool found = false;
    for (const char *at = path; at && *at && !found; at += strcspn(at, ":"), at += *at == ':') {
        tl_str_clear(&file);
        tl_str_append(&file, at, strcspn(at, ":"));
        tl_str_printf(&file, "/%s", program);
        found = access(file.data, X_OK) == 0;
    }
    tl_str_fini(&file);
    return found;
}

static void check_program(struct checkup *checkup, const char *program, const char *purpose, const char *package) {
    if (in_path(program))
        say(checkup, GOOD, program, "found, %s", purpose);
    else
        say(checkup, OPTIONAL, program, "not found, so no %s; install the package %s", purpose, package);
}

/* ---- store ---- */

static void check_vec0(struct checkup *checkup, const struct tl_config *config) {
    const struct tl_config_engine *store = tl_config_find_engine(config, "store");
    const char *setting = store ? json_string_value(json_object_get(store->settings, "vec0")) : NULL;
    struct tl_str path = TL_STR_INIT;
    struct tl_error error;
    if (tl_store_find_vec0(setting, &path, &error) == TL_OK)
        say(checkup, GOOD, "sqlite-vec", "%s", path.data);
    else
        say(checkup, BAD, "sqlite-vec", "%s", error.message);
    tl_str_fini(&path);
}

static void check_store(struct checkup *checkup, const struct tl_config *config) {
    const char *path = tl_config_store_path(config);
    struct tl_store *store = NULL;
    struct tl_error error;
    if (!*path)
        return;
    if (!tl_file_exists(path)) {
        say(checkup, OPTIONAL, "store", "%s: not there yet; teola index makes it", path);
        return;
    }
    enum tl_status status = tl_store_open(&(struct tl_store_options){.path = path}, &store, &error);
    if (status == TL_OK)
        say(checkup, GOOD, "store", "%s", path);
    else
        say(checkup, BAD, "store", "%s", error.message);
    tl_store_close(store);
}

/* ---- engines ---- */

static double gib(uint64_t bytes) {
    return (double)bytes / (double)((uint64_t)1 << 30);
}

/* What loading it will take, found without doing so. */
static void check_memory(struct checkup *checkup, const struct tl_config_engine *engine, const json_t *settings) {
    const struct tl_engine_ops *ops = tl_engine_find(engine->type);
    struct tl_engine *made = NULL;
    struct tl_engine_memory memory;
    if (!ops || !ops->memory || ops->create(engine->name, settings, &made, NULL) != TL_OK)
        return; /* what is wrong with the settings is said elsewhere */
    if (ops->memory(made, &memory, NULL) == TL_OK) {
        uint64_t need = memory.weights + memory.cache + memory.work;
        bool fits = need <= memory.available && memory.device <= memory.device_available;
        say(checkup, fits ? GOOD : BAD, "  memory",
            "%.2f GiB: weights %.2f, cache %.2f, work %.2f; %.1f GiB are available", gib(need), gib(memory.weights),
            gib(memory.cache), gib(memory.work), gib(memory.available));
        if (memory.device > 0)
            say(checkup, fits ? GOOD : BAD, "  GPU memory", "%.2f GiB; %.1f GiB are free", gib(memory.device),
                gib(memory.device_available));
    }
    ops->destroy(made);
}

/* How it will lay out KV, and why. */
static void check_layout(struct checkup *checkup, const struct tl_config_engine *engine, const json_t *settings) {
    const struct tl_engine_ops *ops = tl_engine_find(engine->type);
    struct tl_engine_description description = {0};
    struct tl_engine *made = NULL;
    if (!ops || ops->create(engine->name, settings, &made, NULL) != TL_OK)
        return;
    ops->describe(made, &description);
    if (description.layout)
        say(checkup, GOOD, "  kv", "%s", description.layout);
    ops->destroy(made);
}

static void check_devices(struct checkup *checkup) {
    struct tl_llama_device_info devices[16];
    struct tl_str names = TL_STR_INIT;
    size_t count = tl_llama_devices(devices, 16);
    for (size_t i = 0; i < count && i < 16; i++)
        tl_str_printf(&names, "%s%s (%s)", i ? ", " : "", devices[i].name, devices[i].description);
    say(checkup, GOOD, "llama.cpp", "computes on: %s", names.data);
    tl_str_fini(&names);
}

static void check_engine(struct checkup *checkup, struct tl_runtime *runtime, const struct tl_config_engine *engine,
                         const struct tl_cost *cost, bool load) {
    json_t *settings = NULL;
    struct tl_error error;
    struct tl_str what = TL_STR_INIT;
    enum tl_status status = tl_config_engine_settings(tl_runtime_config(runtime), engine, &settings, &error);
    const char *model = json_string_value(json_object_get(settings, "model"));
    if (!model)
        model = json_string_value(json_object_get(settings, "tokenizer"));
    tl_str_printf(&what, "%s%s%s", engine->type, model ? ", " : "", model ? model : "");
    if (status == TL_OK && load)
        status = tl_runtime_open_engine(runtime, engine->name, &error);
    if (status == TL_OK)
        say(checkup, GOOD, engine->name, "%s%s", what.data, load ? ", loaded" : "");
    else
        say(checkup, BAD, engine->name, "%s", error.message);
    tl_cost_fill_choices(tl_cost_choices(cost, engine->name), settings);
    if (settings && !load)
        check_memory(checkup, engine, settings);
    if (settings)
        check_layout(checkup, engine, settings);
    json_decref(settings);
    tl_str_fini(&what);
}

/* Without a profile everything runs; plans then rest on defaults. Returns what the profile says; owned, NULL: nothing. */
static struct tl_cost *check_profile(struct checkup *checkup, const struct tl_config *config) {
    const char *path = tl_config_profile(config);
    struct tl_str notices = TL_STR_INIT;
    if (!*path)
        say(checkup, OPTIONAL, "profile", "none, as the configuration wants it: work is predicted by defaults");
    else if (!tl_file_exists(path))
        say(checkup, OPTIONAL, "profile", "none yet: work is predicted by defaults; teola profile measures it");
    if (!*path || !tl_file_exists(path))
        return NULL;
    struct tl_cost *cost = tl_runtime_costs(config, path, &notices);
    size_t measured = 0, count = tl_config_engine_count(config);
    for (size_t i = 0; i < count; i++)
        measured += tl_cost_is_measured(cost, tl_config_engine(config, i)->name);
    for (char *line = notices.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        say(checkup, OPTIONAL, "profile", "%s", line);
    }
    if (!notices.length)
        say(checkup, GOOD, "profile", "%s (%zu of %zu engines)", path, measured, count);
    tl_str_fini(&notices);
    return cost;
}

static void check_workflows(struct checkup *checkup) {
    struct tl_str path = TL_STR_INIT;
    struct tl_error error;
    if (tl_cli_find_workflow("naive-rag", &path, &error) == TL_OK)
        say(checkup, GOOD, "workflows", "%.*s", (int)(strrchr(path.data, '/') - path.data), path.data);
    else
        say(checkup, OPTIONAL, "workflows", "none installed where this program looks; give the path of a file");
    tl_str_fini(&path);
}

/* What earlier processes left of prompts; a folder that is not there yet is no fault. */
static void check_prefixes(struct checkup *checkup) {
    struct tl_str folder = TL_STR_INIT;
    size_t count;
    uint64_t bytes;
    if (tl_file_cache_path("prefixes", &folder, NULL) == TL_OK) {
        tl_prefix_files_sum(folder.data, &count, &bytes);
        say(checkup, GOOD, "prefixes", "%zu, %.1f MiB in %s", count, (double)bytes / (1 << 20), folder.data);
    }
    tl_str_fini(&folder);
}

static int examine(const char *config, const struct tl_cli_list *settings, bool load) {
    struct checkup checkup = {.color = tl_cli_has_color(stdout)};
    struct tl_runtime *runtime;
    struct tl_error error;
    check_machine(&checkup);
    check_devices(&checkup);
    check_program(&checkup, "pdftotext", "reading of PDF files", "poppler-utils");
    check_program(&checkup, "dot", "drawing of graphs", "graphviz");
    check_workflows(&checkup);
    if (tl_cli_open_runtime(config, settings, &runtime, &error) != TL_OK) {
        say(&checkup, BAD, "config", "%s", error.message);
    } else {
        const struct tl_config *loaded = tl_runtime_config(runtime);
        const char *file = tl_config_file(loaded);
        say(&checkup, GOOD, "config", "%s", file ? file : "built-in defaults (no teola.yaml)");
        check_vec0(&checkup, loaded);
        check_store(&checkup, loaded);
        struct tl_cost *cost = check_profile(&checkup, loaded);
        check_prefixes(&checkup);
        for (size_t i = 0; i < tl_config_engine_count(loaded); i++)
            check_engine(&checkup, runtime, tl_config_engine(loaded, i), cost, load);
        tl_cost_unref(cost);
        tl_runtime_close(runtime);
    }
    if (checkup.bad > 0)
        printf("\n%u of these must be put in order before a run.\n", checkup.bad);
    return checkup.bad > 0 ? TL_EXIT_FAILED : TL_EXIT_DONE;
}

int tl_cmd_doctor(int argc, char **argv) {
    struct tl_cli_list settings = {0};
    const char *config = NULL;
    bool load = false;
    int result = -1;
    opterr = 0;
    for (int option; result < 0 && (option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1;) {
        switch (option) {
        case 'l': load = true; break;
        case 'f': config = optarg; break;
        case 's': tl_cli_list_add(&settings, optarg); break;
        case 'h':
            fputs(help, stdout);
            result = TL_EXIT_DONE;
            break;
        default: result = tl_cli_wrong_option("doctor", option, argv, long_options); break;
        }
    }
    if (result < 0 && optind < argc)
        result = tl_cli_wrong_use("doctor", "'%s' is not expected here", argv[optind]);
    if (result < 0)
        result = examine(config, &settings, load);
    tl_cli_list_fini(&settings);
    return result;
}
