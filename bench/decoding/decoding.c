/* decoding: what shortens decoding, each on and off: answers over retrieved passages, lists of rewrites, objects by a schema.
 *
 *     decoding MODEL.gguf [QUESTIONS] [REPEATS] [THREADS]      4 questions, 3 repeats, 0 threads: one for each core
 *
 * An arm is an engine of its own with one setting changed. All arms do the same work question by question, in another order
 * each time, one after the other; a pass before the first one is not counted (in it -1 measures what rows take).
 * A time is that of an item from its prompt's beginning being there to its outcome: medians over the repeats, summed over
 * the questions. Counts are means of the repeats. "same" counts the texts that equal those of the first arm: all of them
 * but where two tokens are nearly as likely and calls of other sizes round otherwise; a parallel list is another text, and
 * its calls are those of its longest item.
 * The passages are in passages.json beside this file, which passages.py makes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/engine_impl.h"

enum { MOST_ARMS = 6, MOST_QUESTIONS = 10, MOST_REPEATS = 15, MOST_ITEMS = 3 };

/* ---- what is asked for ---- */

/* Who writes what: one decode, or one for each element of a list. */
struct ask {
    const char *system;
    const char *before, *after; /* of the user's message: passages and question go between */
    const char *format, *schema;
    int64_t tokens;
    bool parallel;
};

static const struct ask answer = {
    .system = "Answer the question from the passages.",
    .before = "Passages:\n",
    .after = "\n\nAnswer the question from the passages: ",
    .format = "text",
    .tokens = 64,
};

static const struct ask list = {
    .system = "You write search queries. Give 3 different queries that would find the answer to the question, as a JSON "
              "list.",
    .before = "Question: How can I copy a database while a program is using it?\nQueries: [\"online backup of a live "
              "database\", \"backup API\", \"copy database file in use\"]\n\nQuestion: ",
    .after = "\nQueries:",
    .format = "list",
    .tokens = 100,
};

static const struct ask parallel_list = {
    .system = "You write search queries. Give a short query that would find the answer to the question.",
    .before = "Question: How can I copy a database while a program is using it?\nQuery 1: online backup of a live "
              "database\nQuery 2: backup API\nQuery 3: copy database file in use\n\nQuestion: ",
    .after = "\nQuery ",
    .format = "text",
    .tokens = 32,
    .parallel = true,
};

static const struct ask object = {
    .system = "Answer as JSON.",
    .before = "Passages:\n",
    .after = "\n\nDescribe the answer to this question as JSON: ",
    .format = "json",
    .tokens = 120,
    .schema = "{\"type\":\"object\",\"properties\":{\"short_answer\":{\"type\":\"string\",\"maxLength\":80},"
              "\"kind_of_answer\":{\"enum\":[\"number\",\"name\",\"explanation\",\"not in the passages\"]},"
              "\"number_of_passages_used\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":3},\"quotation\":"
              "{\"type\":\"string\",\"maxLength\":120},\"is_certain\":{\"type\":\"boolean\"}},\"required\":"
              "[\"short_answer\",\"kind_of_answer\",\"number_of_passages_used\",\"quotation\",\"is_certain\"]}",
};

struct arm {
    const char *name;
    const struct ask *ask;
    const char *lookup, *jump; /* settings that differ from the defaults; NULL: none */
    bool asks_all;
};

static const struct {
    const char *name;
    struct arm arms[MOST_ARMS];
} works[] = {
    {"answers over three passages, 64 tokens each",
     {{.name = "lookup off (default)", .ask = &answer},
      {.name = "lookup 7", .ask = &answer, .lookup = "7"},
      {.name = "lookup -1: as pays", .ask = &answer, .lookup = "-1"}}},
    {"lists of three rewrites",
     {{.name = "one list (default)", .ask = &list},
      {.name = "jump_forward 0", .ask = &list, .jump = "0"},
      {.name = "jump_forward 1", .ask = &list, .jump = "1"},
      {.name = "ask_first off", .ask = &list, .asks_all = true},
      {.name = "lookup -1: as pays", .ask = &list, .lookup = "-1"},
      {.name = "in parallel", .ask = &parallel_list}}},
    {"objects of five members over three passages",
     {{.name = "as pays (default)", .ask = &object},
      {.name = "jump_forward 0", .ask = &object, .jump = "0"},
      {.name = "jump_forward 1", .ask = &object, .jump = "1"},
      {.name = "ask_first off", .ask = &object, .asks_all = true},
      {.name = "both off", .ask = &object, .jump = "0", .asks_all = true},
      {.name = "lookup -1: as pays", .ask = &object, .lookup = "-1"}}},
};

