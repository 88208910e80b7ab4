/* bench_workflow.c: see bench_workflow.h. */
#include "cli/bench_workflow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/inputs.h"

#define NAME "bench workflow"

static const char help[] =
    "Usage: teola bench workflow WORKFLOW --question TEXT (--collection NAME | --docs PATH...) [OPTIONS]\n"
    "\n"
    "Asks a workflow many questions and reports how long the answers took, how many a second there were, and what was\n"
    "computed for them. Engines are those of the configuration; with emulated ones (profiles/rtx3090.yaml) it needs "
    "no\n"
    "models.\n"
    "\n"
    "      --question TEXT    may be repeated; asked in rotation\n"
    "      --questions FILE   questions, one a line\n"
    "  -c, --collection NAME, -d, --docs PATH, --input NAME=VAL, --timeout TIME   as in teola run\n"
    "      --config FILE, --set E.S=VALUE   as in teola run\n"
    "\n"
    "      --rate R[,R...]    open loop: R questions a second, at random; latency counts from the time meant\n"
    "      --concurrency N[,N...]   closed loop: N clients, each with one question at a time (default: 1)\n"
    "      --requests N       questions of each pass (default 20)\n"
    "      --duration TIME    open loop: as many as come in that time, as 60s\n"
    "      --warmup N         questions before each pass, one after the other, not measured (default 1)\n"
    "      --repeats N        passes at each rate; medians (default 1)\n"
    "      --seed N           of the arrivals, which are the same for all arms (default 1)\n"
    "\n"
    "      --optimize=LEVEL, --pass=-NAME, --policy=NAME   as in teola run; for all arms\n"
    "      --arm WORDS        one way to run, of several to compare; may be repeated. Words between commas: off, paper "
    "or\n"
    "                         cost; -PASS or +PASS; SETTING=VALUE. As --arm off,policy=per_invocation --arm cost\n"
    "\n"
    "      --format FORM      text (default) or json\n"
    "      --each             in JSON, also each question's times\n"
    "  -q, --quiet            no progress\n"
    "  -h, --help             this text\n"
    "\n"
    "Arms take turns, and each pass starts with engines that have just been opened, so that no pass finds what "
    "another\n"
    "has left behind. Within a pass results are remembered as usual; --set memo_bytes=0 turns that off.\n"
    "Exit status: 0 done, 1 questions failed, 2 wrong use, 130 interrupted.\n";

enum { MOST_REPEATS = 100 };

enum {
    QUESTION = 256,
    QUESTIONS,
    INPUT,
    TIMEOUT,
    RATE,
    CONCURRENCY,
    REQUESTS,
    DURATION,
    WARMUP,
    REPEATS,
    SEED,
    POLICY,
    ARM,
    FORMAT,
    EACH,
};

static const struct option known[] = {
    {"question", required_argument, NULL, QUESTION},
    {"questions", required_argument, NULL, QUESTIONS},
    {"collection", required_argument, NULL, 'c'},
    {"docs", required_argument, NULL, 'd'},
    {"input", required_argument, NULL, INPUT},
    {"timeout", required_argument, NULL, TIMEOUT},
    {"rate", required_argument, NULL, RATE},
    {"concurrency", required_argument, NULL, CONCURRENCY},
    {"requests", required_argument, NULL, REQUESTS},
    {"duration", required_argument, NULL, DURATION},
    {"warmup", required_argument, NULL, WARMUP},
    {"repeats", required_argument, NULL, REPEATS},
    {"seed", required_argument, NULL, SEED},
    {"policy", required_argument, NULL, POLICY},
    {"arm", required_argument, NULL, ARM},
    {"format", required_argument, NULL, FORMAT},
    {"each", no_argument, NULL, EACH},
    {"optimize", required_argument, NULL, 1003}, /* from here on as in shape.h */
    {"pass", required_argument, NULL, 1004},
    {"config", required_argument, NULL, 1005},
    {"set", required_argument, NULL, 1006},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int take_count(const char *option, const char *text, uint32_t least, uint32_t most, uint32_t *count) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < least || value > most)
        return tl_cli_wrong_use(NAME, "--%s is '%s', expected a whole number from %u to %u", option, text, least, most);
    *count = (uint32_t)value;
    return TL_EXIT_DONE;
}

