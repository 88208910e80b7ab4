/* prompt.c: a prompt as the user writes it → the template attribute of `render`.
 *
 *     prompt: text with {names}                     one message of the user
 *     prompt: {file: prompts/answer.txt}            the same, from a file
 *     prompt: {system: ..., user: ...}              two messages; each may be {file: ...} too
 *
 * White space around a message is dropped (a block scalar ends with a newline that no model should see).
 * Prompt files lie in the workflow's directory or below it, also after symbolic links are followed. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/utf8.h"
#include "builtin/builtin.h"
#include "workflow/workflow_impl.h"

#define PROMPT_BYTES (256 * 1024)

/* Whether `path` is inside `directory`; both without links and "..". */
static bool is_inside(const char *path, const char *directory) {
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 &&
           (path[length] == '/' || (length > 0 && directory[length - 1] == '/'));
}

/* Finds the file; false after a finding. `resolved` has PATH_MAX bytes. */
static bool find_file(struct tl_check *check, const struct tl_yaml_node *source, const char *what, const char *name,
                      char *resolved) {
    if (check->directory == NULL) {
        tl_check_error(check, source, "%s: files cannot be read here; expected the text itself", what);
        return false;
    }
    char directory[PATH_MAX];
    struct tl_str path = TL_STR_INIT;
    tl_str_printf(&path, "%s/%s", check->directory, name);
    bool found = realpath(check->directory, directory) != NULL && realpath(path.data, resolved) != NULL;
    tl_str_fini(&path);
    if (name[0] == '/' || (found && !is_inside(resolved, directory)))
        tl_check_error(check, source,
                       "%s: the file '%.128s' is outside the directory of the workflow; expected a path in it", what,
                       name);
    else if (!found)
        tl_check_error(check, source, "%s: there is no file '%.128s' in the directory of the workflow", what, name);
    else
        return true;
    return false;
}

bool tl_check_read_file(struct tl_check *check, const struct tl_yaml_node *source, const char *what, const char *name,
                        struct tl_str *text) {
    char resolved[PATH_MAX];
    if (!find_file(check, source, what, name, resolved))
        return false;
    struct tl_error error;
    size_t start = text->length;
    if (tl_file_read(resolved, PROMPT_BYTES, text, &error) != TL_OK) {
        tl_check_error(check, source, "%s: %s", what, error.message);
        return false;
    }
    const char *data = text->data + start;
    size_t length = text->length - start;
    tl_sha256_update(check->digest, name, strlen(name) + 1);
    tl_sha256_update(check->digest, &length, sizeof length);
    tl_sha256_update(check->digest, data, length);
    if (memchr(data, '\0', length) != NULL || !tl_utf8_is_valid(data, length)) {
        tl_check_error(check, source, "%s: the file '%.128s' is not UTF-8 text", what, name);
        return false;
    }
    return true;
}

/* Appends the text of a message; false after a finding. */
static bool read_message(struct tl_check *check, const struct tl_yaml_node *source, const char *what,
                         struct tl_str *text) {
    const char *expected = "a text, or {file: path}";
    if (source->kind != TL_YAML_MAP) {
        const char *inline_text = tl_check_text(check, source, what, expected);
        if (inline_text != NULL)
            tl_str_puts(text, inline_text);
        return inline_text != NULL;
    }
    const struct tl_yaml_node *file = tl_yaml_get(source, "file");
    if (file == NULL || source->count != 1) {
        tl_check_error(check, source, "%s: expected %s, found a mapping with other keys", what, expected);
        return false;
    }
    const char *name = tl_check_text(check, file, what, "the path of a file");
    return name != NULL && tl_check_read_file(check, file, what, name, text);
}

/* Appends ["role","text"], the text without white space around it. */
static void put_message(struct tl_str *template, const char *role, const char *text, size_t length) {
    const char *blank = " \t\r\n";
    while (length > 0 && strchr(blank, text[length - 1]) != NULL)
        length--;
    while (length > 0 && strchr(blank, *text) != NULL) {
        text++;
        length--;
    }
    tl_str_printf(template, "%s[\"%s\",", template->length > 1 ? "," : "", role);
    tl_str_put_json(template, text, length);
    tl_str_putc(template, ']');
}

/* Reads {system: ..., user: ...} into a template. */
static bool read_messages(struct tl_check *check, const struct tl_yaml_node *source, const char *what,
                          struct tl_str *template) {
    static const char *const roles[] = {"system", "user"};
    bool good = true;
    for (size_t i = 0; i < source->count; i++) {
        const struct tl_yaml_node *key = source->entries[i].key;
        if (strcmp(key->text, "system") == 0 || strcmp(key->text, "user") == 0)
            continue;
        struct tl_str help = TL_STR_INIT;
        tl_check_suggest(&help, key->text, "expected one of", roles, 2);
        tl_check_error(check, key, "%s: unknown key '%.64s'%s", what, key->text, help.data);
        tl_str_fini(&help);
        good = false;
    }
    for (size_t i = 0; i < 2; i++) {
        const struct tl_yaml_node *message = tl_yaml_get(source, roles[i]);
        if (message == NULL && i == 1) {
            tl_check_error(check, source, "%s: the key 'user' is missing; expected the text of the user's message",
                           what);
            good = false;
        }
        if (message == NULL)
            continue;
        struct tl_str text = TL_STR_INIT;
        if (read_message(check, message, what, &text))
            put_message(template, roles[i], text.data, text.length);
        else
            good = false;
        tl_str_fini(&text);
    }
    return good;
}

