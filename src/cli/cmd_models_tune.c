/* cmd_models_tune.c: `teola models tune`: finds the weight format in which a model runs best here. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "models/tune.h"

#define NAME "models tune"

static const char help[] =
    "Usage: teola models tune [OPTIONS] [MODEL]\n"
    "       teola models tune --undo [MODEL]\n"
    "\n"
    "Re-quantises a model to several weight formats, measures each on this machine, and uses the fastest of those "
    "that\n"
    "lose little. MODEL is a name that `teola models list` shows (default: the model of the engine llm). The file that "
    "is\n"
    "kept lies beside the model's own and is used whenever the model is named; the model's own stays.\n"
    "\n"
    "      --formats A,B,...  try these only (default: all: f16, bf16, q8_0, q6_k, q5_1, q5_k_m, q5_0, q4_k_m, q4_1, "
    "q4_0)\n"
    "      --max-loss P%      accept this much more perplexity than the model has as it is (default 2%)\n"
    "      --text FILE        judge by this text (default: some 2,500 words of English)\n"
    "      --rounds N         of timing, in which the formats take turns; medians count (default 3)\n"
    "      --threads N        as engines will have (default: all that they use by themselves)\n"
    "      --again            measure even if that was done before\n"
    "      --undo             use the model as it is again, and remove the other file\n"
    "      --format FORM      text (default) or json\n"
    "      --config FILE, --set E.S=VALUE   as in teola run; to find the model when none is named\n"
    "  -q, --quiet            no progress\n"
    "  -h, --help             this text\n"
    "\n"
    "What is compared is a request with 512 prompt tokens and 64 written. Ctrl-C ends it and changes nothing.\n"
    "Exit status: 0 done, 1 failed, 2 wrong use, 130 interrupted.\n";

enum { MOST_NAMES = 32, LONGEST_TEXT = 16 << 20 };

struct options {
    const char *names[MOST_NAMES + 1]; /* of formats */
    char *list;                        /* what they point into; owned */
    const char *text_file, *config;
    struct tl_cli_list settings;
    struct tl_str text, model;
    struct tl_tune tune;
    bool undo, json, quiet;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

static bool stop(void *user) {
    (void)user;
    return interrupted != 0;
}

static void show_step(void *user, const char *what) {
    const struct options *options = user;
    if (!options->quiet)
        fprintf(stderr, "%s: %s\n", options->model.data, what);
}

/* ---- options ---- */

enum { FORMATS = 256, LOSS, TEXT, ROUNDS, THREADS, AGAIN, UNDO, FORMAT, CONFIG, SET };