static int take_time(const char *option, const char *text, uint64_t *ms) {
    if (tl_duration_parse(text, ms) && *ms > 0)
        return TL_EXIT_DONE;
    return tl_cli_wrong_use(NAME, "--%s is a time such as 30s or 500ms, not '%s'", option, text);
}

static int wrong_points(const char *text, bool closed) {
    if (closed)
        return tl_cli_wrong_use(NAME, "--concurrency is '%s', expected numbers of clients such as 1,4, from 1 to 10000",
                                text);
    return tl_cli_wrong_use(NAME, "--rate is '%s', expected questions a second such as 0.5,1, from 0.001 to 100000",
                            text);
}

/* Numbers between commas. */
static int take_points(struct tl_bench_workflow_options *options, const char *text, bool closed) {
    char *end;
    if (options->point_count > 0)
        return tl_cli_wrong_use(NAME, "--rate and --concurrency are given once, and not both");
    options->closed = closed;
    for (const char *at = text; options->point_count < TL_BENCH_MOST_POINTS; at = end + 1) {
        double value = strtod(at, &end);
        bool fits = closed ? value >= 1 && value <= 10000 && floor(value) >= value : value >= 0.001 && value <= 100000;
        if (end == at || (*end != '\0' && *end != ',') || !fits)
            return wrong_points(text, closed);
        options->points[options->point_count++] = value;
        if (*end == '\0')
            return TL_EXIT_DONE;
    }
    return tl_cli_wrong_use(NAME, "no more than %d rates, or numbers of clients", TL_BENCH_MOST_POINTS);
}

static int take_arm(struct tl_bench_workflow_options *options, const char *text) {
    if (options->arm_count == TL_BENCH_MOST_ARMS)
        return tl_cli_wrong_use(NAME, "no more than %d arms", TL_BENCH_MOST_ARMS);
    return tl_cli_arm_parse(NAME, text, &options->arms[options->arm_count++]);
}

static void take_policy(struct tl_bench_workflow_options *options, const char *name) {
    struct tl_str setting = TL_STR_INIT;
    tl_str_printf(&setting, "policy=%s", name);
    tl_mem_free(options->policy);
    options->policy = tl_str_detach(&setting);
}

static int take_option(struct tl_bench_workflow_options *options, int option, char **argv) {
    int taken = tl_cli_shape_option(NAME, option, optarg, &options->shape);
    if (taken >= 0)
        return taken;
    switch (option) {
    case QUESTION: tl_cli_list_add(&options->questions, optarg); break;
    case QUESTIONS: options->file = optarg; break;
    case 'c': options->collection = optarg; break;
    case 'd': tl_cli_list_add(&options->docs, optarg); break;
    case INPUT:
        if (!strchr(optarg, '=') || optarg[0] == '=')
            return tl_cli_wrong_use(NAME, "--input is NAME=VALUE, not '%s'", optarg);
        tl_cli_list_add(&options->inputs, optarg);
        break;
    case TIMEOUT: return take_time("timeout", optarg, &options->timeout_ms);
    case RATE: return take_points(options, optarg, false);
    case CONCURRENCY: return take_points(options, optarg, true);
    case REQUESTS: return take_count("requests", optarg, 1, TL_BENCH_MOST_REQUESTS, &options->requests);
    case DURATION: return take_time("duration", optarg, &options->duration_ms);
    case WARMUP: return take_count("warmup", optarg, 0, 1000, &options->warmup);
    case REPEATS: return take_count("repeats", optarg, 1, MOST_REPEATS, &options->repeats);
    case SEED: return take_count("seed", optarg, 0, UINT32_MAX - 1, &options->seed);
    case POLICY: take_policy(options, optarg); break;
    case ARM: return take_arm(options, optarg);
    case FORMAT:
        if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0)
            return tl_cli_wrong_use(NAME, "--format is text or json, not '%s'", optarg);
        options->json = strcmp(optarg, "json") == 0;
        break;
    case EACH: options->each = true; break;
    case 'q': options->quiet = true; break;
    default: return tl_cli_wrong_option(NAME, option, argv, known);
    }
    return TL_EXIT_DONE;
}

