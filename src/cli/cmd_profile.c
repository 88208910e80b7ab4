/* cmd_profile.c: `teola profile`: measures what the configured engines' work takes, and checks the models against fresh
 * measurements. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "engine/engine_impl.h"
#include "profiler/profiler.h"
#include "runtime/costs.h"

static const char help[] =
    "Usage: teola profile [OPTIONS]\n"
    "       teola profile --check [OPTIONS]\n"
    "\n"
    "Measures what the work of each configured engine takes on this machine, over batch sizes and lengths, and writes\n"
    "the profile by which runs are planned and scheduled. Settings that are auto are chosen by it, too. Do it while "
    "the\n"
    "machine has nothing else to do.\n"
    "\n"
    "      --check        compare the profile with fresh measurements instead of writing one\n"
    "      --engine NAME  this engine alone; what the file says of the others stays; may be repeated\n"
    "      --budget TIME  time for measuring in all (default 120s)\n"
    "  -o, --output FILE  where the profile goes (default: the configuration's `profile`)\n"
    "      --svg FILE     where it is drawn (default: beside the profile, .svg)\n"
    "      --format FORMAT  text or json\n"
    "  -q, --quiet        no progress\n"
    "      --config FILE  configuration (default: $TEOLA_CONFIG, ./teola.yaml, the user's)\n"
    "      --set E.S=VALUE  one setting of the configuration; may be repeated\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit status: 0 done, 1 failed (of --check also: an error above 15 % on a machine that was quiet), 2 wrong use,\n"
    "130 interrupted.\n";

static const struct option long_options[] = {
    {"check", no_argument, NULL, 'k'},
    {"engine", required_argument, NULL, 'e'},
    {"budget", required_argument, NULL, 'b'},
    {"output", required_argument, NULL, 'o'},
    {"svg", required_argument, NULL, 'v'},
    {"format", required_argument, NULL, 'F'},
    {"quiet", no_argument, NULL, 'q'},
    {"config", required_argument, NULL, 'f'},
    {"set", required_argument, NULL, 's'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const double most_error = 0.15;

struct work {
    struct tl_cli_list engines, settings;
    const char *config_path, *output, *svg;
    uint64_t budget_ms;
    bool check, json, progress;
    struct tl_config *config;
    struct tl_cost *cost;     /* of the profile as it is */
    json_t *profile;          /* what is written; owned */
    json_t *report;           /* of --check: by engine; owned */
    size_t measured;
    uint64_t until;           /* ns: when the time is used up */
    bool wrong;               /* --check: an error above the mark */
    bool noisy;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

static bool is_stopped(void *context) {
    (void)context;
    return interrupted != 0;
}

static void show_progress(void *context, const char *engine, double share) {
    const struct work *work = context;
    if (work->progress)
        fprintf(stderr, "\r\033[K%s: %3.0f %%", engine, 100 * share);
}

static void end_progress(const struct work *work) {
    if (work->progress)
        fputs("\r\033[K", stderr);
}

/* ---- which engines ---- */

static bool is_chosen(const struct work *work, const char *name) {
    for (size_t i = 0; i < work->engines.count; i++)
        if (strcmp(work->engines.items[i], name) == 0)
            return true;
    return work->engines.count == 0;
}

static int check_names(const struct work *work) {
    for (size_t i = 0; i < work->engines.count; i++) {
        if (tl_config_find_engine(work->config, work->engines.items[i]))
            continue;
        struct tl_str known = TL_STR_INIT;
        for (size_t k = 0; k < tl_config_engine_count(work->config); k++)
            tl_str_printf(&known, "%s%s", k ? ", " : "", tl_config_engine(work->config, k)->name);
        int result = tl_cli_wrong_use("profile", "there is no engine '%s'; there are: %s", work->engines.items[i],
                                      known.data);
        tl_str_fini(&known);
        return result;
    }
    return TL_EXIT_DONE;
}

/* Why an engine is not measured; NULL: it is. */
static const char *reason_against(const struct tl_config_engine *engine) {
    const struct tl_engine_ops *ops = tl_engine_find(engine->type);
    if (strcmp(engine->type, "emulated") == 0)
        return "emulated: its times are its settings";
    return ops->step ? NULL : "it waits for others: nothing to measure on this machine";
}

static bool is_measured(const struct work *work, const struct tl_config_engine *engine) {
    return is_chosen(work, engine->name) && !reason_against(engine);
}

/* ---- what is said ---- */

