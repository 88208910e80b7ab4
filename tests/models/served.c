#include "models/served.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file_test_support.h"
#include "base/str.h"
#include "models/http.h"

extern char **environ;

static void set_path(const struct served *served, const char *variable, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", served->folder, name);
    assert_int_equal(setenv(variable, path, 1), 0);
}

static void set_up_environment(struct served *served) {
    static const char *const unwanted[] = {"HF_TOKEN", "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE", "TEOLA_OFFLINE",
                                           "TEOLA_MODELS_MANIFEST", "http_proxy", "https_proxy", "all_proxy",
                                           "HTTPS_PROXY"};
    for (size_t i = 0; i < sizeof unwanted / sizeof *unwanted; i++)
        unsetenv(unwanted[i]);
    snprintf(served->folder, sizeof served->folder, "/tmp/teola-models-test-XXXXXX");
    assert_non_null(mkdtemp(served->folder));
    set_path(served, "XDG_CACHE_HOME", "cache");
    set_path(served, "XDG_CONFIG_HOME", "config");
    set_path(served, "XDG_DATA_HOME", "data");
    set_path(served, "TEOLA_MODELS", "models");
    set_path(served, "HF_HOME", "hf");
}

static void read_greeting(struct served *served, int output) {
    char line[512];
    size_t length = 0;
    while (length < sizeof line - 1 && read(output, line + length, 1) == 1 && line[length] != '\n')
        length++;
    line[length] = '\0';
    json_t *json = json_loads(line, 0, NULL);
    assert_non_null(json);
    served->port = (unsigned)json_integer_value(json_object_get(json, "port"));
    served->size = (uint64_t)json_integer_value(json_object_get(json, "size"));
    snprintf(served->a, sizeof served->a, "%s", json_string_value(json_object_get(json, "a")));
    snprintf(served->b, sizeof served->b, "%s", json_string_value(json_object_get(json, "b")));
    json_decref(json);
}

void served_start(struct served *served) {
    const char *source = getenv("TEOLA_SOURCE_DIR"), *python = getenv("TEOLA_PYTHON");
    char script[512];
    int input[2], output[2];
    *served = (struct served){0};
    set_up_environment(served);
    assert_non_null(source);
    snprintf(script, sizeof script, "%s/tests/models/server.py", source);
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    if (python == NULL || python[0] == '\0')
        python = "python3";
    char *const argv[] = {(char *)(uintptr_t)python, script, NULL};
    assert_int_equal(posix_spawnp(&served->child, python, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(input[0]);
    close(output[1]);
    served->input = input[1];
    read_greeting(served, output[0]);
    close(output[0]);
}

void served_stop(struct served *served) {
    int result;
    close(served->input);
    waitpid(served->child, &result, 0);
    tl_file_test_remove(served->folder);
}

const char *served_url(const struct served *served, const char *path, char out[128]) {
    snprintf(out, 128, "http://127.0.0.1:%u/%s", served->port, path);
    return out;
}

json_t *served_log(const struct served *served) {
    char url[128];
    struct tl_str text = TL_STR_INIT;
    const struct tl_http_request request = {.url = served_url(served, "log", url)};
    assert_int_equal(tl_http_get_text(&request, 1 << 20, &text, NULL), TL_OK);
    json_t *log = json_loadb(text.data, text.length, 0, NULL);
    assert_true(json_is_array(log));
    tl_str_fini(&text);
    return log;
}

size_t served_requests(const struct served *served, const char *path) {
    json_t *log = served_log(served), *item;
    size_t index, count = 0;
    json_array_foreach(log, index, item) {
        if (strcmp(json_string_value(json_object_get(item, "path")), path) == 0)
            count++;
    }
    json_decref(log);
    return count;
}
