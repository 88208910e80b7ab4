/* bench_arm.c: see bench_arm.h. */
#include "cli/bench_arm.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"

static int take_word(const char *command, const char *word, struct tl_cli_arm *arm) {
    struct tl_error error;
    if (word[0] == '-' || word[0] == '+') {
        tl_cli_list_add(&arm->passes, word);
        return tl_opt_check_pass(word, &error) == TL_OK ? TL_EXIT_DONE : tl_cli_fail(command, &error);
    }
    if (strchr(word, '=')) {
        tl_cli_list_add(&arm->settings, word);
        return TL_EXIT_DONE;
    }
    if (tl_optimize_parse(word, &arm->optimize))
        return TL_EXIT_DONE;
    return tl_cli_wrong_use(command, "--arm: '%s' is neither off, paper or cost, nor -PASS or +PASS, nor SETTING=VALUE",
                            word);
}

int tl_cli_arm_parse(const char *command, const char *text, struct tl_cli_arm *arm) {
    *arm = (struct tl_cli_arm){.name = tl_mem_strdup(text), .words = tl_mem_strdup(text)};
    int result = TL_EXIT_DONE;
    for (char *word = arm->words, *next; word && result == TL_EXIT_DONE; word = next) {
        next = strchr(word, ',');
        if (next)
            *next++ = '\0';
        word += strspn(word, " ");
        result = take_word(command, word, arm);
    }
    return result;
}

void tl_cli_arm_fini(struct tl_cli_arm *arm) {
    tl_mem_free(arm->name);
    tl_mem_free(arm->words);
    tl_cli_list_fini(&arm->passes);
    tl_cli_list_fini(&arm->settings);
}
