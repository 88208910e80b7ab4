/* cmd_run.c: `teola run`: a question through a workflow; the answer is printed as it is written.
 *
 * The runtime's callbacks only hand text over; this thread prints, so a slow terminal never holds up
 * the loop. A second thread waits for signals: the first ends the run, the next the program. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/progress.h"
#include "cli/answer.h"
#include "cli/commands.h"
#include "cli/inputs.h"
#include "cli/shape.h"
#include "runtime/report.h"

static const char help[] =
    "Usage: teola run WORKFLOW --question TEXT (--collection NAME | --docs PATH...) [OPTIONS]\n"
    "\n"
    "Answers by a workflow: the path of a YAML file, or the name of an installed one (naive-rag, advanced-rag). The\n"
    "answer is printed as it is written, then its sources.\n"
    "\n"
    "      --question TEXT   the question (also the word after WORKFLOW); - reads it from standard input\n"
    "  -c, --collection NAME answer from this collection (made by teola index)\n"
    "  -d, --docs PATH       answer from these files and folders, indexed within the run; may be repeated\n"
    "      --input NAME=VAL  another input of the workflow: text, or JSON when the input's type asks for it; VAL may\n"
    "                        be @FILE; may be repeated\n"
    "\n"
    "      --optimize=LEVEL  off: step after step; paper: all rules; cost: where they pay (default)\n"
    "      --pass=-NAME      leave a pass of the optimizer out; may be repeated\n"
    "      --policy=NAME     who goes first: critical_path (default), fifo, topology, throughput, per_invocation\n"
    "      --timeout TIME    end the run after this time, as 30s or 500ms\n"
    "      --config FILE     configuration (default: $TEOLA_CONFIG, ./teola.yaml, the user's)\n"
    "      --set E.S=VALUE   one setting of the configuration, as llm.model=NAME; may be repeated\n"
    "\n"
    "      --format FORM     text (default) or json\n"
    "      --timeline        also show where the time went\n"
    "      --trace FILE      write a trace for ui.perfetto.dev\n"
    "  -o, --output FILE     write the answer (or JSON) there instead of standard output\n"
    "  -q, --quiet           the answer only\n"
    "  -v, --verbose         the timeline, notices and what is loaded\n"
    "  -h, --help            this text\n"
    "\n"
    "Ctrl-C ends the run and keeps what was written so far; a second one ends the program at once.\n"
    "Exit status: 0 done, 1 failed, 2 wrong use or invalid file, 130 interrupted.\n";

static const struct option long_options[] = {
    {"question", required_argument, NULL, 'Q'},
    {"collection", required_argument, NULL, 'c'},
    {"docs", required_argument, NULL, 'd'},
    {"input", required_argument, NULL, 'i'},
    {"optimize", required_argument, NULL, 1003},
    {"pass", required_argument, NULL, 1004},
    {"config", required_argument, NULL, 1005},
    {"set", required_argument, NULL, 1006},
    {"policy", required_argument, NULL, 'p'},
    {"timeout", required_argument, NULL, 't'},
    {"format", required_argument, NULL, 'f'},
    {"timeline", no_argument, NULL, 'l'},
    {"trace", required_argument, NULL, 'r'},
    {"output", required_argument, NULL, 'o'},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

struct options {
    struct tl_cli_shape shape;
    struct tl_cli_list docs, inputs;
    char *policy; /* the setting "policy=NAME"; owned */
    const char *workflow, *question, *collection, *trace, *output;
    uint64_t timeout_ms;
    bool json, timeline, quiet, verbose;
};

/* ---- what the loop hands over, and what signals want ---- */

struct session {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct tl_str pending; /* text that is not printed yet */
    struct tl_str notices; /* lines */
    char *result;          /* JSON; set at the end */
    enum tl_status status;
    bool done;
    struct tl_runtime *runtime;
    tl_run_id run;    /* 0: not submitted yet, or over */
    bool interrupted; /* a first signal has come */
};

