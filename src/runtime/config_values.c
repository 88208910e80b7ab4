/* config_values.c: what is written, in the file or elsewhere, as JSON values, which is what engines take and what
 * sources are laid over one another as. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "runtime/config_internal.h"

static bool is_integer(const char *text) {
    const char *at = text + (*text == '-' || *text == '+');
    if (*at == '\0' || (*at == '0' && at[1] != '\0'))
        return false;
    return at[strspn(at, "0123456789")] == '\0';
}

static bool is_decimal(const char *text) {
    const char *at = text + (*text == '-' || *text == '+');
    size_t whole = strspn(at, "0123456789");
    at += whole;
    size_t fraction = 0;
    if (*at == '.') {
        at++;
        fraction = strspn(at, "0123456789");
        at += fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '-' || *at == '+';
        size_t exponent = strspn(at, "0123456789");
        if (exponent == 0)
            return false;
        at += exponent;
    }
    return *at == '\0';
}

/* NULL from json_string means text that is not UTF-8, as an environment variable may be. */
static json_t *string_or_null(const char *text) {
    json_t *string = json_string(text);
    return string ? string : json_null();
}

json_t *tl_config_scalar(const char *text) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        if (strcmp(text, nulls[i]) == 0)
            return json_null();
    if (strcmp(text, "true") == 0 || strcmp(text, "True") == 0 || strcmp(text, "TRUE") == 0)
        return json_true();
    if (strcmp(text, "false") == 0 || strcmp(text, "False") == 0 || strcmp(text, "FALSE") == 0)
        return json_false();
    if (is_integer(text)) {
        errno = 0;
        long long value = strtoll(text, NULL, 10);
        if (errno == 0)
            return json_integer(value);
    }
    if (is_decimal(text)) {
        double value = strtod(text, NULL);
        if (isfinite(value))
            return json_real(value);
    }
    return string_or_null(text);
}

/* Replaces ${NAME} and ${NAME:-otherwise}; $$ is a dollar. A variable that is not set is a finding. */
static json_t *substituted(const struct tl_yaml_node *node, struct tl_diagnostics *findings) {
    struct tl_str out = TL_STR_INIT;
    for (const char *at = node->text; *at; at++) {
        if (at[0] == '$' && at[1] == '$') {
            tl_str_putc(&out, *at++);
            continue;
        }
        const char *end = at[0] == '$' && at[1] == '{' ? strchr(at, '}') : NULL;
        if (!end) {
            tl_str_putc(&out, *at);
            continue;
        }
        char *name = tl_mem_strndup(at + 2, (size_t)(end - at) - 2);
        char *otherwise = strstr(name, ":-");
        if (otherwise) {
            *otherwise = '\0';
            otherwise += 2;
        }
        const char *value = getenv(name);
        if ((!value || !*value) && otherwise)
            value = otherwise;
        if (value)
            tl_str_puts(&out, value);
        else
            tl_yaml_error(findings, node, "the environment variable %s is not set; set it, or write ${%s:-otherwise}",
                          name, name);
        tl_mem_free(name);
        at = end;
    }
    json_t *string = string_or_null(out.data);
    tl_str_fini(&out);
    return string;
}

json_t *tl_config_json(const struct tl_yaml_node *node, struct tl_diagnostics *findings) {
    if (node->kind == TL_YAML_MAP) {
        json_t *object = json_object();
        for (size_t i = 0; i < node->count; i++)
            json_object_set_new(object, node->entries[i].key->text, tl_config_json(node->entries[i].value, findings));
        return object;
    }
    if (node->kind == TL_YAML_LIST) {
        json_t *array = json_array();
        for (size_t i = 0; i < node->count; i++)
            json_array_append_new(array, tl_config_json(node->items[i], findings));
        return array;
    }
    if (strchr(node->text, '$'))
        return substituted(node, findings);
    return node->plain ? tl_config_scalar(node->text) : string_or_null(node->text);
}
