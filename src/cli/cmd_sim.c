/* cmd_sim.c: `teola sim`: a load on a cluster in virtual time. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diagnostics.h"
#include "base/error.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "scenario/scenario.h"
#include "sched/policy.h"

static const char help[] =
    "Usage: teola sim SCENARIO.yaml [OPTIONS]\n"
    "\n"
    "Simulates queries that arrive at a cluster: the program's own scheduler over emulated engines, in virtual time.\n"
    "The scenario says which engines there are, who asks what how often, and what breaks (docs/sim.md). The same\n"
    "scenario and seed give the same result.\n"
    "\n"
    "      --rate X          so many queries a second in all, in the scenario's proportions\n"
    "      --policy NAME     who goes first (default: as the scenario says)\n"
    "      --optimize LEVEL  off, paper or cost, for all loads\n"
    "      --pass=-NAME      leave a pass of the optimizer out, +NAME puts it back; may be repeated\n"
    "      --seed N          of all that is random\n"
    "      --duration TIME   queries arrive for so long: 600s, 10m\n"
    "      --runs N          so many queries arrive, instead of a duration\n"
    "      --limit TIME      count the queries answered within this time, for all loads\n"
    "      --format FORM     text (default) or json\n"
    "      --html FILE       also write a page with plots and a Gantt chart\n"
    "  -o FILE               write the result there instead of standard output\n"
    "  -h, --help            this text\n";

enum { RATE = 1000, POLICY, OPTIMIZE, PASS, SEED, DURATION, RUNS, LIMIT, FORMAT, HTML };

static const struct option long_options[] = {
    {"rate", required_argument, NULL, RATE},
    {"policy", required_argument, NULL, POLICY},
    {"optimize", required_argument, NULL, OPTIMIZE},
    {"pass", required_argument, NULL, PASS},
    {"seed", required_argument, NULL, SEED},
    {"duration", required_argument, NULL, DURATION},
    {"runs", required_argument, NULL, RUNS},
    {"limit", required_argument, NULL, LIMIT},
    {"format", required_argument, NULL, FORMAT},
    {"html", required_argument, NULL, HTML},
    {"output", required_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* What the command line says instead of the scenario. */
struct wanted {
    double rate;        /* 0: as the scenario says */
    const char *policy; /* NULL: likewise */
    enum tl_optimize optimize;
    struct tl_cli_list passes;
    bool seeded;
    uint64_t seed, duration, runs, limit;
    bool json;
    const char *html, *output;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal) {
    (void)signal;
    interrupted = 1;
}

static int read_policy(const char *name, struct wanted *wanted) {
    struct tl_str names = TL_STR_INIT;
    int result = TL_EXIT_DONE;
    wanted->policy = name;
    for (size_t i = 0; tl_policy_at(i); i++)
        tl_str_printf(&names, "%s%s", i ? ", " : "", tl_policy_at(i)->name);
    if (!tl_policy_find(name))
        result = tl_cli_wrong_use("sim", "there is no policy '%s'; there are: %s", name, names.data);
    tl_str_fini(&names);
    return result;
}

static int read_time(const char *option, const char *text, uint64_t *ns) {
    uint64_t ms;
    if (!tl_duration_parse(text, &ms) || ms == 0)
        return tl_cli_wrong_use("sim", "--%s '%s': expected a time such as 30s or 10m", option, text);
    *ns = ms * 1000000;
    return TL_EXIT_DONE;
}

static int read_rate(const char *text, struct wanted *wanted) {
    char *end;
    wanted->rate = strtod(text, &end);
    if (end == text || *end || !isfinite(wanted->rate) || wanted->rate <= 0)
        return tl_cli_wrong_use("sim", "--rate '%s': expected queries a second, such as 0.5", text);
    return TL_EXIT_DONE;
}

static int read_whole(const char *option, const char *text, uint64_t least, uint64_t *number) {
    char *end;
    *number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || *number < least)
        return tl_cli_wrong_use("sim", "--%s '%s': expected a whole number%s", option, text, least ? " above 0" : "");
    return TL_EXIT_DONE;
}

static int read_option(int option, char **argv, struct wanted *wanted) {
    switch (option) {
    case RATE: return read_rate(optarg, wanted);
    case POLICY: return read_policy(optarg, wanted);
    case OPTIMIZE:
        if (!tl_optimize_parse(optarg, &wanted->optimize))
            return tl_cli_wrong_use("sim", "--optimize is off, paper or cost, not '%s'", optarg);
        return TL_EXIT_DONE;
    case PASS: tl_cli_list_add(&wanted->passes, optarg); return TL_EXIT_DONE;
    case SEED: wanted->seeded = true; return read_whole("seed", optarg, 0, &wanted->seed);
    case RUNS: return read_whole("runs", optarg, 1, &wanted->runs);
    case DURATION: return read_time("duration", optarg, &wanted->duration);
    case LIMIT: return read_time("limit", optarg, &wanted->limit);
    case FORMAT:
        wanted->json = strcmp(optarg, "json") == 0;
        if (!wanted->json && strcmp(optarg, "text") != 0)
            return tl_cli_wrong_use("sim", "--format is text or json, not '%s'", optarg);
        return TL_EXIT_DONE;
    case HTML: wanted->html = optarg; return TL_EXIT_DONE;
    case 'o': wanted->output = optarg; return TL_EXIT_DONE;
    default: return tl_cli_wrong_option("sim", option, argv, long_options);
    }
}