static void on_delta(void *context, tl_run_id run, const char *text, size_t length) {
    struct session *session = context;
    (void)run;
    pthread_mutex_lock(&session->lock);
    tl_str_append(&session->pending, text, length);
    pthread_cond_signal(&session->changed);
    pthread_mutex_unlock(&session->lock);
}

static void on_notice(void *context, tl_run_id run, const char *message) {
    struct session *session = context;
    (void)run;
    pthread_mutex_lock(&session->lock);
    tl_str_printf(&session->notices, "note: %s\n", message);
    pthread_mutex_unlock(&session->lock);
}

static void on_done(void *context, tl_run_id run, enum tl_status status, const char *result) {
    struct session *session = context;
    (void)run;
    pthread_mutex_lock(&session->lock);
    session->result = tl_mem_strdup(result);
    session->status = status;
    session->done = true;
    pthread_cond_signal(&session->changed);
    pthread_mutex_unlock(&session->lock);
}

static void *wait_for_signals(void *argument) {
    struct session *session = argument;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    for (int received; sigwait(&set, &received) == 0;) {
        /* This thread is cancelled in sigwait only, never with a lock held. */
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        pthread_mutex_lock(&session->lock);
        if (session->interrupted || session->run == 0)
            _exit(TL_EXIT_INTERRUPTED); /* while models are loaded or engines closed there is nothing to keep */
        session->interrupted = true;
        tl_runtime_cancel(session->runtime, session->run);
        pthread_mutex_unlock(&session->lock);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    }
    return NULL;
}

/* ---- options ---- */

static int take_option(struct options *options, int option, char **argv) {
    int taken = tl_cli_shape_option("run", option, optarg, &options->shape);
    if (taken >= 0)
        return taken;
    switch (option) {
    case 'Q': options->question = optarg; break;
    case 'c': options->collection = optarg; break;
    case 'd': tl_cli_list_add(&options->docs, optarg); break;
    case 'i':
        if (!strchr(optarg, '=') || optarg[0] == '=')
            return tl_cli_wrong_use("run", "--input is NAME=VALUE, not '%s'", optarg);
        tl_cli_list_add(&options->inputs, optarg);
        break;
    case 'p': {
        struct tl_str setting = TL_STR_INIT;
        tl_str_printf(&setting, "policy=%s", optarg);
        tl_mem_free(options->policy);
        options->policy = tl_str_detach(&setting);
        break;
    }
    case 't':
        if (!tl_duration_parse(optarg, &options->timeout_ms) || options->timeout_ms == 0)
            return tl_cli_wrong_use("run", "--timeout is a time such as 30s or 500ms, not '%s'", optarg);
        break;
    case 'f':
        if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0)
            return tl_cli_wrong_use("run", "--format is text or json, not '%s'", optarg);
        options->json = strcmp(optarg, "json") == 0;
        break;
    case 'l': options->timeline = true; break;
    case 'r': options->trace = optarg; break;
    case 'o': options->output = optarg; break;
    case 'q': options->quiet = true; break;
    case 'v': options->verbose = options->timeline = true; break;
    default: return tl_cli_wrong_option("run", option, argv, long_options);
    }
    return TL_EXIT_DONE;
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, struct options *options) {
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":c:d:o:qvh", long_options, NULL)) != -1;) {
        if (option == 'h') {
            fputs(help, stdout);
            return TL_EXIT_DONE;
        }
        int taken = take_option(options, option, argv);
        if (taken != TL_EXIT_DONE)
            return taken;
    }
    if (options->policy)
        tl_cli_list_add(&options->shape.settings, options->policy);
    if (optind == argc)
        return tl_cli_wrong_use("run", "which workflow?");
    options->workflow = argv[optind++];
    /* `--docs *.md`: what the shell made of it belongs to --docs. Else a word left over is the question. */
    if (options->docs.count > 0 && options->question)
        while (optind < argc)
            tl_cli_list_add(&options->docs, argv[optind++]);
    if (!options->question && optind < argc)
        options->question = argv[optind++];
    if (optind < argc)
        return tl_cli_wrong_use("run", "'%s' is one word too many; put the question into quotes", argv[optind]);
    if (options->collection && options->docs.count > 0)
        return tl_cli_wrong_use("run", "--collection and --docs exclude each other");
    return -1;
}

