/* cmd_emulate.c: `teola emulate`: a server with the engines' latencies and without their models. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diagnostics.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "server/emulate.h"

#define DEFAULT_PORT 8090

static const char help[] =
    "Usage: teola emulate [OPTIONS]\n"
    "\n"
    "Answers on the routes of the OpenAI API (chat, completions, embeddings, rerank) and on /ingest, /search, "
    "/web_search\n"
    "and /tool as the configuration's engines of type emulated would: made-up but repeatable results, after the time "
    "that\n"
    "their latency models say. To time an orchestrator, this one or another, without models or a GPU.\n"
    "\n"
    "  -c, --config FILE        configuration with emulated engines, such as profiles/rtx3090.yaml\n"
    "      --set ENGINE.KEY=VALUE   change a setting\n"
    "      --listen ADDRESS:PORT    where to listen (127.0.0.1:8090); port 0: any free one\n"
    "      --trust-network      needed to listen on an address that other machines can reach\n"
    "  -h, --help               this text\n"
    "\n"
    "Prints the address when it is ready; GET /counters tells what was done. Ends with Ctrl-C.\n";

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},  {"set", required_argument, NULL, 's'},
    {"listen", required_argument, NULL, 'l'},  {"trust-network", no_argument, NULL, 't'},
    {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
};

static struct tl_emulate *serving;

static void on_signal(int signal) {
    (void)signal;
    tl_emulate_stop(serving);
}

/* "ADDRESS:PORT", "[ADDRESS]:PORT" or ":PORT". */
static bool read_address(const char *text, char **address, uint16_t *port) {
    const char *colon = strrchr(text, ':');
    char *end;
    if (!colon || colon[1] < '0' || colon[1] > '9')
        return false;
    unsigned long number = strtoul(colon + 1, &end, 10);
    if (*end || number > 65535)
        return false;
    *port = (uint16_t)number;
    const char *begin = text;
    size_t length = (size_t)(colon - text);
    if (length >= 2 && begin[0] == '[' && begin[length - 1] == ']') {
        begin++;
        length -= 2;
    }
    *address = length ? strndup(begin, length) : strdup("127.0.0.1");
    return true;
}

static bool is_loopback(const char *address) {
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 || strcmp(address, "localhost") == 0;
}

static int serve(const struct tl_config *config, const char *address, uint16_t port) {
    struct tl_error error;
    struct tl_emulate *server;
    if (tl_emulate_create(config, address, port, &server, &error) != TL_OK)
        return tl_cli_fail("emulate", &error);
    serving = server;
    struct sigaction action = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    printf(strchr(address, ':') ? "listening on http://[%s]:%u\n" : "listening on http://%s:%u\n", address,
           (unsigned)tl_emulate_port(server));
    fflush(stdout);
    tl_emulate_run(server);
    tl_emulate_destroy(server);
    return TL_EXIT_DONE;
}

int tl_cmd_emulate(int argc, char **argv) {
    struct tl_cli_list settings = {0};
    struct tl_config_options options = {0};
    char *address = strdup("127.0.0.1");
    uint16_t port = DEFAULT_PORT;
    bool trusted = false;
    int result = -1;
    opterr = 0;
    for (int option; result < 0 && (option = getopt_long(argc, argv, ":c:h", long_options, NULL)) != -1;) {
        switch (option) {
        case 'c': options.path = optarg; break;
        case 's': tl_cli_list_add(&settings, optarg); break;
        case 'l': {
            char *given = NULL;
            if (!read_address(optarg, &given, &port)) {
                result = tl_cli_wrong_use("emulate", "--listen '%s': expected ADDRESS:PORT, such as 127.0.0.1:8090",
                                          optarg);
                break;
            }
            free(address);
            address = given;
            break;
        }
        case 't': trusted = true; break;
        case 'h':
            fputs(help, stdout);
            result = TL_EXIT_DONE;
            break;
        default: result = tl_cli_wrong_option("emulate", option, argv, long_options); break;
        }
    }
    if (result < 0 && optind < argc)
        result = tl_cli_wrong_use("emulate", "unexpected argument '%s'", argv[optind]);
    if (result < 0 && !trusted && !is_loopback(address))
        result = tl_cli_wrong_use("emulate", "%s can be reached from other machines, and nobody is asked for a key: "
                                             "say --trust-network if that is meant", address);
    if (result < 0) {
        struct tl_diagnostics findings;
        struct tl_str text = TL_STR_INIT;
        options.settings = settings.items;
        options.setting_count = settings.count;
        tl_diagnostics_init(&findings, options.path ? options.path : "");
        struct tl_config *config = tl_config_load(&options, &findings);
        tl_diagnostics_print(&findings, &text);
        fputs(text.data, stderr);
        tl_str_fini(&text);
        result = config ? serve(config, address, port) : TL_EXIT_USAGE;
        tl_config_destroy(config);
        tl_diagnostics_fini(&findings);
    }
    free(address);
    tl_cli_list_fini(&settings);
    return result;
}