static const struct option known[] = {
    {"formats", required_argument, NULL, FORMATS},
    {"max-loss", required_argument, NULL, LOSS},
    {"text", required_argument, NULL, TEXT},
    {"rounds", required_argument, NULL, ROUNDS},
    {"threads", required_argument, NULL, THREADS},
    {"again", no_argument, NULL, AGAIN},
    {"undo", no_argument, NULL, UNDO},
    {"format", required_argument, NULL, FORMAT},
    {"config", required_argument, NULL, CONFIG},
    {"set", required_argument, NULL, SET},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int take_formats(struct options *options, const char *text) {
    size_t count = 0;
    tl_mem_free(options->list);
    options->list = tl_mem_strdup(text);
    for (char *at = options->list, *end; *at; at = end) {
        end = at + strcspn(at, ",");
        if (*end)
            *end++ = '\0';
        if (count == MOST_NAMES)
            return tl_cli_wrong_use(NAME, "--formats: at most %d can be given", MOST_NAMES);
        options->names[count++] = at;
    }
    options->names[count] = NULL;
    options->tune.formats = options->names;
    return count > 0 ? TL_EXIT_DONE : tl_cli_wrong_use(NAME, "--formats is empty");
}

static int take_loss(double *loss, const char *text) {
    char *end;
    double value = strtod(text, &end);
    bool percent = *end == '%';
    if (end == text || end[percent] != '\0' || !(value >= 0 && value <= (percent ? 1000 : 10)))
        return tl_cli_wrong_use(NAME, "--max-loss is '%s', expected a share such as 2%%", text);
    *loss = percent ? value / 100 : value;
    return TL_EXIT_DONE;
}

static int take_count(const char *option, const char *text, long least, long most, long *count) {
    char *end;
    *count = strtol(text, &end, 10);
    if (end == text || *end != '\0' || *count < least || *count > most)
        return tl_cli_wrong_use(NAME, "--%s is '%s', expected a whole number from %ld to %ld", option, text, least,
                                most);
    return TL_EXIT_DONE;
}

static int take_option(struct options *options, int option, char **argv) {
    long count = 0;
    int result = TL_EXIT_DONE;
    switch (option) {
    case FORMATS: return take_formats(options, optarg);
    case LOSS: return take_loss(&options->tune.most_loss, optarg);
    case TEXT: options->text_file = optarg; break;
    case ROUNDS:
        result = take_count("rounds", optarg, 1, 32, &count);
        options->tune.rounds = (unsigned)count;
        break;
    case THREADS:
        result = take_count("threads", optarg, 1, 512, &count);
        options->tune.threads = (int32_t)count;
        break;
    case AGAIN: options->tune.again = true; break;
    case UNDO: options->undo = true; break;
    case FORMAT:
        if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0)
            return tl_cli_wrong_use(NAME, "--format is \"%s\", expected text or json", optarg);
        options->json = strcmp(optarg, "json") == 0;
        break;
    case CONFIG: options->config = optarg; break;
    case SET: tl_cli_list_add(&options->settings, optarg); break;
    case 'q': options->quiet = true; break;
    default: return tl_cli_wrong_option(NAME, option, argv, known);
    }
    return result;
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct options *options) {
    opterr = 0;
    optind = 0; /* starts anew */
    for (int option; (option = getopt_long(argc, argv, ":qh", known, NULL)) != -1;) {
        if (option == 'h') {
            fputs(help, stdout);
            return TL_EXIT_DONE;
        }
        int result = take_option(options, option, argv);
        if (result != TL_EXIT_DONE)
            return result;
    }
    if (argc - optind > 1)
        return tl_cli_wrong_use(NAME, "'%s' is not expected here: one model at a time", argv[optind + 1]);
    if (optind < argc)
        tl_str_puts(&options->model, argv[optind]);
    return -1;
}

/* ---- the work ---- */

/* The name of the model that the engine llm is configured with. */
static enum tl_status find_model(struct options *options, struct tl_error *error) {
    struct tl_runtime *runtime;
    enum tl_status status = tl_cli_open_runtime(options->config, &options->settings, &runtime, error);
    if (status != TL_OK)
        return status;
    const struct tl_config *config = tl_runtime_config(runtime);
    const struct tl_config_engine *engine = tl_config_find_engine(config, "llm");
    const char *model = engine ? json_string_value(json_object_get(engine->settings, "model")) : NULL;
    if (model)
        tl_str_puts(&options->model, tl_config_model(config, model));
    else
        status = tl_error_set(error, TL_ERR_USAGE, "the configuration's engine llm names no model: which one?");
    tl_runtime_close(runtime);
    return status;
}

static enum tl_status prepare(struct options *options, struct tl_error *error) {
    enum tl_status status = options->model.length > 0 ? TL_OK : find_model(options, error);
    if (status == TL_OK && options->text_file) {
        status = tl_file_read(options->text_file, LONGEST_TEXT, &options->text, error);
        options->tune.text = options->text.data;
        options->tune.text_length = options->text.length;
    }
    return status;
}

