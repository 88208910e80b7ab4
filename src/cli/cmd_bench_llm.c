/* cmd_bench_llm.c: `teola bench llm`: a load of requests against an engine of the configuration or a server, and the
 * numbers of how it went. */
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "bench/engine_target.h"
#include "bench/server_target.h"
#include "bench/summary.h"
#include "cli/command_line.h"
#include "cli/commands.h"

#define NAME "bench llm"

static const char help[] =
    "Usage: teola bench llm [OPTIONS]\n"
    "\n"
    "Sends requests to a language model and reports how many tokens a second it wrote, how long the first text and "
    "each\n"
    "further piece took, and how many prompt tokens were taken from a cache. Lengths are forced, prompts are random "
    "words.\n"
    "\n"
    "      --engine NAME      the engine of the configuration (default: llm)\n"
    "      --config FILE, --set E.S=VALUE   as in teola run\n"
    "      --url URL          a server with the OpenAI API instead, such as http://127.0.0.1:8080\n"
    "      --model NAME       the model's name for the server\n"
    "      --api KIND         chat (default), or completions: plain text without the model's chat template\n"
    "      --key-env NAME     the environment variable that holds the server's key\n"
    "\n"
    "      --mix NAME         unshared (default), shared, workflows, arrival; what follows changes parts of it\n"
    "      --requests N       requests in all\n"
    "      --prompt N[-M]     prompt tokens of each request's own\n"
    "      --shared N         tokens in front of them that requests share; 0: none\n"
    "      --prefixes N       different shared beginnings, in rotation\n"
    "      --output N[-M]     tokens written\n"
    "      --concurrency N    closed loop: N clients, each with one request at a time\n"
    "      --rate R           open loop: R arrivals a second, at random; latency counts from the time meant\n"
    "      --pin              compute the shared beginnings before, and keep them\n"
    "      --warmup N         requests before, of other texts, not measured (default 1)\n"
    "      --repeats N        pass through the load N times, each with other texts; medians (default 1)\n"
    "      --seed N           of texts, lengths and arrivals (default 1)\n"
    "      --format FORM      text (default) or json\n"
    "  -q, --quiet            no progress\n"
    "  -h, --help             this text\n"
    "\n"
    "The mixes: unshared 24 requests of 300 tokens, 60 written, 8 clients; shared 32 of 400 shared and 100 own, 30 "
    "written;\n"
    "workflows 48 of these with 16 beginnings in rotation; arrival 4 that write 256 while prompts of 1,000 arrive.\n"
    "Exit status: 0 done, 1 requests failed, 2 wrong use, 130 interrupted.\n";

enum { MOST_REPEATS = 100, LARGEST_COUNT = 1000000 };

struct options {
    const char *engine, *config, *url, *model, *key;
    struct tl_cli_list settings;
    bool completions, json, quiet, pin;
    const char *mix_name;
    struct tl_bench_mix mix;
    uint32_t warmup, repeats;
    uint64_t seed;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

/* ---- options ---- */

enum {
    ENGINE = 256, CONFIG, SET, URL, MODEL, API, KEY, MIX, REQUESTS, PROMPT, SHARED, PREFIXES, OUTPUT, CONCURRENCY, RATE,
    PIN, WARMUP, REPEATS, SEED, FORMAT,
};

static const struct option known[] = {
    {"engine", required_argument, NULL, ENGINE},
    {"config", required_argument, NULL, CONFIG},
    {"set", required_argument, NULL, SET},
    {"url", required_argument, NULL, URL},
    {"model", required_argument, NULL, MODEL},
    {"api", required_argument, NULL, API},
    {"key-env", required_argument, NULL, KEY},
    {"mix", required_argument, NULL, MIX},
    {"requests", required_argument, NULL, REQUESTS},
    {"prompt", required_argument, NULL, PROMPT},
    {"shared", required_argument, NULL, SHARED},
    {"prefixes", required_argument, NULL, PREFIXES},
    {"output", required_argument, NULL, OUTPUT},
    {"concurrency", required_argument, NULL, CONCURRENCY},
    {"rate", required_argument, NULL, RATE},
    {"pin", no_argument, NULL, PIN},
    {"warmup", required_argument, NULL, WARMUP},
    {"repeats", required_argument, NULL, REPEATS},
    {"seed", required_argument, NULL, SEED},
    {"format", required_argument, NULL, FORMAT},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int take_mix(struct options *options, const char *name) {
    if (tl_bench_mix_find(name, &options->mix)) {
        options->mix_name = name;
        return TL_EXIT_DONE;
    }
    return tl_cli_wrong_use(NAME, "there is no mix '%s', expected unshared, shared, workflows or arrival", name);
}

static int take_count(const char *option, const char *text, uint32_t least, uint32_t most, uint32_t *count) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < least || value > most)
        return tl_cli_wrong_use(NAME, "--%s is '%s', expected a whole number from %u to %u", option, text, least, most);
    *count = (uint32_t)value;
    return TL_EXIT_DONE;
}

