/* server_target_test.c: what the benchmark's client makes of a server's streams: a thread that answers each connection with
 * a prepared text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "bench/server_target.h"
#include "bench/summary.h"

struct served {
    int listener;
    const char *answers[4]; /* one for each connection, in turn; NULL ends */
    struct tl_str requests; /* all that was sent */
};

static void read_request(int connection, struct tl_str *all) {
    char buffer[4096];
    size_t from = all->length, need = 0;
    while (need == 0 || all->length < need) {
        ssize_t got = recv(connection, buffer, sizeof buffer, 0);
        if (got <= 0)
            return;
        tl_str_append(all, buffer, (size_t)got);
        const char *end = strstr(all->data + from, "\r\n\r\n"), *length = strstr(all->data + from, "Content-Length:");
        if (end && length)
            need = (size_t)(end - all->data) + 4 + (size_t)strtoul(length + 15, NULL, 10);
    }
}

static void *serve(void *context) {
    struct served *served = context;
    for (size_t i = 0; i < 4 && served->answers[i]; i++) {
        int connection = accept(served->listener, NULL, NULL);
        read_request(connection, &served->requests);
        const char *answer = served->answers[i];
        for (size_t at = 0, length = strlen(answer); at < length;) { /* cut anywhere */
            size_t part = length - at < 7 ? length - at : 7;
            if (send(connection, answer + at, part, MSG_NOSIGNAL) < 0)
                break;
            at += part;
        }
        shutdown(connection, SHUT_WR);
        close(connection);
    }
    return NULL;
}

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define CHAT(text) "data: {\"choices\":[{\"delta\":{\"content\":" text "}}]}\n\n"
#define USAGE                                                                                                          \
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":41,\"completion_tokens\":3,"                                   \
    "\"prompt_tokens_details\":{\"cached_tokens\":11}}}\r\n\r\n"
#define END "data: [DONE]\n\n"

/* Runs a load of `requests` against the prepared answers. */
static void run(struct served *served, size_t requests, bool completions, struct tl_bench_summary *summary,
                char *message) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    pthread_t thread;
    char url[64];
    tl_str_init(&served->requests);
    served->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(served->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(served->listener, 8), 0);
    assert_int_equal(getsockname(served->listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve, served), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(address.sin_port));

    const struct tl_bench_server server = {.url = url, .model = "m", .key = "secret", .completions = completions};
    const struct tl_bench_mix mix = {
        .requests = (uint32_t)requests, .prompt = {12, 12}, .output = {3, 3}, .concurrency = 1};
    struct tl_bench_target *target;
    struct tl_bench_load load;
    struct tl_bench_drive drive;
    struct tl_error error;
    assert_int_equal(tl_bench_server_target_open(&server, &target, &error), TL_OK);
    assert_int_equal(tl_bench_load_make(&mix, 1, 0, &load, &error), TL_OK);
    assert_int_equal(tl_bench_drive_run(&drive, &load, 1, target, NULL, &error), TL_OK);
    tl_bench_summarize(&drive, summary);
    snprintf(message, 512, "%s", drive.records[requests - 1].message ? drive.records[requests - 1].message : "");
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
    target->close(target);
    pthread_join(thread, NULL);
    close(served->listener);
}

static void test_a_stream(void **state) {
    (void)state;
    struct served served = {.answers = {HEAD CHAT("null") CHAT("\"a\"") CHAT("\"\"") ": a comment\n\n" CHAT("\"b\"")
                                            USAGE END}};
    struct tl_bench_summary summary;
    char message[512];
    run(&served, 1, false, &summary, message);
    assert_string_equal(message, "");
    assert_int_equal((int)summary.requests, 1);
    assert_int_equal((int)summary.asked, 41);
    assert_int_equal((int)summary.reused, 11);
    assert_int_equal((int)summary.computed, 30);
    assert_int_equal((int)summary.written, 3);
    assert_non_null(strstr(served.requests.data, "POST /v1/chat/completions HTTP/1.1"));
    assert_non_null(strstr(served.requests.data, "Authorization: Bearer secret"));
    assert_non_null(strstr(served.requests.data, "\"ignore_eos\":true"));
    assert_non_null(strstr(served.requests.data, "\"max_tokens\":3"));
    tl_str_fini(&served.requests);
}

/* llama-server's timings are believed before what it says of its cache elsewhere. */
static void test_plain_text(void **state) {
    (void)state;
    struct served served = {
        .answers = {HEAD "data: {\"choices\":[{\"text\":\"x\"}]}\n\n"
                         "data: {\"choices\":[{\"text\":\"\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1},"
                         "\"timings\":{\"cache_n\":4}}\n\n" END}};
    struct tl_bench_summary summary;
    char message[512];
    run(&served, 1, true, &summary, message);
    assert_string_equal(message, "");
    assert_int_equal((int)summary.computed, 5);
    assert_non_null(strstr(served.requests.data, "POST /v1/completions HTTP/1.1"));
    assert_non_null(strstr(served.requests.data, "\"prompt\":\""));
    tl_str_fini(&served.requests);
}

static void fails(const char *answer, const char *words) {
    struct served served = {.answers = {HEAD CHAT("\"a\"") USAGE END, answer}};
    struct tl_bench_summary summary;
    char message[512];
    run(&served, 2, false, &summary, message);
    assert_int_equal((int)summary.failed, 1);
    assert_int_equal((int)summary.requests, 1);
    if (!strstr(message, words))
        fail_msg("\"%s\" says nothing of \"%s\"", message, words);
    tl_str_fini(&served.requests);
}

static void test_what_goes_wrong(void **state) {
    (void)state;
    fails(HEAD CHAT("\"a\""), "ended before it was complete");
    fails(HEAD "data: {\"error\":{\"message\":\"too long\"}}\n\n" END, "too long");
    fails(HEAD "data: nonsense\n\n" END, "not JSON");
    fails("HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\nloading", "status 503: loading");
    fails("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ndata: {}", "127.0.0.1");
}

static void test_no_url(void **state) {
    (void)state;
    static const char *const wrong[] = {"", "host", "ftp://host", "file:///etc/passwd"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tl_bench_target *target;
        struct tl_error error;
        const struct tl_bench_server server = {.url = wrong[i]};
        assert_int_equal(tl_bench_server_target_open(&server, &target, &error), TL_ERR_INVALID);
        assert_null(target);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream),
        cmocka_unit_test(test_plain_text),
        cmocka_unit_test(test_what_goes_wrong),
        cmocka_unit_test(test_no_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