static void say_kinds(const json_t *part, const char *name, bool check) {
    const char *key;
    json_t *kind;
    json_object_foreach(json_object_get(part, "kinds"), key, kind) {
        double error = json_number_value(json_object_get(kind, "median_error"));
        printf("%-14s %-10s %3zu points  median error %5.1f %%%s\n", name, key,
               json_array_size(json_object_get(kind, "points")), 100 * error,
               check && error > most_error ? "  above 15 %" : "");
        size_t index;
        json_t *point;
        json_array_foreach(json_object_get(kind, "points"), index, point) {
            const char *const amounts[] = {"units", "rows", "tokens", "context"};
            if (!check)
                break;
            printf("    ");
            for (size_t i = 0; i < 4; i++)
                if (json_object_get(point, amounts[i]))
                    printf(" %s %-6g", amounts[i], json_number_value(json_object_get(point, amounts[i])));
            double ms = json_number_value(json_object_get(point, "ms"));
            double predicted = json_number_value(json_object_get(point, "predicted_ms"));
            printf(" %10.2f ms, predicted %10.2f (%+.0f %%)\n", ms, predicted, 100 * (predicted / ms - 1));
        }
    }
}

static void print_times(const json_t *row, const char *setting) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)row, key, value) {
        if (strcmp(key, setting) != 0 && json_is_number(value))
            printf("  %s %.2f", key, json_number_value(value));
    }
    putchar('\n');
}

static void print_value(const json_t *value, int width) {
    if (json_is_string(value))
        printf("%-*s", width, json_string_value(value));
    else
        printf("%-*lld", width, (long long)json_integer_value(value));
}

/* Settings that were chosen by measuring: what is used and why, then the times, * before what is used. */
static void say_choices(const json_t *part, const char *name) {
    const char *setting;
    json_t *choice, *row;
    size_t index;
    json_object_foreach(json_object_get(part, "choices"), setting, choice) {
        const json_t *used = json_object_get(choice, "used");
        printf("%-14s %-10s ", name, setting);
        print_value(used, 0);
        printf(" (%s)\n", json_string_value(json_object_get(choice, "because")));
        json_array_foreach(json_object_get(choice, "measured"), index, row) {
            const json_t *value = json_object_get(row, setting);
            printf("    %s ", json_equal((json_t *)value, (json_t *)used) ? "*" : " ");
            print_value(value, 8);
            print_times(row, setting);
        }
    }
}

static void say_noise(struct work *work, const char *name, const json_t *part) {
    size_t samples;
    double spread = tl_profiler_spread(part, &samples);
    work->noisy = work->noisy || spread > TL_PROFILER_NOISY || samples < TL_PROFILER_ENOUGH;
    if (samples < TL_PROFILER_ENOUGH)
        fprintf(stderr,
                "teola profile: %s: the time sufficed for %zu measurements of each point, too few to tell errors from "
                "disturbances: give it more by --budget\n",
                name, samples);
    else if (spread > TL_PROFILER_NOISY)
        fprintf(stderr,
                "teola profile: %s: repeated measurements differ by %.0f %%: something else was busy on this machine; "
                "measure again when it is quiet\n",
                name, 100 * spread);
}

/* ---- one engine ---- */

static void take_result(struct work *work, const char *name, json_t *part) {
    if (!work->json) {
        say_choices(part, name);
        say_kinds(part, name, work->check);
    }
    say_noise(work, name, part);
    const char *key;
    json_t *kind;
    if (work->check) {
        json_object_foreach(json_object_get(part, "kinds"), key, kind) work->wrong =
            work->wrong || json_number_value(json_object_get(kind, "median_error")) > most_error;
        json_object_set_new(work->report, name, part);
    } else {
        json_object_set_new(json_object_get(work->profile, "engines"), name, part);
    }
    work->measured++;
}

/* Vectors to measure a store with: as long as the usual embedder's. */
enum { DIMENSION = 384 };

/* Language models have more to be measured. What an engine leaves is for those after it; what one takes too much of the
 * time costs those at most half of their shares. */
static uint64_t budget_of(struct work *work, const struct tl_config_engine *engine) {
    uint64_t now = tl_clock_now(), left = 0, weight = 0, all = 0, own = 0;
    if (work->until > now)
        left = work->until - now;
    for (size_t i = 0; i < tl_config_engine_count(work->config); i++) {
        const struct tl_config_engine *other = tl_config_engine(work->config, i);
        uint64_t others = strcmp(other->type, "llama") == 0 ? 4 : 1;
        if (!is_measured(work, other))
            continue;
        all += others;
        weight += other < engine ? 0 : others;
        own = other == engine ? others : own;
    }
    uint64_t least = work->budget_ms * TL_NS_PER_MS / (all ? all : 1) * own / 2;
    uint64_t share = left / (weight ? weight : 1) * own;
    return share > least ? share : least;
}