static int take_range(const char *option, const char *text, struct tl_bench_range *range) {
    if (tl_bench_range_parse(text, range))
        return TL_EXIT_DONE;
    return tl_cli_wrong_use(NAME, "--%s is '%s', expected a number of tokens such as 300, or 100-500", option, text);
}

static int take_rate(struct tl_bench_mix *mix, const char *text) {
    char *end;
    double rate = strtod(text, &end);
    if (end == text || *end != '\0' || !(rate >= 0.001 && rate <= 100000))
        return tl_cli_wrong_use(NAME, "--rate is '%s', expected arrivals a second, from 0.001 to 100000", text);
    mix->rate = rate;
    mix->concurrency = 0;
    return TL_EXIT_DONE;
}

static int take_key(struct options *options, const char *variable) {
    options->key = getenv(variable);
    if (options->key && *options->key)
        return TL_EXIT_DONE;
    return tl_cli_wrong_use(NAME, "--key-env: the environment variable '%s' is not set", variable);
}

static int take_word(const char *option, const char *text, const char *no, const char *yes, bool *chosen) {
    *chosen = strcmp(text, yes) == 0;
    if (*chosen || strcmp(text, no) == 0)
        return TL_EXIT_DONE;
    return tl_cli_wrong_use(NAME, "--%s is '%s', expected %s or %s", option, text, no, yes);
}

static int take_option(struct options *options, int option, char **argv) {
    struct tl_bench_mix *mix = &options->mix;
    uint32_t seed = 0;
    int result = TL_EXIT_DONE;
    switch (option) {
    case ENGINE: options->engine = optarg; break;
    case CONFIG: options->config = optarg; break;
    case SET: tl_cli_list_add(&options->settings, optarg); break;
    case URL: options->url = optarg; break;
    case MODEL: options->model = optarg; break;
    case API: result = take_word("api", optarg, "chat", "completions", &options->completions); break;
    case KEY: result = take_key(options, optarg); break;
    case MIX: break; /* taken first */
    case REQUESTS: result = take_count("requests", optarg, 1, LARGEST_COUNT, &mix->requests); break;
    case PROMPT: result = take_range("prompt", optarg, &mix->prompt); break;
    case SHARED:
        result = take_count("shared", optarg, 0, LARGEST_COUNT, &mix->shared);
        if (mix->prefixes == 0)
            mix->prefixes = 1;
        break;
    case PREFIXES: result = take_count("prefixes", optarg, 1, LARGEST_COUNT, &mix->prefixes); break;
    case OUTPUT: result = take_range("output", optarg, &mix->output); break;
    case CONCURRENCY:
        result = take_count("concurrency", optarg, 1, 10000, &mix->concurrency);
        mix->rate = 0;
        break;
    case RATE: result = take_rate(mix, optarg); break;
    case PIN: options->pin = true; break;
    case WARMUP: result = take_count("warmup", optarg, 0, 1000, &options->warmup); break;
    case REPEATS: result = take_count("repeats", optarg, 1, MOST_REPEATS, &options->repeats); break;
    case SEED:
        result = take_count("seed", optarg, 0, UINT32_MAX - 1, &seed);
        options->seed = seed;
        break;
    case FORMAT: result = take_word("format", optarg, "text", "json", &options->json); break;
    case 'q': options->quiet = true; break;
    default: result = tl_cli_wrong_option(NAME, option, argv, known); break;
    }
    return result;
}

