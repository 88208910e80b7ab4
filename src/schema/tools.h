/* tools.h: calls of tools as models write them: the ways of the usual families of chat templates, read and
 * written. A call is {"name": ..., "arguments": {...}} in all of them; they differ in what stands around it.
 *
 *     HERMES   <tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>     Hermes, Qwen, SmolLM2, ...
 *     MISTRAL  [TOOL_CALLS][{"name": "f", "arguments": {}}]                  also [TOOL_CALLS]f[ARGS]{}
 *     LLAMA    {"name": "f", "parameters": {}}                               Llama 3; also behind <|python_tag|>
 *     PLAIN    {"name": "f", "arguments": {}}                                everything else */
#ifndef TL_SCHEMA_TOOLS_H
#define TL_SCHEMA_TOOLS_H

#include <jansson.h>
#include <stddef.h>

enum tl_tools_style { TL_TOOLS_PLAIN,
                      TL_TOOLS_HERMES,
                      TL_TOOLS_MISTRAL,
                      TL_TOOLS_LLAMA };

/* The style that a chat template speaks of. NULL: PLAIN. */
enum tl_tools_style tl_tools_style_of(const char *chat_template);

/* What stands before the call's object, and the name of the member that holds the arguments. */
const char *tl_tools_opening(enum tl_tools_style style);
const char *tl_tools_arguments(enum tl_tools_style style);

/* Finds the calls in what a model wrote, in any style: {"content": the rest of the text, "tool_calls": [{"name",
 * "arguments"}, ...]}. Only what names one of `tools` (as tl_schema_compile_call takes them) is a call, anything
 * else stays text. Returns owned. */
json_t *tl_tools_read(const char *text, size_t length, const json_t *tools);

#endif