static enum tl_status measure_instance(struct work *work, const struct tl_config_engine *engine, uint32_t instance,
                                       uint32_t count, const char *name, struct tl_error *error) {
    json_t *settings, *part = NULL;
    enum tl_status status = tl_config_instance_settings(work->config, engine, instance, &settings, error);
    if (status != TL_OK)
        return status;
    json_t *configured = tl_config_instance_written(engine, instance);
    const struct tl_profiler_engine subject = {
        .name = name,
        .type = engine->type,
        .device = engine->devices[instance % engine->device_count],
        .settings = settings,
        .configured = configured,
        .dimension = DIMENSION,
    };
    const struct tl_profiler_options options = {
        .budget = budget_of(work, engine) / (count - instance),
        .salt = work->check ? 77 : 1,
        .context = work,
        .progress = show_progress,
        .stop = is_stopped,
    };
    status = work->check ? tl_profiler_check(&subject, work->cost, &options, &part, error)
                         : tl_profiler_measure(&subject, &options, &part, error);
    end_progress(work);
    json_decref(settings);
    json_decref(configured);
    if (status == TL_OK)
        take_result(work, name, part);
    return status;
}

/* Instances with settings of their own are measured one by one: the first under the engine's name. */
static enum tl_status measure_engine(struct work *work, const struct tl_config_engine *engine, struct tl_error *error) {
    uint32_t count = engine->own ? engine->instances : 1;
    enum tl_status status = TL_OK;
    for (uint32_t k = 0; k < count && status == TL_OK; k++) {
        struct tl_str name = TL_STR_INIT;
        if (k == 0)
            tl_str_puts(&name, engine->name);
        else
            tl_config_instance_name(engine, k, &name);
        status = measure_instance(work, engine, k, count, name.data, error);
        tl_str_fini(&name);
    }
    return status;
}

/* Goes on after an engine that cannot be measured: says why. */
static int measure_all(struct work *work) {
    int result = TL_EXIT_DONE;
    for (size_t i = 0; i < tl_config_engine_count(work->config) && !interrupted; i++) {
        const struct tl_config_engine *engine = tl_config_engine(work->config, i);
        struct tl_error error;
        const char *against = reason_against(engine);
        if (!is_chosen(work, engine->name))
            continue;
        if (!against && work->check && !tl_cost_is_measured(work->cost, engine->name))
            against = "the profile does not know it, or not as it is now: run 'teola profile' first";
        if (against) {
            if (!work->json)
                printf("%-14s not measured: %s\n", engine->name, against);
            continue;
        }
        enum tl_status status = measure_engine(work, engine, &error);
        if (status == TL_ERR_UNSUPPORTED) {
            if (!work->json)
                printf("%-14s not measured: %s\n", engine->name, error.message);
        } else if (status != TL_OK && !interrupted) {
            tl_error_prefix(&error, "engine '%s'", engine->name);
            result = tl_cli_fail("profile", &error);
        }
    }
    return interrupted ? TL_EXIT_INTERRUPTED : result;
}

/* ---- the file ---- */

/* What a good profile in the file says of other engines stays. */
static json_t *former_profile(const char *path) {
    struct tl_str text = TL_STR_INIT;
    struct tl_cost *cost = NULL;
    json_t *profile = NULL;
    if (tl_file_exists(path) && tl_file_read(path, (size_t)16 << 20, &text, NULL) == TL_OK &&
        tl_cost_parse(text.data, text.length, path, &cost, NULL) == TL_OK)
        profile = json_loadb(text.data, text.length, 0, NULL);
    tl_cost_unref(cost);
    tl_str_fini(&text);
    return profile ? profile
                   : json_pack("{s:i, s:{}}", "version", TL_COST_PROFILE_VERSION, "engines");
}

static enum tl_status write_file(const char *path, const char *data, size_t size, struct tl_error *error) {
    const char *slash = strrchr(path, '/');
    enum tl_status status = TL_OK;
    if (slash && slash != path) {
        char *folder = tl_mem_strndup(path, (size_t)(slash - path));
        status = tl_file_make_directories(folder, error);
        tl_mem_free(folder);
    }
    return status == TL_OK ? tl_file_write_atomic(path, data, size, error) : status;
}

static int write_profile(struct work *work, const char *path) {
    struct tl_str svg_path = TL_STR_INIT, svg = TL_STR_INIT;
    struct tl_error error;
    tl_str_puts(&svg_path, work->svg ? work->svg : path);
    if (!work->svg) {
        if (tl_str_ends_with(path, ".json"))
            tl_str_truncate(&svg_path, svg_path.length - strlen(".json"));
        tl_str_puts(&svg_path, ".svg");
    }
    char *text = json_dumps(work->profile, JSON_INDENT(1));
    tl_profiler_draw(work->profile, &svg);
    enum tl_status status = write_file(path, text, strlen(text), &error);
    if (status == TL_OK)
        status = write_file(svg_path.data, svg.data, svg.length, &error);
    if (status == TL_OK && !work->json)
        printf("written: %s\ndrawn:   %s\n", path, svg_path.data);
    free(text);
    tl_str_fini(&svg);
    tl_str_fini(&svg_path);
    return status == TL_OK ? TL_EXIT_DONE : tl_cli_fail("profile", &error);
}

