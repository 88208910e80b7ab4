/* reference.c: the tables of the modules as Markdown: the reference part of docs/workflow.md. */
#include <string.h>

#include "workflow/workflow_impl.h"

static void put_roles(const struct tl_module *module, struct tl_str *out) {
    bool first = true;
    for (size_t i = 0; i < TL_ROLE_COUNT; i++) {
        if ((module->roles & 1u << i) == 0)
            continue;
        tl_str_printf(out, "%s`%s`", first ? "" : ", ", tl_engine_roles[i].name);
        first = false;
    }
}

static void put_types(const struct tl_setting *setting, struct tl_str *out) {
    static const char *const one[TL_TYPE_COUNT] = {
        [TL_TYPE_TEXT] = "a text", [TL_TYPE_INDEX] = "a collection"};
    static const char *const many[TL_TYPE_COUNT] = {
        [TL_TYPE_TEXT] = "texts", [TL_TYPE_DOCUMENT] = "documents", [TL_TYPE_VECTOR] = "vectors",
        [TL_TYPE_HIT] = "hits",   [TL_TYPE_NUMBER] = "numbers",     [TL_TYPE_BOOL] = "bools",
        [TL_TYPE_JSON] = "JSON"};
    const char *const *names = setting->single ? one : many;
    bool first = true;
    for (size_t i = 0; i < TL_TYPE_COUNT; i++) {
        if ((setting->accepts & 1u << i) == 0 || names[i] == NULL)
            continue;
        tl_str_printf(out, "%s%s", first ? "" : ", ", names[i]);
        first = false;
    }
}

static void put_kind(const struct tl_setting *setting, struct tl_str *out) {
    switch (setting->kind) {
    case TL_SETTING_INTEGER:
        tl_str_printf(out, "whole number, %.12g to %.12g", setting->least, setting->most);
        break;
    case TL_SETTING_NUMBER:
        tl_str_printf(out, "number, %.12g to %.12g", setting->least, setting->most);
        break;
    case TL_SETTING_BOOL:
        tl_str_puts(out, "`true`, `false`");
        break;
    case TL_SETTING_STRING:
        tl_str_puts(out, "text");
        break;
    case TL_SETTING_STRINGS:
        tl_str_puts(out, "text or list of texts");
        break;
    case TL_SETTING_CHOICE:
        for (size_t i = 0; setting->choices[i] != NULL; i++)
            tl_str_printf(out, "%s`%s`", i > 0 ? ", " : "", setting->choices[i]);
        break;
    case TL_SETTING_PROMPT:
        tl_str_puts(out, "prompt");
        break;
    case TL_SETTING_JSON:
        tl_str_puts(out, "JSON written as YAML, or `{file: path}`");
        break;
    case TL_SETTING_REFERENCE:
        tl_str_puts(out, setting->single ? "reference to " : "references to ");
        put_types(setting, out);
        break;
    case TL_SETTING_INPUTS:
        tl_str_puts(out, "names with references to ");
        put_types(setting, out);
        break;
    }
}

static void put_setting(const struct tl_module *module, const struct tl_setting *setting, struct tl_str *out) {
    tl_str_printf(out, "| `%s` | ", setting->name);
    put_kind(setting, out);
    if (setting->required)
        tl_str_puts(out, " | required");
    else if (setting->otherwise == NULL)
        tl_str_puts(out, setting->kind == TL_SETTING_PROMPT ? " | see below" : " | none");
    else
        tl_str_printf(out, " | `%s`", setting->otherwise);
    tl_str_printf(out, " | %s", setting->description);
    if (setting->modes != NULL) {
        tl_str_printf(out, " (%s ", tl_module_selector(module));
        tl_setting_put_modes(setting, out);
        tl_str_putc(out, ')');
    }
    tl_str_puts(out, " |\n");
}

/* The names that a prompt may use, and the prompt that stands for it when none is written. */
static void put_form(const struct tl_setting *setting, const struct tl_prompt_form *form, struct tl_str *out) {
    tl_str_printf(out, "\n`%s`", setting->name);
    if (form->mode != NULL)
        tl_str_printf(out, " in mode `%s`", form->mode);
    if (form->parallel)
        tl_str_puts(out, " with `parallel: true`");
    tl_str_puts(out, " may use:\n\n");
    for (const struct tl_placeholder *name = form->placeholders; name->name != NULL; name++)
        tl_str_printf(out, "- `{%s}`: %s\n", name->name, name->description);
    tl_str_printf(out, "\nand is, unless written:\n\n```\nsystem: %s\nuser:\n", form->system);
    for (const char *at = form->user; *at != '\0';) {
        size_t length = strcspn(at, "\n");
        tl_str_printf(out, "%s%.*s\n", length > 0 ? "  " : "", (int)length, at);
        at += length + (at[length] == '\n' ? 1 : 0);
    }
    tl_str_puts(out, "```\n");
}

static void put_module(const struct tl_module *module, struct tl_str *out) {
    tl_str_printf(out, "### %s\n\n%s\nEngines: ", module->name, module->description);
    put_roles(module, out);
    tl_str_puts(out, ".\n\n| setting | value | default | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < module->setting_count; i++)
        put_setting(module, &module->settings[i], out);
    tl_str_puts(out, "\n| output | type | meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < module->output_count; i++)
        tl_str_printf(out, "| `%s` | %s | %s |\n", module->outputs[i].name, module->outputs[i].type,
                      module->outputs[i].description);
    for (size_t i = 0; i < module->setting_count; i++)
        for (const struct tl_prompt_form *form = module->settings[i].forms; form != NULL && form->placeholders != NULL;
             form++)
            put_form(&module->settings[i], form, out);
    tl_str_putc(out, '\n');
}

void tl_module_reference(struct tl_str *out) {
    for (size_t i = 0; i < tl_module_count; i++)
        put_module(tl_modules[i], out);
}