static void print_row(const json_t *row) {
    const char *format = json_string_value(json_object_get(row, "format"));
    const char *verdict = json_string_value(json_object_get(row, "verdict"));
    bool as_is = json_is_true(json_object_get(row, "as_is")), used = strcmp(verdict, "used") == 0;
    double loss = 100 * json_number_value(json_object_get(row, "loss"));
    printf("%s %-8s %7.0f MB", used ? "*" : " ", *format ? format : "as it is",
           (double)json_integer_value(json_object_get(row, "size")) / 1e6);
    if (json_object_get(row, "perplexity"))
        printf("  %10.3f  %+6.2f %%", json_number_value(json_object_get(row, "perplexity")), loss);
    if (json_object_get(row, "request_ms"))
        printf("  %9.0f  %8.1f  %8.1f  %9.0f", json_number_value(json_object_get(row, "prefill")),
               json_number_value(json_object_get(row, "decode")), json_number_value(json_object_get(row, "decode8")),
               json_number_value(json_object_get(row, "request_ms")));
    if (strcmp(verdict, "loss") == 0)
        fputs("  loses too much", stdout);
    if (strcmp(verdict, "failed") == 0)
        printf("  %s", json_string_value(json_object_get(row, "reason")));
    puts(as_is ? "  (as it is)" : "");
}

static void print_report(const struct options *options, const json_t *report) {
    const json_t *row;
    size_t i;
    printf("  %-8s %10s  %10s  %8s  %9s  %8s  %8s  %9s\n", "FORMAT", "SIZE", "PERPLEXITY", "LOSS", "PREFILL/S",
           "DECODE/S", "8 ROWS/S", "REQUEST");
    json_array_foreach(json_object_get(report, "formats"), i, row)
        print_row(row);
    if (json_is_true(json_object_get(report, "measured_before")))
        puts("measured before, on this processor; --again measures anew");
    const char *used = json_string_value(json_object_get(report, "used"));
    if (json_is_true(json_object_get(report, "tuned")))
        printf("%s: %s is used from now on; `teola models tune --undo %s` goes back\n", options->model.data, used,
               options->model.data);
    else
        printf("%s: stays as it is\n", options->model.data);
}

static enum tl_status undo(const struct options *options, struct tl_models *models, struct tl_error *error) {
    bool was = false;
    enum tl_status status = tl_models_untune(models, options->model.data, &was, error);
    if (status == TL_OK && options->json)
        printf("{\"model\": \"%s\", \"undone\": %s}\n", options->model.data, was ? "true" : "false");
    else if (status == TL_OK)
        printf("%s: %s\n", options->model.data, was ? "used as it is again" : "was used as it is");
    return status;
}

static enum tl_status tune(struct options *options, struct tl_models *models, struct tl_error *error) {
    json_t *report;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, former[2];
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, &former[0]);
    sigaction(SIGTERM, &action, &former[1]);
    options->tune.stop = stop;
    options->tune.step = show_step;
    options->tune.user = options;
    enum tl_status status = tl_models_tune(models, options->model.data, &options->tune, &report, error);
    sigaction(SIGINT, &former[0], NULL);
    sigaction(SIGTERM, &former[1], NULL);
    if (status != TL_OK)
        return status;
    if (options->json) {
        char *text = json_dumps(report, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        puts(text ? text : "{}");
        tl_mem_free(text);
    } else {
        print_report(options, report);
    }
    json_decref(report);
    return TL_OK;
}

int tl_cmd_models_tune(int argc, char **argv) {
    struct options options = {.text = TL_STR_INIT, .model = TL_STR_INIT, .tune = {.most_loss = 0.02, .rounds = 3}};
    struct tl_models *models = NULL;
    struct tl_error error;
    int result = read_options(argc, argv, &options);
    if (result < 0) {
        enum tl_status status = prepare(&options, &error);
        if (status == TL_OK)
            status = tl_models_open(&models, &error);
        if (status == TL_OK)
            status = options.undo ? undo(&options, models, &error) : tune(&options, models, &error);
        result = status == TL_OK ? TL_EXIT_DONE : tl_cli_fail(NAME, &error);
        tl_models_close(models);
    }
    tl_cli_list_fini(&options.settings);
    tl_mem_free(options.list);
    tl_str_fini(&options.text);
    tl_str_fini(&options.model);
    return result;
}