/* -1: go on; else the exit status. The mix comes first, whatever the order, since the others change parts of it. */
static int read_options(int argc, char **argv, struct options *options) {
    int result = take_mix(options, "unshared");
    opterr = 0;
    for (int pass = 0; pass < 2; pass++) {
        optind = 0; /* starts anew */
        for (int option; (option = getopt_long(argc, argv, ":qh", known, NULL)) != -1;) {
            if (option == 'h') {
                fputs(help, stdout);
                return TL_EXIT_DONE;
            }
            if (pass == 0 && option == MIX)
                result = take_mix(options, optarg);
            else if (pass == 1)
                result = take_option(options, option, argv);
            if (result != TL_EXIT_DONE)
                return result;
        }
    }
    if (optind < argc)
        return tl_cli_wrong_use(NAME, "'%s' is not expected here", argv[optind]);
    if (!options->url && (options->model || options->key || options->completions))
        return tl_cli_wrong_use(NAME, "--model, --api and --key-env are for a server: give its --url");
    return -1;
}

/* ---- the target ---- */

static enum tl_status open_engine(const struct options *options, struct tl_bench_target **target,
                                  struct tl_error *error) {
    struct tl_runtime *runtime;
    json_t *settings = NULL;
    enum tl_status status = tl_cli_open_runtime(options->config, &options->settings, &runtime, error);
    if (status != TL_OK)
        return status;
    const struct tl_config *config = tl_runtime_config(runtime);
    const struct tl_config_engine *engine = tl_config_find_engine(config, options->engine);
    if (!engine)
        status = tl_error_set(error, TL_ERR_USAGE, "the configuration has no engine '%s'", options->engine);
    if (status == TL_OK)
        status = tl_config_engine_settings(config, engine, &settings, error);
    if (status == TL_OK && strcmp(engine->type, "llama") == 0)
        json_object_set_new(settings, "file_bytes", json_integer(0)); /* a pass must find nothing of an earlier one */
    if (status == TL_OK)
        status = tl_bench_engine_target_open(engine->type, settings, target, error);
    json_decref(settings);
    tl_runtime_close(runtime);
    return status;
}

static enum tl_status open_target(const struct options *options, struct tl_bench_target **target,
                                  struct tl_error *error) {
    if (!options->url)
        return open_engine(options, target, error);
    const struct tl_bench_server server = {options->url, options->model, options->key, options->completions};
    return tl_bench_server_target_open(&server, target, error);
}

/* ---- the passes ---- */

static enum tl_status warm_up(const struct options *options, struct tl_bench_target *target, uint32_t overhead,
                              struct tl_error *error) {
    struct tl_bench_mix mix = options->mix;
    struct tl_bench_load load;
    struct tl_bench_drive drive = {0};
    if (options->warmup == 0)
        return TL_OK;
    mix.requests = options->warmup;
    mix.intruders = 0;
    mix.rate = 0;
    mix.concurrency = 1;
    enum tl_status status = tl_bench_load_make(&mix, options->seed ^ UINT64_C(1) << 63, overhead, &load, error);
    if (status == TL_OK)
        status = tl_bench_drive_run(&drive, &load, mix.concurrency, target, &interrupted, error);
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
    return status;
}

static const char *first_failure(const struct tl_bench_drive *drive) {
    for (size_t i = 0; i < drive->load->count; i++)
        if (drive->records[i].failed)
            return drive->records[i].message;
    return NULL;
}

static enum tl_status pass(const struct options *options, struct tl_bench_target *target, uint32_t number,
                           uint32_t overhead, struct tl_bench_summary *summary, struct tl_error *error) {
    struct tl_bench_load load;
    struct tl_bench_drive drive = {0};
    enum tl_status status = tl_bench_load_make(&options->mix, options->seed + number, overhead, &load, error);
    if (status == TL_OK && options->pin)
        status = target->prepare(target, &load, error);
    if (status == TL_OK)
        status = tl_bench_drive_run(&drive, &load, options->mix.concurrency, target, &interrupted, error);
    if (status == TL_OK) {
        tl_bench_summarize(&drive, summary);
        const char *failure = first_failure(&drive);
        if (failure)
            fprintf(stderr, "teola " NAME ": %.0f requests failed, the first: %s\n", summary->failed, failure);
        if (!options->quiet && options->repeats > 1)
            fprintf(stderr, "pass %u of %u: %.2f s\n", number + 1, options->repeats, summary->seconds);
    }
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
    return status;
}