/* ---- names in braces ---- */

static const struct tl_prompt_form *find_form(const struct tl_step *step, const struct tl_setting *setting) {
    bool parallel = tl_step_is_parallel(step);
    for (const struct tl_prompt_form *form = setting->forms; form->placeholders != NULL; form++)
        if (form->parallel == parallel &&
            (form->mode == NULL || strcmp(form->mode, tl_step_value(step, "mode")->string) == 0))
            return form;
    return NULL;
}

/* What every prompt of a list that is written in parallel may use. */
static const char *const parallel_names[] = {"number", "count"};
#define PARALLEL_NAMES (sizeof parallel_names / sizeof parallel_names[0])

static bool is_among(const char *name, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* The names that the prompt may use, NULL-terminated; of `inputs` when the setting has no forms. */
static const char **list_names(struct tl_check *check, const struct tl_step *step, const struct tl_prompt_form *form,
                               size_t *count) {
    const struct tl_setting_value *inputs = form == NULL ? tl_step_value(step, "inputs") : NULL;
    size_t most = inputs != NULL ? inputs->reference_count : 0;
    for (size_t i = 0; form != NULL && form->placeholders[i].name != NULL; i++)
        most++;
    const char **names = tl_arena_alloc(&check->workflow->arena, (most + PARALLEL_NAMES + 1) * sizeof *names);
    *count = 0;
    for (size_t i = 0; i < most; i++) {
        const char *name = form != NULL ? form->placeholders[i].name : inputs->references[i].name;
        if (*count == 0 || strcmp(names[*count - 1], name) != 0)
            names[(*count)++] = name;
    }
    for (size_t i = 0; form == NULL && tl_step_is_parallel(step) && i < PARALLEL_NAMES; i++)
        if (!is_among(parallel_names[i], names, *count))
            names[(*count)++] = parallel_names[i];
    return names;
}

static void check_names(struct tl_check *check, const struct tl_step *step, const struct tl_prompt_form *form,
                        const char *what, const struct tl_yaml_node *source, const struct tl_template *template) {
    size_t count;
    const char **names = list_names(check, step, form, &count);
    const char *const *used;
    size_t used_count = tl_template_names(template, &used);
    for (size_t i = 0; i < used_count; i++) {
        if (is_among(used[i], names, count))
            continue;
        struct tl_str help = TL_STR_INIT;
        tl_check_suggest(&help, used[i], "it may use", names, count);
        tl_check_error(check, source, "%s: the prompt uses {%s}, which it does not have%s", what, used[i], help.data);
        tl_str_fini(&help);
    }
    for (size_t i = 0; i < count; i++) {
        bool needed = form != NULL ? form->placeholders[i].needed : names[i] != parallel_names[1];
        if (needed && !is_among(names[i], used, used_count))
            tl_check_warning(check, source, "%s: the prompt does not use {%s}", what, names[i]);
    }
}

void tl_check_prompt(struct tl_check *check, const struct tl_step *step, const struct tl_setting *setting,
                     const char *what, struct tl_setting_value *value) {
    const struct tl_yaml_node *source = value->source;
    /* Without a known mode it is not known which form the prompt should have; the mode has been reported. */
    bool needs_mode = setting->forms != NULL && setting->forms[0].mode != NULL;
    if (needs_mode && tl_step_value(step, "mode")->string == NULL)
        return;
    const struct tl_prompt_form *form = setting->forms != NULL ? find_form(step, setting) : NULL;
    struct tl_str template = TL_STR_INIT, text = TL_STR_INIT;
    bool good = true;
    tl_str_putc(&template, '[');
    if (source == NULL) {
        put_message(&template, "system", form->system, strlen(form->system));
        put_message(&template, "user", form->user, strlen(form->user));
    } else if (source->kind == TL_YAML_MAP && tl_yaml_get(source, "file") == NULL) {
        good = read_messages(check, source, what, &template);
    } else {
        good = read_message(check, source, what, &text);
        if (good)
            put_message(&template, "user", text.data, text.length);
    }
    tl_str_putc(&template, ']');

    struct tl_template *parsed = NULL;
    struct tl_error error;
    if (good && tl_template_parse(template.data, &parsed, &error) != TL_OK)
        tl_check_error(check, source, "%s: %s", what, error.message);
    if (parsed != NULL && source != NULL)
        check_names(check, step, form, what, source, parsed);
    tl_template_destroy(parsed);
    value->string = tl_arena_strdup(&check->workflow->arena, template.data);
    tl_str_fini(&template);
    tl_str_fini(&text);
}
