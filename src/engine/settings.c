/* settings.c: see settings.h. */
#include "engine/settings.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

static const char *kind_name(const struct tl_setting *setting) {
    return setting->text      ? "a string"
           : setting->boolean ? "true or false"
           : setting->integer ? "an integer"
                              : "a number";
}

static enum tl_status read_one(const char *engine, const struct tl_setting *setting, const json_t *value,
                               struct tl_error *error) {
    if (setting->text && json_is_string(value)) {
        tl_mem_free(*setting->text);
        *setting->text = tl_mem_strdup(json_string_value(value));
        return TL_OK;
    }
    if (setting->boolean && json_is_boolean(value)) {
        *setting->boolean = json_is_true(value);
        return TL_OK;
    }
    bool fits = setting->integer ? json_is_integer(value) : setting->number && json_is_number(value);
    if (!fits)
        return tl_error_set(error, TL_ERR_INVALID, "engine type '%s': setting '%s' must be %s", engine, setting->name,
                            kind_name(setting));
    double number = json_number_value(value);
    if (!(number >= setting->minimum && number <= setting->maximum))
        return tl_error_set(error, TL_ERR_INVALID,
                            "engine type '%s': setting '%s' is %g, but must be from %.10g to %.10g", engine,
                            setting->name, number, setting->minimum, setting->maximum);
    if (setting->integer)
        *setting->integer = json_integer_value(value);
    else
        *setting->number = number;
    return TL_OK;
}

static enum tl_status refuse_unknown(const char *engine, const char *name, const struct tl_setting *table, size_t count,
                                     struct tl_error *error) {
    const char **names = tl_mem_alloc((count + 1) * sizeof *names);
    struct tl_str known = TL_STR_INIT;
    for (size_t i = 0; i < count; i++) {
        names[i] = table[i].name;
        tl_str_printf(&known, "%s%s", i ? ", " : "", table[i].name);
    }
    const char *nearest = tl_str_nearest(name, names, count);
    enum tl_status status =
        nearest ? tl_error_set(error, TL_ERR_INVALID, "engine type '%s' has no setting '%s'; did you mean '%s'?",
                               engine, name, nearest)
                : tl_error_set(error, TL_ERR_INVALID, "engine type '%s' has no setting '%s'; it has: %s", engine, name,
                               known.data);
    tl_mem_free(names);
    tl_str_fini(&known);
    return status;
}

enum tl_status tl_settings_read(const char *engine, const json_t *settings, const struct tl_setting *table,
                                size_t count, struct tl_error *error) {
    if (settings && !json_is_object(settings))
        return tl_error_set(error, TL_ERR_INVALID, "engine type '%s': the settings must be an object", engine);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)settings, name, value) {
        size_t at = 0;
        while (at < count && strcmp(table[at].name, name) != 0)
            at++;
        enum tl_status status = at < count ? read_one(engine, &table[at], value, error)
                                           : refuse_unknown(engine, name, table, count, error);
        if (status != TL_OK)
            return status;
    }
    for (size_t i = 0; i < count; i++)
        if (table[i].required && !json_object_get(settings, table[i].name))
            return tl_error_set(error, TL_ERR_INVALID, "engine type '%s': setting '%s' (%s) is missing", engine,
                                table[i].name, kind_name(&table[i]));
    return TL_OK;
}
