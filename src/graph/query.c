/* query.c: what passes ask of a graph and how they change it. A value can be used in the body
 * of its node and in every body inside that, and nowhere else, so that is what is searched. */
#include <string.h>

#include "base/error.h"
#include "graph/graph_impl.h"

const struct tl_primitive_info *tl_graph_info(const struct tl_node *node) {
    return tl_primitive_info(node->op);
}

bool tl_graph_body_contains(const struct tl_body *outer, const struct tl_body *inner) {
    while (inner != outer && inner->owner != NULL)
        inner = inner->owner->body;
    return inner == outer;
}

typedef void use_function(void *context, struct tl_node *user, size_t input, struct tl_body *result_of, size_t result);

static void each_use_in(struct tl_body *body, const struct tl_node *of, use_function *fn, void *context) {
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *user = body->nodes[i];
        for (size_t k = 0; k < user->input_count; k++)
            if (user->inputs[k].from.node == of)
                fn(context, user, k, NULL, 0);
        for (size_t r = 0; r < 2 && user->regions[r] != NULL; r++)
            each_use_in(user->regions[r], of, fn, context);
    }
    for (size_t i = 0; i < body->result_count; i++)
        if (body->results[i].from.node == of)
            fn(context, NULL, 0, body, i);
}

void tl_graph_each_use(struct tl_node *node, use_function *fn, void *context) {
    each_use_in(node->body, node, fn, context);
}

static struct tl_ref *used_ref(struct tl_node *user, size_t input, struct tl_body *result_of, size_t result) {
    return user != NULL ? &user->inputs[input].from : &result_of->results[result].from;
}

typedef void predecessor_function(void *context, struct tl_node *before, enum tl_edge_kind kind);

static void each_outer_use(const struct tl_body *in, const struct tl_body *outer, predecessor_function *fn,
                           void *context) {
    for (size_t i = 0; i < in->node_count; i++) {
        const struct tl_node *node = in->nodes[i];
        for (size_t k = 0; k < node->input_count; k++) {
            struct tl_node *used = node->inputs[k].from.node;
            if (used->body == outer && used->op != TL_OP_PARAMETERS)
                fn(context, used, TL_EDGE_DATA);
        }
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            each_outer_use(node->regions[r], outer, fn, context);
    }
    for (size_t i = 0; i < in->result_count; i++) {
        struct tl_node *used = in->results[i].from.node;
        if (used->body == outer && used->op != TL_OP_PARAMETERS)
            fn(context, used, TL_EDGE_DATA);
    }
}

void tl_graph_each_predecessor(const struct tl_node *node, predecessor_function *fn, void *context) {
    for (size_t i = 0; i < node->input_count; i++) {
        struct tl_node *used = node->inputs[i].from.node;
        if (used->body == node->body && used->op != TL_OP_PARAMETERS)
            fn(context, used, TL_EDGE_DATA);
    }
    for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
        each_outer_use(node->regions[r], node->body, fn, context);
    for (size_t i = 0; i < node->wait_count; i++)
        fn(context, node->waits[i].node, node->waits[i].kind);
}

bool tl_graph_is_late_input(const struct tl_node *node, size_t input) {
    return (node->op == TL_OP_FOLD || node->op == TL_OP_REDUCE) && strcmp(node->inputs[input].name, "initial") == 0;
}

struct count {
    uint32_t port;
    size_t uses;
};

static void count_use(void *context, struct tl_node *user, size_t input, struct tl_body *result_of, size_t result) {
    struct count *count = context;
    count->uses += used_ref(user, input, result_of, result)->port == count->port;
}

size_t tl_graph_use_count(struct tl_ref ref) {
    struct count count = {.port = ref.port};
    tl_graph_each_use(ref.node, count_use, &count);
    return count.uses;
}

struct replacement {
    uint32_t port;
    struct tl_ref to;
};

static void replace_use(void *context, struct tl_node *user, size_t input, struct tl_body *result_of, size_t result) {
    const struct replacement *replacement = context;
    struct tl_ref *ref = used_ref(user, input, result_of, result);
    if (ref->port == replacement->port)
        *ref = replacement->to;
}

void tl_graph_replace_uses(struct tl_ref from, struct tl_ref to) {
    struct replacement replacement = {.port = from.port, .to = to};
    tl_graph_each_use(from.node, replace_use, &replacement);
}

static size_t position_of(const struct tl_node *node) {
    const struct tl_body *body = node->body;
    for (size_t i = 0; i < body->node_count; i++)
        if (body->nodes[i] == node)
            return i;
    TL_BUG("\"%s\" is not in its body", node->label);
}

static void take_out(struct tl_node *node) {
    struct tl_body *body = node->body;
    size_t position = position_of(node);
    memmove(&body->nodes[position], &body->nodes[position + 1],
            (body->node_count - position - 1) * sizeof *body->nodes);
    body->node_count--;
}

static void find_any(void *context, struct tl_node *user, size_t input, struct tl_body *result_of, size_t result) {
    (void)user, (void)input, (void)result_of, (void)result;
    *(bool *)context = true;
}

void tl_graph_remove(struct tl_node *node) {
    bool used = false;
    tl_graph_each_use(node, find_any, &used);
    if (used)
        TL_BUG("\"%s\" is removed while it is used", node->label);
    struct tl_body *body = node->body;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *waiter = body->nodes[i];
        for (size_t k = 0; k < waiter->wait_count; k++) {
            if (waiter->waits[k].node != node)
                continue;
            enum tl_edge_kind kind = waiter->waits[k].kind;
            tl_graph_unwait(waiter, node, kind);
            /* Two control edges in a row are what the user asked for; with an order edge among them it is order. */
            for (size_t w = 0; w < node->wait_count; w++)
                tl_graph_wait(waiter, node->waits[w].node,
                              kind == TL_EDGE_CONTROL ? node->waits[w].kind : TL_EDGE_ORDER);
            break;
        }
    }
    take_out(node);
}

void tl_graph_move(struct tl_node *node, struct tl_body *body, struct tl_node *before) {
    TL_ASSERT(body->graph == node->body->graph && before != node && (before == NULL || before->body == body));
    take_out(node);
    size_t position = before == NULL ? body->node_count : position_of(before);
    body->nodes = tl_arena_grow(&body->graph->arena, body->nodes, &body->node_capacity, body->node_count + 1,
                                sizeof *body->nodes);
    memmove(&body->nodes[position + 1], &body->nodes[position], (body->node_count - position) * sizeof *body->nodes);
    body->nodes[position] = node;
    body->node_count++;
    node->body = body;
}