/* ---- inputs ---- */

static enum tl_status read_stdin(struct tl_str *out, struct tl_error *error) {
    char buffer[4096];
    for (size_t got; (got = fread(buffer, 1, sizeof buffer, stdin)) > 0;) {
        tl_str_append(out, buffer, got);
        if (out->length > TL_CLI_LARGEST_INPUT)
            return tl_error_set(error, TL_ERR_LIMIT, "standard input: more than %zu bytes", TL_CLI_LARGEST_INPUT);
    }
    while (out->length > 0 && (out->data[out->length - 1] == '\n' || out->data[out->length - 1] == '\r'))
        tl_str_truncate(out, out->length - 1);
    return TL_OK;
}

/* The inputs as JSON text; owned. */
static enum tl_status make_inputs(const struct options *options, const struct tl_workflow *workflow, char **text,
                                  struct tl_error *error) {
    json_t *inputs = json_object();
    enum tl_status status = TL_OK;
    struct tl_str question = TL_STR_INIT;
    for (size_t i = 0; i < options->inputs.count && status == TL_OK; i++)
        status = tl_cli_add_given_input(workflow, inputs, options->inputs.items[i], error);
    if (options->question && status == TL_OK) {
        if (strcmp(options->question, "-") == 0)
            status = read_stdin(&question, error);
        else
            tl_str_puts(&question, options->question);
        if (status == TL_OK)
            status = tl_cli_add_input(workflow, inputs, "question", question.data, question.length, error);
    }
    *text = status == TL_OK ? json_dumps(inputs, JSON_COMPACT) : NULL;
    tl_str_fini(&question);
    json_decref(inputs);
    return status;
}

/* What a user forgets most, said in the words of the command line. */
static int check_inputs(const struct options *options, const struct tl_workflow *workflow) {
    const struct tl_workflow_input *question = tl_cli_find_input(workflow, "question");
    bool asked = options->question != NULL, documents = options->collection || options->docs.count > 0;
    for (size_t i = 0; i < options->inputs.count; i++) {
        asked = asked || tl_str_starts_with(options->inputs.items[i], "question=");
        documents = documents || tl_str_starts_with(options->inputs.items[i], "documents=");
    }
    if (question && !question->optional && !asked)
        return tl_cli_wrong_use("run", "no question; ask with --question TEXT");
    if (tl_cli_find_input(workflow, "documents") && !documents)
        return tl_cli_wrong_use("run", "answer from what? Give --collection NAME (see teola index) or --docs PATH");
    return TL_EXIT_DONE;
}

/* ---- output ---- */

struct printer {
    const struct options *options;
    struct tl_str streamed; /* the answer so far */
    bool status_line;       /* a line on stderr that is to go */
    int failed;             /* why standard output does not take any more, an errno value; 0: it does */
};

static void show_status(struct printer *printer, const char *text) {
    if (printer->options->quiet || !tl_cli_is_terminal(stderr))
        return;
    fprintf(stderr, "\r\033[K%s", text);
    fflush(stderr);
    printer->status_line = true;
}

/* Of a model that is being loaded. On the engine's thread, while the main one waits for it. */
static void show_loading(void *context, const char *what, double share) {
    char text[128];
    snprintf(text, sizeof text, "%.100s: %3.0f %%", what, 100 * share);
    show_status(context, text);
}

static void clear_status(struct printer *printer) {
    if (printer->status_line)
        fputs("\r\033[K", stderr);
    printer->status_line = false;
}

static bool streams(const struct options *options) {
    return !options->json && !options->output;
}

static void print_text(struct printer *printer, const char *text, size_t length) {
    clear_status(printer);
    if (fwrite(text, 1, length, stdout) != length || fflush(stdout) != 0)
        printer->failed = errno;
}