enum { WORKS = sizeof works / sizeof works[0] };

struct question {
    const char *question;
    char *passages; /* one text */
};

/* ---- an engine, driven ---- */

struct drive {
    struct tl_engine *engine;
    struct tl_emit emit;
    struct tl_value *outputs[MOST_ITEMS]; /* by engine_data */
    struct tl_usage usages[MOST_ITEMS];
    size_t open;                          /* items without an outcome */
    char failure[256];
};

static void on_done(void *context, struct tl_item *item, struct tl_value **outputs, size_t count,
                    const struct tl_usage *usage) {
    struct drive *drive = context;
    size_t place = (size_t)item->id % MOST_ITEMS;
    drive->outputs[place] = outputs[0];
    for (size_t i = 1; i < count; i++)
        tl_value_unref(outputs[i]);
    drive->usages[place] = *usage;
    drive->open--;
}

static void on_fail(void *context, struct tl_item *item, enum tl_status status, const char *message) {
    struct drive *drive = context;
    snprintf(drive->failure, sizeof drive->failure, "%s: %s", tl_status_name(status), message);
    drive->outputs[item->id % MOST_ITEMS] = NULL;
    drive->open--;
}

static void on_piece(void *context, struct tl_item *item, size_t position, struct tl_value *value) {
    (void)context, (void)item, (void)position;
    tl_value_unref(value);
}

static void on_delta(void *context, struct tl_item *item, const char *text, size_t length) {
    (void)context, (void)item, (void)text, (void)length;
}

static void on_notice(void *context, struct tl_item *item, const char *message) {
    (void)context, (void)item;
    fprintf(stderr, "decoding: %s\n", message);
}

static void fail(const char *what) {
    fprintf(stderr, "decoding: %s\n", what);
    exit(1);
}

/* Computes `count` items at once; takes the inputs, one each. */
static void compute(struct drive *drive, enum tl_primitive op, const struct tl_attributes *attributes,
                    struct tl_value **inputs, size_t count) {
    static uint64_t rounds;
    struct tl_item items[MOST_ITEMS], *all[MOST_ITEMS];
    const char *const names[] = {op == TL_OP_DECODE ? "kv" : "prompt"};
    rounds++;
    for (size_t i = 0; i < count; i++) {
        items[i] = (struct tl_item){.id = rounds * MOST_ITEMS + i,
                                    .op = op,
                                    .attributes = attributes,
                                    .label = tl_primitive_info(op)->name,
                                    .inputs = &inputs[i],
                                    .input_names = names,
                                    .input_count = 1};
        all[i] = &items[i];
    }
    drive->open = count;
    drive->engine->ops->submit(drive->engine, all, count);
    while (drive->open > 0)
        drive->engine->ops->step(drive->engine);
    for (size_t i = 0; i < count; i++)
        tl_value_unref(inputs[i]);
    if (drive->failure[0])
        fail(drive->failure);
}

static void open_engine(struct drive *drive, const struct arm *arm, const char *model, int threads) {
    drive->emit = (struct tl_emit){.context = drive,
                                   .done = on_done,
                                   .fail = on_fail,
                                   .piece = on_piece,
                                   .delta = on_delta,
                                   .notice = on_notice};
    json_t *settings = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:b, s:i}", "model", model, "threads", threads,
                                 "context_size", 1536, "parallel", MOST_ITEMS, "reserve", 128, "jump_forward",
                                 arm->jump ? atoi(arm->jump) : -1, "ask_first", !arm->asks_all, "lookup",
                                 arm->lookup ? atoi(arm->lookup) : 0);
    const struct tl_engine_ops *ops = tl_engine_find("llama");
    struct tl_error error;
    if (ops->create("llm", settings, &drive->engine, &error) != TL_OK ||
        ops->open(drive->engine, &drive->emit, &error) != TL_OK)
        fail(error.message);
    json_decref(settings);
}

/* ---- one question, one arm ---- */

/* What one decode, or those of a parallel list, took. */
struct outcome {
    double ms;
    uint64_t written, calls, forced, drafted, accepted, asked, refused;
    char *text; /* owned */
};

static struct tl_value *prompt_of(const struct ask *ask, const struct question *question, size_t number, bool open) {
    char end[16];
    snprintf(end, sizeof end, "%zu:", number + 1);
    bool passages = ask != &list && ask != &parallel_list;
    const char *const texts[] = {ask->before, passages ? question->passages : question->question, ask->after,
                                 passages ? question->question : ask->parallel ? end : ""};
    struct tl_prompt_part parts[5] = {{.role = TL_ROLE_SYSTEM, .text = ask->system, .length = strlen(ask->system)}};
    size_t count = 1;
    for (size_t i = 0; i < (open ? 2 : 4); i++)
        parts[count++] = (struct tl_prompt_part){
            .role = TL_ROLE_USER, .message = 1, .text = texts[i], .length = strlen(texts[i])};
    if (open)
        parts[count - 1].flags |= TL_PART_OPEN;
    return tl_value_prompt(parts, count);
}