static void print_json(const json_t *json) {
    char *text = json_dumps(json, JSON_INDENT(2));
    puts(text);
    free(text);
}

/* ---- the command ---- */

static int finish(struct work *work, const char *path, int result) {
    if (work->measured > 0 && !work->check) {
        int written = write_profile(work, path);
        result = written != TL_EXIT_DONE ? written : result;
    }
    if (work->json)
        print_json(work->check ? work->report : work->profile);
    if (work->check && result == TL_EXIT_DONE && work->wrong && !work->noisy)
        result = TL_EXIT_FAILED;
    return result;
}

static int profile(struct work *work) {
    const char *path = work->output ? work->output : tl_config_profile(work->config);
    if (!*path)
        return tl_cli_wrong_use("profile", "the configuration says `profile: none`: say with -o where it goes");
    struct tl_str notices = TL_STR_INIT;
    work->cost = tl_runtime_costs(work->config, path, &notices);
    if (work->check)
        fputs(notices.data, stderr);
    tl_str_fini(&notices);
    work->profile = former_profile(path);
    work->report = json_object();
    work->until = tl_clock_now() + work->budget_ms * TL_NS_PER_MS;
    double load[1];
    if (getloadavg(load, 1) == 1 && load[0] > 0.5)
        fprintf(stderr, "teola profile: this machine is busy (load %.1f): measurements will be worse than they could "
                        "be\n",
                load[0]);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, former[2];
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, &former[0]);
    sigaction(SIGTERM, &action, &former[1]);
    int result = measure_all(work);
    sigaction(SIGINT, &former[0], NULL);
    sigaction(SIGTERM, &former[1], NULL);
    return finish(work, path, result);
}

static int open_config(struct work *work) {
    struct tl_diagnostics findings;
    struct tl_str text = TL_STR_INIT;
    tl_diagnostics_init(&findings, "");
    const struct tl_config_options options = {
        .path = work->config_path, .settings = work->settings.items, .setting_count = work->settings.count};
    work->config = tl_config_load(&options, &findings);
    tl_diagnostics_print(&findings, &text);
    fputs(text.data, stderr);
    tl_str_fini(&text);
    tl_diagnostics_fini(&findings);
    return work->config ? check_names(work) : TL_EXIT_USAGE;
}

/* Returns TL_EXIT_DONE to go on, else the exit status; *helped when only help was wanted. */
static int read_options(int argc, char **argv, struct work *work, bool *helped) {
    bool quiet = false;
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":o:qh", long_options, NULL)) != -1;)
        switch (option) {
        case 'k': work->check = true; break;
        case 'e': tl_cli_list_add(&work->engines, optarg); break;
        case 'b':
            if (!tl_duration_parse(optarg, &work->budget_ms) || work->budget_ms == 0)
                return tl_cli_wrong_use("profile", "--budget is \"%s\", expected a time such as 120s", optarg);
            break;
        case 'o': work->output = optarg; break;
        case 'v': work->svg = optarg; break;
        case 'F':
            if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0)
                return tl_cli_wrong_use("profile", "--format is \"%s\", expected text or json", optarg);
            work->json = strcmp(optarg, "json") == 0;
            break;
        case 'q': quiet = true; break;
        case 'f': work->config_path = optarg; break;
        case 's': tl_cli_list_add(&work->settings, optarg); break;
        case 'h': *helped = true; break;
        default: return tl_cli_wrong_option("profile", option, argv, long_options);
        }
    work->progress = !quiet && tl_cli_is_terminal(stderr);
    return optind < argc ? tl_cli_wrong_use("profile", "takes no arguments, found \"%s\"", argv[optind])
                         : TL_EXIT_DONE;
}

int tl_cmd_profile(int argc, char **argv) {
    struct work work = {.budget_ms = 120000};
    bool helped = false;
    int result = read_options(argc, argv, &work, &helped);
    if (result == TL_EXIT_DONE && helped)
        fputs(help, stdout);
    else if (result == TL_EXIT_DONE)
        result = open_config(&work);
    if (result == TL_EXIT_DONE && !helped)
        result = profile(&work);
    tl_cost_unref(work.cost);
    json_decref(work.profile);
    json_decref(work.report);
    tl_config_destroy(work.config);
    tl_cli_list_fini(&work.engines);
    tl_cli_list_fini(&work.settings);
    return result;
}