static enum tl_status apply(const struct wanted *wanted, struct tl_scenario *scenario, struct tl_error *error) {
    enum tl_status status = TL_OK;
    if (wanted->rate > 0)
        status = tl_scenario_set_rate(scenario, wanted->rate, error);
    for (size_t i = 0; i < wanted->passes.count && status == TL_OK; i++)
        status = tl_scenario_add_pass(scenario, wanted->passes.items[i], error);
    if (status != TL_OK)
        return status;
    if (wanted->policy)
        scenario->policy = wanted->policy;
    if (wanted->seeded)
        scenario->seed = wanted->seed;
    if (wanted->duration > 0 || wanted->runs > 0) {
        scenario->duration = wanted->duration;
        scenario->runs = wanted->runs;
    }
    if (scenario->duration > 0 && scenario->warmup >= scenario->duration)
        return tl_error_set(error, TL_ERR_USAGE, "--duration ends before the scenario's warm-up of %g s does",
                            (double)scenario->warmup / 1e9);
    for (size_t i = 0; i < scenario->load_count; i++) {
        if (wanted->optimize != TL_OPTIMIZE_DEFAULT)
            scenario->loads[i].optimize = wanted->optimize;
        if (wanted->limit > 0)
            scenario->loads[i].goal = wanted->limit;
    }
    return TL_OK;
}

static enum tl_status report(const struct tl_scenario_result *result, const struct wanted *wanted,
                             struct tl_error *error) {
    struct tl_str out = TL_STR_INIT, page = TL_STR_INIT;
    enum tl_status status = TL_OK;
    if (wanted->html) {
        tl_scenario_put_html(result, &page);
        status = tl_cli_write(wanted->html, page.data, page.length, error);
    }
    if (wanted->json) {
        json_t *json = tl_scenario_to_json(result);
        char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        tl_str_printf(&out, "%s\n", text);
        free(text);
        json_decref(json);
    } else {
        tl_scenario_put_text(result, &out);
    }
    if (status == TL_OK)
        status = tl_cli_write(wanted->output, out.data, out.length, error);
    tl_str_fini(&out);
    tl_str_fini(&page);
    return status;
}

static int simulate(struct tl_scenario *scenario, const struct wanted *wanted) {
    struct tl_error error;
    struct tl_scenario_result *result = NULL;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    enum tl_status status = apply(wanted, scenario, &error);
    if (status == TL_OK)
        status = tl_scenario_run(scenario, &interrupted, &result, &error);
    if (status == TL_OK)
        status = report(result, wanted, &error);
    tl_scenario_result_destroy(result);
    return status == TL_OK ? TL_EXIT_DONE : tl_cli_fail("sim", &error);
}

static int read_and_simulate(const char *path, const struct wanted *wanted) {
    struct tl_diagnostics findings;
    struct tl_str text = TL_STR_INIT;
    int result = TL_EXIT_USAGE;
    tl_diagnostics_init(&findings, path);
    struct tl_scenario *scenario = tl_scenario_read(
        &(struct tl_scenario_options){.path = path, .find_workflow = tl_cli_find_workflow}, &findings);
    tl_diagnostics_print(&findings, &text);
    fputs(text.data, stderr);
    if (scenario)
        result = simulate(scenario, wanted);
    tl_scenario_destroy(scenario);
    tl_diagnostics_fini(&findings);
    tl_str_fini(&text);
    return result;
}

int tl_cmd_sim(int argc, char **argv) {
    struct wanted wanted = {0};
    int result = -1;
    opterr = 0;
    for (int option; result <= 0 && (option = getopt_long(argc, argv, ":o:h", long_options, NULL)) != -1;) {
        if (option == 'h') {
            fputs(help, stdout);
            tl_cli_list_fini(&wanted.passes);
            return TL_EXIT_DONE;
        }
        result = read_option(option, argv, &wanted);
    }
    if (result <= 0 && wanted.duration > 0 && wanted.runs > 0)
        result = tl_cli_wrong_use("sim", "--duration and --runs both say when arrivals end");
    if (result <= 0 && argc - optind != 1)
        result = tl_cli_wrong_use("sim", optind == argc ? "which scenario?" : "one scenario at a time");
    if (result <= 0)
        result = read_and_simulate(argv[optind], &wanted);
    tl_cli_list_fini(&wanted.passes);
    return result;
}
