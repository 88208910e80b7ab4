/* change.h: what passes that rebuild a body have in common. */
#ifndef TL_OPT_CHANGE_H
#define TL_OPT_CHANGE_H

#include "graph/graph.h"

/* `wanted`, or with "_2", "_3", ... behind it when a node of the body is called so already; memory of the graph. */
const char *tl_opt_unique_label(const struct tl_body *body, const char *wanted);

/* Whether `node`, or a body inside it, uses or waits for a marked node of its own body. `marked` is indexed by number. */
bool tl_opt_depends_on_marked(const struct tl_node *node, const bool *marked);

/* Orders the nodes of the body so that each stands after what it uses and waits for, keeping the present order
 * where it can. The graph must be free of cycles. */
void tl_opt_sort(struct tl_body *body);

/* What `from` waits for, `to` waits for instead. */
void tl_opt_move_waits(struct tl_node *from, struct tl_node *to);

/* What waits for `of` in its body waits for `by` instead, by edges of the same kind. */
void tl_opt_replace_waits(struct tl_node *of, struct tl_node *by);

#endif
