/* schema.c: the JSON Schema of workflow files, for editors, made from the tables of the modules. It knows forms
 * and ranges; what refers to what only tl_workflow_parse can check. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "workflow/workflow_impl.h"

#define NAME_PATTERN "[A-Za-z_][A-Za-z0-9_]{0,63}"

/* json_pack for tables of our own, which always fit. */
static json_t *pack(const char *format, ...) {
    va_list args;
    va_start(args, format);
    json_error_t error;
    json_t *made = json_vpack_ex(&error, 0, format, args);
    va_end(args);
    if (made == NULL)
        TL_BUG("schema: %s", error.text);
    return made;
}

static json_t *definition(const char *name) {
    return pack("{s:s+}", "$ref", "#/$defs/", name);
}

static json_t *closed_object(json_t *properties, json_t *required) {
    return pack("{s:s, s:b, s:o, s:o}", "type", "object", "additionalProperties", 0, "properties", properties,
                "required", required);
}

/* A default as JSON: a number or boolean where the setting is one. */
static json_t *default_of(const struct tl_setting *setting) {
    if (setting->kind == TL_SETTING_INTEGER)
        return json_integer(strtoll(setting->otherwise, NULL, 10));
    if (setting->kind == TL_SETTING_NUMBER)
        return json_real(strtod(setting->otherwise, NULL));
    if (setting->kind == TL_SETTING_BOOL)
        return json_boolean(strcmp(setting->otherwise, "true") == 0);
    return json_string(setting->otherwise);
}

static json_t *number_schema(const struct tl_setting *setting) {
    bool whole = setting->kind == TL_SETTING_INTEGER;
    json_t *schema = pack("{s:s}", "type", whole ? "integer" : "number");
    json_object_set_new(schema, "minimum",
                        whole ? json_integer((json_int_t)setting->least) : json_real(setting->least));
    json_object_set_new(schema, "maximum", whole ? json_integer((json_int_t)setting->most) : json_real(setting->most));
    return schema;
}

static json_t *setting_schema(const struct tl_setting *setting) {
    json_t *schema = NULL, *choices;
    switch (setting->kind) {
    case TL_SETTING_INTEGER:
    case TL_SETTING_NUMBER:
        schema = number_schema(setting);
        break;
    case TL_SETTING_BOOL:
        schema = pack("{s:s}", "type", "boolean");
        break;
    case TL_SETTING_STRING:
        schema = pack("{s:s}", "type", "string");
        break;
    case TL_SETTING_STRINGS:
        schema = definition("texts");
        break;
    case TL_SETTING_CHOICE:
        choices = json_array();
        for (size_t i = 0; setting->choices[i] != NULL; i++)
            json_array_append_new(choices, json_string(setting->choices[i]));
        schema = pack("{s:o}", "enum", choices);
        break;
    case TL_SETTING_PROMPT:
        schema = definition("prompt");
        break;
    case TL_SETTING_JSON:
        schema = json_object();
        break;
    case TL_SETTING_REFERENCE:
        schema = definition("references");
        break;
    case TL_SETTING_INPUTS:
        schema = pack("{s:s, s:{s:s}, s:o}", "type", "object", "propertyNames", "pattern", "^" NAME_PATTERN "$",
                      "additionalProperties", definition("references"));
        break;
    }
    json_object_set_new(schema, "description", json_string(setting->description));
    if (setting->otherwise != NULL)
        json_object_set_new(schema, "default", default_of(setting));
    return schema;
}

static json_t *engines_schema(uint32_t roles) {
    json_t *properties = json_object();
    for (size_t i = 0; i < TL_ROLE_COUNT; i++)
        if ((roles & 1u << i) != 0)
            json_object_set_new(properties, tl_engine_roles[i].name,
                                pack("{s:s, s:s, s:s}", "$ref", "#/$defs/engine", "description",
                                     tl_engine_roles[i].description, "default", tl_engine_roles[i].name));
    return pack("{s:s, s:b, s:o}", "type", "object", "additionalProperties", 0, "properties", properties);
}

static json_t *step_schema(const struct tl_module *module) {
    json_t *required = pack("[s]", "module");
    json_t *properties = json_object();
    json_object_set_new(properties, "id", definition("name"));
    json_object_set_new(properties, "module", pack("{s:s}", "const", module->name));
    json_object_set_new(properties, "after", definition("ids"));
    json_object_set_new(properties, "engines", engines_schema(module->roles));
    for (size_t i = 0; i < module->setting_count; i++) {
        const struct tl_setting *setting = &module->settings[i];
        json_object_set_new(properties, setting->name, setting_schema(setting));
        if (setting->required)
            json_array_append_new(required, json_string(setting->name));
    }
    json_t *schema = closed_object(properties, required);
    json_object_set_new(schema, "description", json_string(module->description));
    return schema;
}