static json_t *mix_json(const struct options *options) {
    const struct tl_bench_mix *mix = &options->mix;
    json_t *json = json_pack("{s:s, s:i, s:i, s:i, s:[i,i], s:[i,i], s:b, s:I}", "name", options->mix_name, "requests",
                             (int)mix->requests, "shared", (int)mix->shared, "prefixes", (int)mix->prefixes, "prompt",
                             (int)mix->prompt.least, (int)mix->prompt.most, "output", (int)mix->output.least,
                             (int)mix->output.most, "pin", options->pin, "seed", (json_int_t)options->seed);
    if (mix->concurrency > 0)
        json_object_set_new(json, "concurrency", json_integer(mix->concurrency));
    else
        json_object_set_new(json, "rate", json_real(mix->rate));
    return json;
}

static void print_json(const struct options *options, const struct tl_bench_summary *median,
                       const struct tl_bench_summary *passes, double least, double most) {
    json_t *json = json_object(), *all = json_array();
    json_object_set_new(json, "target", json_string(options->url ? options->url : options->engine));
    json_object_set_new(json, "mix", mix_json(options));
    json_object_set_new(json, "median", tl_bench_summary_json(median));
    json_object_set_new(json, "seconds_least", json_real(least));
    json_object_set_new(json, "seconds_most", json_real(most));
    for (uint32_t i = 0; i < options->repeats; i++)
        json_array_append_new(all, tl_bench_summary_json(&passes[i]));
    json_object_set_new(json, "passes", all);
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(7));
    puts(text ? text : "{}");
    free(text);
    json_decref(json);
}

static void print_text(const struct options *options, const struct tl_bench_summary *median, double least,
                       double most) {
    struct tl_str text = TL_STR_INIT;
    tl_bench_summary_print(median, &text);
    if (options->repeats > 1)
        tl_str_printf(&text, "medians of %u passes, of %.2f to %.2f s\n", options->repeats, least, most);
    fputs(text.data, stdout);
    tl_str_fini(&text);
}

static enum tl_status measure(const struct options *options, struct tl_bench_summary *passes, struct tl_error *error) {
    struct tl_bench_target *target = NULL;
    uint64_t tokens = 0;
    enum tl_status status = open_target(options, &target, error);
    if (status != TL_OK)
        return status;
    status = target->probe(target, &tokens, error);
    uint32_t overhead = tokens > TL_BENCH_PROBE_WORDS ? (uint32_t)(tokens - TL_BENCH_PROBE_WORDS) : 0;
    if (status == TL_OK)
        status = warm_up(options, target, overhead, error);
    for (uint32_t i = 0; i < options->repeats && status == TL_OK; i++)
        status = pass(options, target, i, overhead, &passes[i], error);
    target->close(target);
    return status;
}

static int run(const struct options *options) {
    struct tl_bench_summary *passes = tl_mem_zalloc(options->repeats * sizeof *passes), median;
    double least, most;
    struct tl_error error;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, former;
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, &former);
    enum tl_status status = measure(options, passes, &error);
    sigaction(SIGINT, &former, NULL);
    int result;
    if (status != TL_OK) {
        result = tl_cli_fail(NAME, &error);
    } else {
        tl_bench_median(passes, options->repeats, &median, &least, &most);
        if (options->json)
            print_json(options, &median, passes, least, most);
        else
            print_text(options, &median, least, most);
        bool failed = false;
        for (uint32_t i = 0; i < options->repeats; i++)
            failed = failed || passes[i].failed > 0;
        result = failed ? TL_EXIT_FAILED : TL_EXIT_DONE;
    }
    tl_mem_free(passes);
    return result;
}

int tl_cmd_bench_llm(int argc, char **argv) {
    struct options options = {.engine = "llm", .warmup = 1, .repeats = 1, .seed = 1};
    int result = read_options(argc, argv, &options);
    if (result < 0)
        result = run(&options);
    tl_cli_list_fini(&options.settings);
    return result;
}
