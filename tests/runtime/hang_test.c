/* hang_test.c: engines that do not answer: queries that need them fail or are answered by another instance, what the call
 * brings in the end disturbs nobody, the engine is opened again, and closing the runtime does not wait for ever.
 *
 * A call hangs on a FIFO until the test opens it for writing and closes it. `hang_after` is long enough that no call of
 * another engine takes as long, however busy the machine is. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "runtime/emulated.h"

static const char question[] = "{\"question\": \"Where does the amber river meet the coast?\"}";

static const uint64_t patience = 120 * TL_NS_PER_S;

struct fifo {
    char folder[32], path[48];
};

static void make(struct fifo *fifo) {
    snprintf(fifo->folder, sizeof fifo->folder, "/tmp/teola-hang-XXXXXX");
    assert_non_null(mkdtemp(fifo->folder));
    snprintf(fifo->path, sizeof fifo->path, "%s/fifo", fifo->folder);
    assert_int_equal(mkfifo(fifo->path, 0600), 0);
}

/* Whether a call hangs on it; if so, it does until *file is closed. */
static bool is_hanging(const struct fifo *fifo, int *file) {
    *file = open(fifo->path, O_WRONLY | O_NONBLOCK);
    assert_true(*file >= 0 || errno == ENXIO);
    return *file >= 0;
}

/* Returns when a call hangs on it. */
static int grasp(const struct fifo *fifo) {
    int file;
    for (uint64_t end = tl_clock_now() + patience; !is_hanging(fifo, &file); sched_yield())
        if (tl_clock_now() > end)
            fail_msg("no call hangs");
    return file;
}

/* Lets the call return; no other one hangs. */
static void let_go(const struct fifo *fifo, int file) {
    assert_int_equal(unlink(fifo->path), 0);
    assert_int_equal(rmdir(fifo->folder), 0);
    close(file);
}

/* An embedder with these settings; % in them is the FIFO. */
static struct tl_runtime *open_with(const char *settings, const struct fifo *fifo) {
    struct tl_str own = TL_STR_INIT;
    for (const char *at = settings; *at; at++)
        if (at[0] == '%')
            tl_str_puts(&own, fifo->path);
        else
            tl_str_putc(&own, *at);
    struct tl_runtime *runtime = open_with_own("prewarm: false\nhang_after: 3s\n", "embedder", own.data);
    tl_str_fini(&own);
    return runtime;
}

static struct tl_request ask_for_items(struct tl_runtime *runtime) {
    struct tl_request request = ask(load(runtime, "naive-rag"), question);
    request.flags = TL_REQUEST_ITEMS;
    return request;
}

/* The items of a finished run that the instance executed; none when the run failed since instances were lost. */
static size_t items_of(struct tl_runtime *runtime, tl_run_id run, const char *instance) {
    struct tl_error error = {0};
    char *text = NULL;
    size_t items = 0;
    if (tl_runtime_wait(runtime, run, &text, &error) == TL_OK) {
        json_t *result = json_loads(text, 0, NULL);
        items = items_on(result, instance);
        json_decref(result);
    } else if (!strstr(error.message, "lost")) {
        fail_msg("%s", error.message);
    }
    tl_free(text);
    return items;
}

/* Asks until a query is answered with the help of the instance. It is several at once, since one alone may always go to the
 * other instance: to the one that was open first. */
static void wait_for(struct tl_runtime *runtime, const struct tl_request *request, const char *instance) {
    uint64_t end = tl_clock_now() + patience;
    for (size_t items = 0; items == 0;) {
        tl_run_id runs[4];
        if (tl_clock_now() > end)
            fail_msg("%s does not come back", instance);
        for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
            runs[i] = submit(runtime, request);
        for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
            items += items_of(runtime, runs[i], instance);
    }
}

/* Two queries at once are answered by one of two instances. */
static void ask_two(struct tl_runtime *runtime, const struct tl_request *request) {
    tl_run_id runs[] = {submit(runtime, request), submit(runtime, request)};
    for (size_t i = 0; i < 2; i++) {
        json_t *result = finish(runtime, runs[i], TL_OK);
        assert_int_equal(items_on(result, "embedder#1"), 0);
        assert_int_equal(items_on(result, "embedder#2"), 1);
        json_decref(result);
    }
}

/* It is in a call that does not return. The first query may be over before the second one comes, and then the instance
 * that is well may have had both: it is asked until the other one has something, too. */
