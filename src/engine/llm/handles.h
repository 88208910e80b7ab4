/* handles.h: kv values that stand for prefixes of a core.
 *
 * The last reference to a value may go on any thread, and after the engine: so a handle that is released is only put
 * on a list, and the engine takes it back in its next call. The list outlives the engine as long as a handle does. */
#ifndef TL_ENGINE_LLM_HANDLES_H
#define TL_ENGINE_LLM_HANDLES_H

#include "base/value.h"
#include "engine/llm/llm.h"

struct tl_llm_handles;

/* `owner` is the engine, as kv values name it. `alive`: counts the handles that are, for who has one thread; NULL. */
struct tl_llm_handles *tl_llm_handles_create(struct tl_llm_core *core, const void *owner, uint64_t *alive);
/* Before the core goes: handles that are alive free themselves from now on. */
void tl_llm_handles_close(struct tl_llm_handles *handles);
/* Whether anything was released since the last call of tl_llm_handles_drain. */
bool tl_llm_handles_are_released(struct tl_llm_handles *handles);
/* Gives the core what was released since the last call. Returns how much of it had something attached. */
size_t tl_llm_handles_drain(struct tl_llm_handles *handles);
/* What a kv value on the prompt of a filled request carries. `attached` goes with it by tl_mem_free; NULL: nothing. */
struct tl_resource *tl_llm_handles_add(struct tl_llm_handles *handles, const struct tl_llm_request *request,
                                       void *attached);
/* The prefix of a resource that was made here, and what is attached to it. */
const struct tl_llm_handle *tl_llm_handles_prefix(const struct tl_resource *resource);
const void *tl_llm_handles_attached(const struct tl_resource *resource);

#endif