static void read_outputs(struct drive *drive, size_t count, struct outcome *outcome) {
    struct tl_str text = TL_STR_INIT;
    for (size_t i = 0; i < count; i++) {
        const struct tl_usage *usage = &drive->usages[i];
        json_t *json = tl_value_to_json(drive->outputs[i]);
        char *dumped = json_dumps(json, JSON_ENCODE_ANY);
        tl_str_printf(&text, "%s\n", dumped);
        free(dumped);
        json_decref(json);
        tl_value_unref(drive->outputs[i]);
        outcome->written += usage->tokens_out;
        outcome->forced += usage->tokens_forced;
        outcome->drafted += usage->tokens_drafted;
        outcome->accepted += usage->tokens_accepted;
        outcome->asked += usage->tokens_asked;
        outcome->refused += usage->tokens_refused;
        /* Decodes that write side by side share their calls, unless their rows are faster one by one. */
        outcome->calls = usage->calls > outcome->calls ? usage->calls : outcome->calls;
    }
    outcome->text = tl_str_detach(&text);
}

static struct outcome write_one(struct drive *drive, const struct ask *ask, const struct question *question) {
    struct tl_arena arena;
    struct tl_attributes attributes = {0}, none = {0};
    tl_arena_init(&arena);
    tl_attributes_set_integer(&attributes, &arena, "max_tokens", ask->tokens);
    tl_attributes_set_string(&attributes, &arena, "format", ask->format);
    if (ask->schema)
        tl_attributes_set_string(&attributes, &arena, "schema", ask->schema);
    if (ask->parallel)
        tl_attributes_set_string(&attributes, &arena, "stop", "[\"\\n\"]");
    if (strcmp(ask->format, "list") == 0)
        tl_attributes_set_integer(&attributes, &arena, "item_tokens", 32);
    size_t count = ask->parallel ? MOST_ITEMS : 1;
    struct tl_value *inputs[MOST_ITEMS] = {prompt_of(ask, question, 0, true)};
    compute(drive, TL_OP_PARTIAL_PREFILL, &none, inputs, 1);
    struct tl_value *beginning = drive->outputs[0];
    struct outcome outcome = {0};
    uint64_t begin = tl_clock_now();
    for (size_t i = 0; i < count; i++)
        inputs[i] = prompt_of(ask, question, i, false);
    compute(drive, TL_OP_PREFILL, &none, inputs, count);
    memcpy(inputs, drive->outputs, sizeof inputs);
    compute(drive, TL_OP_DECODE, &attributes, inputs, count);
    outcome.ms = (double)(tl_clock_now() - begin) / (double)TL_NS_PER_MS;
    read_outputs(drive, count, &outcome);
    tl_value_unref(beginning);
    tl_arena_fini(&arena);
    return outcome;
}

/* ---- sums ---- */

struct sums {
    double ms[MOST_QUESTIONS][MOST_REPEATS];
    struct outcome total;             /* without ms */
    char *texts[MOST_QUESTIONS];      /* of the last repeat; owned */
};

static void add(struct sums *sums, size_t question, size_t repeat, struct outcome *outcome) {
    struct outcome *total = &sums->total;
    sums->ms[question][repeat] = outcome->ms;
    total->written += outcome->written;
    total->calls += outcome->calls;
    total->forced += outcome->forced;
    total->drafted += outcome->drafted;
    total->accepted += outcome->accepted;
    total->asked += outcome->asked;
    total->refused += outcome->refused;
    tl_mem_free(sums->texts[question]);
    sums->texts[question] = outcome->text;
}