static void answered_by_another(const char *settings) {
    struct fifo fifo;
    int file;
    make(&fifo);
    struct tl_runtime *runtime = open_with(settings, &fifo);
    struct tl_request request = ask_for_items(runtime);
    uint64_t end = tl_clock_now() + patience;
    do {
        ask_two(runtime, &request);
        if (tl_clock_now() > end)
            fail_msg("embedder#1 is given nothing");
    } while (!is_hanging(&fifo, &file));
    let_go(&fifo, file);
    wait_for(runtime, &request, "embedder#1");
    tl_runtime_close(runtime);
}

static void another_instance_answers(void **state) {
    (void)state;
    answered_by_another(", batch: 1, instances: [{device: left, wait_for: \"%\"}, {device: right}]");
}

static void another_thread_answers(void **state) {
    (void)state;
    answered_by_another(", batch: 1, executor: pool, instances: [{wait_for: \"%\"}, {}]");
}

/* It returns from its call and keeps what it has; it can be opened anew at once, and is no better then. */
static void one_that_keeps_all_is_given_up(void **state) {
    (void)state;
    struct tl_runtime *runtime =
        open_with(", batch: 1, instances: [{device: left, hang: true}, {device: right}]", NULL);
    struct tl_request request = ask_for_items(runtime);
    ask_two(runtime, &request);
    tl_runtime_close(runtime);
}

/* The embedder shares its device with the llm, which is well. */
static void the_only_instance_fails_and_comes_back(void **state) {
    (void)state;
    struct fifo fifo;
    make(&fifo);
    struct tl_runtime *runtime = open_with(", device: llm, wait_for: \"%\"", &fifo);
    struct tl_request request = ask_for_items(runtime);
    json_t *result = finish(runtime, submit(runtime, &request), TL_ERR_ENGINE);
    assert_non_null(strstr(error_of(result), "on \"embedder\""));
    assert_non_null(strstr(error_of(result), "embedder has not answered for "));
    json_decref(result);
    result = finish(runtime, submit(runtime, &request), TL_ERR_ENGINE); /* at once */
    assert_non_null(strstr(error_of(result), "all instances of the engine are lost: embedder has not answered for "));
    json_decref(result);
    let_go(&fifo, grasp(&fifo));
    wait_for(runtime, &request, "embedder");
    tl_runtime_close(runtime);
}

/* ---- closing ---- */

static struct tl_runtime *left[2]; /* their memory stays, since threads may touch it */

static size_t threads(void) {
    size_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (const struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* Closed while a call is out that nobody has given up yet; the call returns when nobody expects it any more. */
static void closed_with_a_call_out(struct tl_runtime **runtime, const char *settings) {
    struct fifo fifo;
    size_t before = threads();
    make(&fifo);
    *runtime = open_with(settings, &fifo);
    struct tl_request request = ask_for_items(*runtime);
    submit(*runtime, &request);
    int file = grasp(&fifo);
    tl_runtime_close(*runtime);
    assert_true(threads() > before);
    let_go(&fifo, file);
    for (uint64_t end = tl_clock_now() + patience; threads() > before; sched_yield())
        if (tl_clock_now() > end)
            fail_msg("the thread does not end");
}

static void closing_leaves_a_thread(void **state) {
    (void)state;
    closed_with_a_call_out(&left[0], ", device: llm, wait_for: \"%\"");
}

static void closing_leaves_a_thread_of_the_pool(void **state) {
    (void)state;
    closed_with_a_call_out(&left[1], ", executor: pool, wait_for: \"%\"");
}

/* The call returns while the runtime is being closed, or after it has been given up: then nothing is left. */
static void closing_waits_for_what_returns(void **state) {
    (void)state;
    struct fifo fifo;
    size_t before = threads();
    make(&fifo);
    struct tl_runtime *runtime = open_with(", wait_for: \"%\"", &fifo);
    struct tl_request request = ask_for_items(runtime);
    json_decref(finish(runtime, submit(runtime, &request), TL_ERR_ENGINE));
    let_go(&fifo, grasp(&fifo));
    tl_runtime_close(runtime);
    assert_int_equal(threads(), before);
}

int main(void) {
    tl_log_set_level(TL_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_instance_answers),
        cmocka_unit_test(another_thread_answers),
        cmocka_unit_test(one_that_keeps_all_is_given_up),
        cmocka_unit_test(the_only_instance_fails_and_comes_back),
        cmocka_unit_test(closing_waits_for_what_returns),
        cmocka_unit_test(closing_leaves_a_thread),
        cmocka_unit_test(closing_leaves_a_thread_of_the_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