static json_t *input_schema(void) {
    json_t *types = pack("[s, s, s, s, s, s]", "text", "texts", "documents", "number", "bool", "json");
    json_t *object = closed_object(pack("{s:{s:O}, s:{s:s}, s:{s:s}}", "type", "enum", types, "optional", "type",
                                        "boolean", "description", "type", "string"),
                                   pack("[s]", "type"));
    return pack("{s:[{s:o}, o]}", "anyOf", "enum", types, object);
}

static json_t *definitions(void) {
    json_t *defs = json_object();
    json_object_set_new(defs, "name", pack("{s:s, s:s}", "type", "string", "pattern", "^" NAME_PATTERN "$"));
    json_object_set_new(defs, "engine",
                        pack("{s:s, s:s}", "type", "string", "pattern", "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"));
    json_object_set_new(defs, "reference",
                        pack("{s:s, s:s}", "type", "string", "pattern", "^\\$" NAME_PATTERN "(\\." NAME_PATTERN ")?$"));
    json_object_set_new(defs, "references",
                        pack("{s:[o, {s:s, s:i, s:i, s:o}]}", "anyOf", definition("reference"), "type", "array",
                             "minItems", 1, "maxItems", TL_WORKFLOW_REFERENCES_MAX, "items", definition("reference")));
    json_object_set_new(defs, "ids", pack("{s:[o, {s:s, s:o}]}", "anyOf", definition("name"), "type", "array", "items",
                                          definition("name")));
    json_object_set_new(
        defs, "texts",
        pack("{s:[{s:s}, {s:s, s:{s:s}}]}", "anyOf", "type", "string", "type", "array", "items", "type", "string"));
    json_t *file = closed_object(pack("{s:{s:s}}", "file", "type", "string"), pack("[s]", "file"));
    json_object_set_new(defs, "message", pack("{s:[{s:s}, o]}", "anyOf", "type", "string", file));
    json_t *messages = closed_object(pack("{s:o, s:o}", "system", definition("message"), "user", definition("message")),
                                     pack("[s]", "user"));
    json_object_set_new(defs, "prompt", pack("{s:[o, o]}", "anyOf", definition("message"), messages));
    json_object_set_new(defs, "input", input_schema());
    json_t *steps = json_array();
    for (size_t i = 0; i < tl_module_count; i++) {
        struct tl_str name = TL_STR_INIT;
        tl_str_printf(&name, "step_%s", tl_modules[i]->name);
        json_object_set_new(defs, name.data, step_schema(tl_modules[i]));
        json_array_append_new(steps, definition(name.data));
        tl_str_fini(&name);
    }
    json_object_set_new(defs, "step", pack("{s:o}", "anyOf", steps));
    return defs;
}

/* A mapping from names to `values`, with at least one. */
static json_t *named(const char *values) {
    return pack("{s:s, s:i, s:o, s:o}", "type", "object", "minProperties", 1, "propertyNames", definition("name"),
                "additionalProperties", definition(values));
}

void tl_workflow_schema(struct tl_str *out) {
    json_t *properties = json_object();
    json_object_set_new(properties, "name",
                        pack("{s:s, s:s, s:s}", "type", "string", "pattern", "^[A-Za-z0-9._-]{1,64}$", "description",
                             "what the workflow is called"));
    json_object_set_new(properties, "description", pack("{s:s}", "type", "string"));
    json_object_set_new(properties, "inputs", named("input"));
    json_object_set_new(properties, "engines", engines_schema((1u << TL_ROLE_COUNT) - 1));
    json_object_set_new(properties, "on_error",
                        pack("{s:[s, s], s:s, s:s}", "enum", "skip", "fail", "default", "skip", "description",
                             "what becomes of a list that a model wrote and that cannot be read to its end"));
    json_object_set_new(properties, "steps", pack("{s:s, s:i, s:i, s:o}", "type", "array", "minItems", 1, "maxItems",
                                                  TL_WORKFLOW_STEPS_MAX, "items", definition("step")));
    json_object_set_new(properties, "outputs", named("references"));
    json_t *root = closed_object(properties, pack("[s, s, s, s]", "name", "inputs", "steps", "outputs"));
    json_object_set_new(root, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    json_object_set_new(root, "title", json_string("Teola workflow"));
    json_object_set_new(root, "$defs", definitions());
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    tl_str_puts(out, text);
    tl_str_putc(out, '\n');
    free(text);
    json_decref(root);
}
