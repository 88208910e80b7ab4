/* answer.h: a run's result for people: the rest of the answer, the sources, other outputs. */
#ifndef TL_CLI_ANSWER_H
#define TL_CLI_ANSWER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/str.h"

/* What of the answer has not been streamed: all of it when nothing was. `streamed` is the text so far. */
void tl_answer_rest(const json_t *result, const struct tl_str *streamed, struct tl_str *out);

/* The passages that outputs hold, numbered, each with title, heading, uri and byte range; "" when there are none. */
void tl_answer_sources(const json_t *result, bool color, struct tl_str *out);

#endif