/* Lines that are not empty. */
static int read_questions(struct tl_bench_workflow_options *options) {
    struct tl_error error;
    if (tl_file_read(options->file, TL_CLI_LARGEST_INPUT, &options->lines, &error) != TL_OK)
        return tl_cli_fail(NAME, &error);
    for (char *line = options->lines.data, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        if (*line)
            tl_cli_list_add(&options->questions, line);
    }
    return TL_EXIT_DONE;
}

/* What the options leave open. */
static int complete(struct tl_bench_workflow_options *options) {
    if (options->policy)
        tl_cli_list_add(&options->shape.settings, options->policy);
    if (options->collection && options->docs.count > 0)
        return tl_cli_wrong_use(NAME, "--collection and --docs exclude each other");
    if (options->duration_ms > 0 && (options->closed || options->point_count == 0))
        return tl_cli_wrong_use(NAME, "--duration is for questions that come at a --rate");
    if (options->each && !options->json)
        return tl_cli_wrong_use(NAME, "--each is for --format json");
    if (options->point_count == 0) {
        options->points[options->point_count++] = 1;
        options->closed = true;
    }
    if (options->file) {
        int result = read_questions(options);
        if (result != TL_EXIT_DONE)
            return result;
    }
    if (options->arm_count == 0) {
        const char *level = tl_optimize_name(options->shape.optimize ? options->shape.optimize : TL_OPTIMIZE_COST);
        int result = take_arm(options, level);
        if (result != TL_EXIT_DONE)
            return result;
        options->arms[0].optimize = options->shape.optimize; /* as configured, when nothing was said */
    }
    for (size_t i = 0; i < options->arm_count; i++)
        if (options->arms[i].optimize == TL_OPTIMIZE_DEFAULT)
            options->arms[i].optimize = options->shape.optimize;
    return -1;
}

int tl_bench_workflow_read(int argc, char **argv, struct tl_bench_workflow_options *options) {
    *options = (struct tl_bench_workflow_options){
        .requests = 20, .warmup = 1, .repeats = 1, .seed = 1, .lines = TL_STR_INIT};
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:d:qh", known, NULL)) != -1;) {
        if (option == 'h') {
            fputs(help, stdout);
            return TL_EXIT_DONE;
        }
        int result = take_option(options, option, argv);
        if (result != TL_EXIT_DONE)
            return result;
    }
    if (optind == argc)
        return tl_cli_wrong_use(NAME, "which workflow?");
    options->workflow = argv[optind++];
    while (options->docs.count > 0 && optind < argc) /* what the shell made of --docs *.md */
        tl_cli_list_add(&options->docs, argv[optind++]);
    if (optind < argc)
        return tl_cli_wrong_use(NAME, "'%s' is not expected here", argv[optind]);
    return complete(options);
}

void tl_bench_workflow_fini(struct tl_bench_workflow_options *options) {
    for (size_t i = 0; i < options->arm_count; i++)
        tl_cli_arm_fini(&options->arms[i]);
    tl_cli_shape_fini(&options->shape);
    tl_cli_list_fini(&options->docs);
    tl_cli_list_fini(&options->inputs);
    tl_cli_list_fini(&options->questions);
    tl_str_fini(&options->lines);
    tl_mem_free(options->policy);
}