static int by_ms(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double time_of(struct sums *sums, size_t questions, size_t repeats) {
    double ms = 0;
    for (size_t i = 0; i < questions; i++) {
        qsort(sums->ms[i], repeats, sizeof(double), by_ms);
        ms += repeats % 2 ? sums->ms[i][repeats / 2] : (sums->ms[i][repeats / 2 - 1] + sums->ms[i][repeats / 2]) / 2;
    }
    return ms;
}

static void report(const struct arm *arms, struct sums *sums, size_t count, size_t questions, size_t repeats) {
    printf("%-22s %7s %6s %7s %7s %8s %9s %9s %8s %6s %8s %6s\n", "", "tokens", "calls", "a call", "forced", "drafted",
           "accepted", "asked", "refused", "same", "ms", "ratio");
    double first = 0;
    for (size_t a = 0; a < count; a++) {
        const struct outcome *total = &sums[a].total;
        double ms = time_of(&sums[a], questions, repeats), n = (double)repeats;
        size_t same = 0;
        for (size_t i = 0; i < questions; i++)
            same += strcmp(sums[a].texts[i], sums[0].texts[i]) == 0;
        first = a == 0 ? ms : first;
        printf("%-22s %7.0f %6.0f %7.2f %7.0f %8.0f %9.0f %9.0f %8.0f %3zu/%-2zu %8.0f %6.2f\n", arms[a].name,
               (double)total->written / n, (double)total->calls / n, (double)total->written / (double)total->calls,
               (double)total->forced / n, (double)total->drafted / n, (double)total->accepted / n,
               (double)total->asked / n, (double)total->refused / n, same, questions, ms, ms / first);
    }
}

/* ---- a work ---- */

static void run(size_t work, const char *model, const struct question *questions, size_t question_count,
                size_t repeats, int threads) {
    const struct arm *arms = works[work].arms;
    struct drive *drives = tl_mem_zalloc(MOST_ARMS * sizeof *drives);
    struct sums *sums = tl_mem_zalloc(MOST_ARMS * sizeof *sums);
    size_t count = 0;
    while (count < MOST_ARMS && arms[count].name) {
        open_engine(&drives[count], &arms[count], model, threads);
        count++;
    }
    for (size_t pass = 0; pass <= repeats; pass++)
        for (size_t i = 0; i < question_count; i++)
            for (size_t k = 0; k < count; k++) {
                size_t a = (pass + i + k) % count;
                struct outcome outcome = write_one(&drives[a], arms[a].ask, &questions[i]);
                if (pass > 0)
                    add(&sums[a], i, pass - 1, &outcome);
                else
                    tl_mem_free(outcome.text);
            }
    printf("\n%s: %zu questions, medians of %zu\n", works[work].name, question_count, repeats);
    report(arms, sums, count, question_count, repeats);
    fflush(stdout);
    for (size_t a = 0; a < count; a++) {
        drives[a].engine->ops->close(drives[a].engine);
        drives[a].engine->ops->destroy(drives[a].engine);
        for (size_t i = 0; i < question_count; i++)
            tl_mem_free(sums[a].texts[i]);
    }
    tl_mem_free(drives);
    tl_mem_free(sums);
}

/* Reads [{"question", "passages": [text, ...]}, ...]. */
static size_t read_questions(const json_t *json, size_t most, struct question *questions) {
    size_t count = json_array_size(json) < most ? json_array_size(json) : most;
    for (size_t i = 0; i < count; i++) {
        const json_t *entry = json_array_get(json, i), *passages = json_object_get(entry, "passages");
        struct tl_str text = TL_STR_INIT;
        for (size_t k = 0; k < json_array_size(passages); k++)
            tl_str_printf(&text, "%s%s", k > 0 ? "\n\n" : "", json_string_value(json_array_get(passages, k)));
        questions[i].question = json_string_value(json_object_get(entry, "question"));
        questions[i].passages = tl_str_detach(&text);
        if (!questions[i].question)
            fail("passages.json: an entry without a question");
    }
    return count;
}

static size_t number(int count, char **arguments, int place, size_t otherwise, size_t least, size_t most) {
    size_t value = count > place ? strtoul(arguments[place], NULL, 10) : otherwise;
    return value < least ? least : value > most ? most : value;
}

int main(int count, char **arguments) {
    if (count < 2) {
        fprintf(stderr, "usage: decoding MODEL.gguf [QUESTIONS] [REPEATS] [THREADS]\n");
        return 2;
    }
    struct question questions[MOST_QUESTIONS];
    json_error_t problem;
    json_t *json = json_load_file(TEOLA_SOURCE_DIR "/bench/decoding/passages.json", 0, &problem);
    if (!json)
        fail(problem.text);
    size_t question_count = read_questions(json, number(count, arguments, 2, 4, 1, MOST_QUESTIONS), questions);
    for (size_t work = 0; work < WORKS; work++)
        run(work, arguments[1], questions, question_count, number(count, arguments, 3, 3, 1, MOST_REPEATS),
            (int)number(count, arguments, 4, 0, 0, 64));
    printf("\nWhat a parallel list does to retrieval: bench/parallel_lists/compare.py\n");
    for (size_t i = 0; i < question_count; i++)
        tl_mem_free(questions[i].passages);
    json_decref(json);
    return 0;
}