/* Prints what comes until the run has ended. */
static void follow(struct session *session, struct printer *printer) {
    struct tl_str text = TL_STR_INIT;
    pthread_mutex_lock(&session->lock);
    for (;;) {
        while (session->pending.length == 0 && !session->done)
            pthread_cond_wait(&session->changed, &session->lock);
        if (session->pending.length == 0)
            break;
        struct tl_str swap = session->pending;
        session->pending = text;
        text = swap;
        pthread_mutex_unlock(&session->lock);
        tl_str_append(&printer->streamed, text.data, text.length);
        if (streams(printer->options) && !printer->failed) {
            print_text(printer, text.data, text.length);
            if (printer->failed)
                tl_runtime_cancel(session->runtime, session->run);
        }
        tl_str_clear(&text);
        pthread_mutex_lock(&session->lock);
    }
    pthread_mutex_unlock(&session->lock);
    tl_str_fini(&text);
    clear_status(printer);
}

static void make_answer(const struct printer *printer, const json_t *result, struct tl_str *out) {
    const struct options *options = printer->options;
    if (options->json) {
        char *text = json_dumps(result, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        tl_str_printf(out, "%s\n", text ? text : "{}");
        free(text);
        return;
    }
    bool color = streams(options) && tl_cli_has_color(stdout);
    if (!streams(options))
        tl_str_append(out, printer->streamed.data, printer->streamed.length);
    tl_answer_rest(result, &printer->streamed, out);
    if (!options->quiet)
        tl_answer_sources(result, color, out);
}

/* The timeline goes with the answer to a terminal, else where it cannot get mixed up with it. */
static void print_timeline(const struct options *options, const json_t *result) {
    if (!options->timeline)
        return;
    struct tl_str text = TL_STR_INIT;
    FILE *stream = streams(options) && tl_cli_is_terminal(stdout) ? stdout : stderr;
    tl_str_putc(&text, '\n');
    tl_report_timeline(result, tl_cli_is_ascii(), &text);
    fputs(text.data, stream);
    tl_str_fini(&text);
}

static enum tl_status write_trace(const char *path, const json_t *result, struct tl_error *error) {
    json_t *trace = tl_report_trace(result);
    char *text = json_dumps(trace, JSON_COMPACT);
    json_decref(trace);
    enum tl_status status = text ? tl_file_write_atomic(path, text, strlen(text), error)
                                 : tl_error_set(error, TL_ERR_NO_MEMORY, "no memory for the trace");
    free(text);
    return status;
}

static int print_result(const struct session *session, struct printer *printer) {
    const struct options *options = printer->options;
    json_t *result = json_loads(session->result, 0, NULL);
    struct tl_str out = TL_STR_INIT;
    struct tl_error error = {0};
    int exit_status = session->status == TL_OK ? TL_EXIT_DONE : TL_EXIT_FAILED;
    make_answer(printer, result, &out);
    if (!printer->failed && tl_cli_write(options->output, out.data, out.length, &error) != TL_OK)
        exit_status = tl_cli_fail("run", &error);
    if (printer->failed)
        exit_status = TL_EXIT_FAILED;
    if (printer->failed && printer->failed != EPIPE) /* a reader that has gone knows */
        fprintf(stderr, "teola run: standard output: %s\n", strerror(printer->failed));
    if (!options->quiet)
        fputs(session->notices.data, stderr);
    if (session->status != TL_OK && session->interrupted) {
        fprintf(stderr, "teola run: cancelled%s\n", printer->streamed.length ? "; the answer is not complete" : "");
        exit_status = TL_EXIT_INTERRUPTED;
    } else if (session->status != TL_OK && !printer->failed) {
        const char *message = json_string_value(json_object_get(json_object_get(result, "error"), "message"));
        fprintf(stderr, "teola run: %s\n", message ? message : tl_status_name(session->status));
    }
    print_timeline(options, result);
    if (options->trace && write_trace(options->trace, result, &error) != TL_OK)
        exit_status = tl_cli_fail("run", &error);
    tl_str_fini(&out);
    json_decref(result);
    return exit_status;
}

/* ---- the run ---- */

static int submit(const struct options *options, struct session *session, struct printer *printer,
                  tl_workflow_id workflow) {
    struct tl_error error;
    char *inputs = NULL;
    if (make_inputs(options, tl_runtime_workflow(session->runtime, workflow), &inputs, &error) != TL_OK)
        return tl_cli_fail("run", &error);
    const struct tl_request request = {
        .size = sizeof request,
        .workflow = workflow,
        .inputs = inputs,
        .collection = options->collection,
        .documents = options->docs.items,
        .document_count = options->docs.count,
        .optimize = options->shape.optimize,
        .passes = options->shape.passes.items,
        .pass_count = options->shape.passes.count,
        .timeout_ms = options->timeout_ms,
        .flags = TL_REQUEST_ITEMS,
        .context = session,
        .delta = on_delta,
        .notice = on_notice,
        .done = on_done,
    };
    show_status(printer, "loading models ...");
    tl_progress_listen(show_loading, printer);
    tl_run_id run;
    enum tl_status status = tl_runtime_submit(session->runtime, &request, &run, &error);
    tl_progress_listen(NULL, NULL);
    free(inputs);
    clear_status(printer);
    if (status != TL_OK)
        return tl_cli_fail("run", &error);
    pthread_mutex_lock(&session->lock);
    session->run = run;
    pthread_mutex_unlock(&session->lock);
    return TL_EXIT_DONE;
}

/* Closes the runtime. */
static int run_session(const struct options *options, struct session *session, tl_workflow_id workflow) {
    struct printer printer = {.options = options, .streamed = TL_STR_INIT};
    pthread_t signals;
    if (pthread_create(&signals, NULL, wait_for_signals, session) != 0)
        TL_BUG("no thread can be started");
    int result = submit(options, session, &printer, workflow);
    if (result == TL_EXIT_DONE) {
        show_status(&printer, "working ... (Ctrl-C ends)");
        follow(session, &printer);
        result = print_result(session, &printer);
    }
    /* Closing waits for what an engine is just at, such as a PDF: a signal ends the program all the same. */
    pthread_mutex_lock(&session->lock);
    session->run = 0;
    pthread_mutex_unlock(&session->lock);
    tl_runtime_close(session->runtime);
    session->runtime = NULL;
    pthread_cancel(signals);
    pthread_join(signals, NULL);
    tl_str_fini(&printer.streamed);
    return result;
}

static int run(const struct options *options) {
    struct tl_error error;
    struct session session = {.pending = TL_STR_INIT, .notices = TL_STR_INIT};
    /* Before any thread is started, so that all of them have it. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    /* There is no later query that could profit, unless it is asked for. */
    struct tl_cli_list settings = {0};
    tl_cli_list_add(&settings, "prewarm=false");
    for (size_t i = 0; i < options->shape.settings.count; i++)
        tl_cli_list_add(&settings, options->shape.settings.items[i]);
    enum tl_status opened = tl_cli_open_runtime(options->shape.config, &settings, &session.runtime, &error);
    tl_cli_list_fini(&settings);
    if (opened != TL_OK)
        return tl_cli_fail("run", &error);
    pthread_mutex_init(&session.lock, NULL);
    pthread_cond_init(&session.changed, NULL);
    tl_workflow_id workflow;
    int result = tl_cli_load_workflow("run", session.runtime, options->workflow, &workflow);
    if (result == TL_EXIT_DONE)
        result = check_inputs(options, tl_runtime_workflow(session.runtime, workflow));
    if (result == TL_EXIT_DONE)
        result = run_session(options, &session, workflow);
    tl_runtime_close(session.runtime);
    pthread_cond_destroy(&session.changed);
    pthread_mutex_destroy(&session.lock);
    tl_str_fini(&session.pending);
    tl_str_fini(&session.notices);
    tl_mem_free(session.result);
    return result;
}

int tl_cmd_run(int argc, char **argv) {
    struct options options = {0};
    int result = read_options(argc, argv, &options);
    if (options.verbose && tl_log_get_level() < TL_LOG_INFO)
        tl_log_set_level(TL_LOG_INFO);
    if (result < 0)
        result = run(&options);
    tl_cli_shape_fini(&options.shape);
    tl_cli_list_fini(&options.docs);
    tl_cli_list_fini(&options.inputs);
    tl_mem_free(options.policy);
    return result;
}
