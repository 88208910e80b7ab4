/* main.c: the program `teola`: finds the command and calls it. A command is a row of the table here
 * and a file cmd_<name>.c. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "teola/teola.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *description;
};

static const struct command commands[] = {
    {"run", tl_cmd_run, "answer a question by a workflow"},
    {"index", tl_cmd_index, "put documents into a collection"},
    {"models", tl_cmd_models, "list, fetch and verify models"},
    {"explain", tl_cmd_explain, "show what becomes of a workflow before it runs"},
    {"draw", tl_cmd_draw, "draw a workflow's graph"},
    {"validate", tl_cmd_validate, "check workflow files"},
    {"bench", tl_cmd_bench, "measure throughput and latency"},
    {"emulate", tl_cmd_emulate, "serve emulated engines over HTTP"},
    {"sim", tl_cmd_sim, "simulate a load on a cluster"},
    {"profile", tl_cmd_profile, "measure what the engines' work takes on this machine"},
    {"doctor", tl_cmd_doctor, "check that everything needed is there"},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *stream) {
    fputs("Usage: teola COMMAND [OPTIONS]\n"
          "\n"
          "Teola runs LLM applications: workflows of search, reranking and language models, over your documents.\n"
          "\n",
          stream);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(stream, "  %-10s %s\n", commands[i].name, commands[i].description);
    fputs("  version    print the version\n"
          "  help       this text, or a command's: teola help COMMAND\n"
          "\n"
          "First steps:\n"
          "  teola models pull smollm2-135m-instruct-q8_0 all-minilm-l6-v2-f16\n"
          "  teola index DIR --collection docs\n"
          "  teola run naive-rag --collection docs --question \"...\"\n",
          stream);
}

static const struct command *find(const char *name) {
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int unknown(const char *name) {
    const char *names[COMMAND_COUNT + 2];
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    names[COMMAND_COUNT] = "version";
    names[COMMAND_COUNT + 1] = "help";
    const char *nearest = tl_str_nearest(name[0] == '-' ? name + strspn(name, "-") : name, names, COMMAND_COUNT + 2);
    const char *kind = name[0] == '-' ? "option" : "command";
    if (nearest)
        fprintf(stderr, "teola: there is no %s '%s'; did you mean '%s'?\n", kind, name, nearest);
    else
        fprintf(stderr, "teola: there is no %s '%s' (teola help lists the commands)\n", kind, name);
    return TL_EXIT_USAGE;
}

static int help(int argc, char **argv) {
    if (argc < 2) {
        print_help(stdout);
        return TL_EXIT_DONE;
    }
    const struct command *command = find(argv[1]);
    if (!command)
        return unknown(argv[1]);
    return command->run(2, (char *[]){argv[1], "--help", NULL});
}

static void read_log_level(void) {
    static const struct {
        const char *name;
        enum tl_log_level level;
    } levels[] = {{"error", TL_LOG_ERROR}, {"warn", TL_LOG_WARN}, {"info", TL_LOG_INFO}, {"debug", TL_LOG_DEBUG}};
    const char *name = getenv("TEOLA_LOG");
    for (size_t i = 0; name && i < sizeof levels / sizeof levels[0]; i++)
        if (strcmp(levels[i].name, name) == 0)
            tl_log_set_level(levels[i].level);
}

int main(int argc, char **argv) {
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN); /* a reader that has gone is an error of the write */
    read_log_level();
    if (argc < 2) {
        print_help(stderr);
        return TL_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0 || strcmp(name, "version") == 0) {
        printf("teola %s\n", tl_version());
        return TL_EXIT_DONE;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(argc - 1, argv + 1);
    const struct command *command = find(name);
    if (!command)
        return unknown(name);
    if (argc == 3 && strcmp(argv[2], "--version") == 0) {
        printf("teola %s\n", tl_version());
        return TL_EXIT_DONE;
    }
    return command->run(argc - 1, argv + 1);
}
