/* print.c: the text form (see graph.h). Nodes are numbered in the order in which they are printed,
 * so that graphs that are equal but for their history print equally. Printing never fails, whatever
 * is wrong with the graph: a use of a node that is not in it is printed as %?. */
#include <string.h>

#include "base/mem.h"
#include "graph/graph_impl.h"

struct printer {
    struct tl_str *out;
    const struct tl_graph *graph;
    unsigned *numbers; /* by node number: as printed; 0: not met yet */
    unsigned *lines;   /* by node number, may be NULL */
    unsigned next_number, line;
};

bool tl_graph_name_valid(const char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789-.";
    return name[0] != '\0' && strchr(letters, name[0]) != NULL && name[strspn(name, others)] == '\0';
}

const char *tl_graph_usual_output_name(const struct tl_node *node) {
    const struct tl_signature *signature = tl_signature_of(node->op);
    if (!signature->outputs_by_builder)
        return signature->outputs[0].name;
    if (node->regions[0] != NULL)
        return node->regions[0]->result_count > 0 ? node->regions[0]->results[0].name : "";
    return node->output_count > 0 ? tl_base_type_name((enum tl_base_type)node->outputs[0].type.base) : "";
}

static void end_line(struct printer *printer) {
    tl_str_putc(printer->out, '\n');
    printer->line++;
}

static void indent(struct printer *printer, unsigned depth) {
    for (unsigned i = 0; i < depth; i++)
        tl_str_puts(printer->out, "  ");
}

static void print_type(struct printer *printer, struct tl_type type) {
    char text[24];
    tl_str_puts(printer->out, tl_type_print(type, text));
}

static bool has_parameter(const struct tl_body *body, const char *name) {
    for (size_t i = 0; i < body->parameters->output_count; i++)
        if (strcmp(body->parameters->outputs[i].name, name) == 0)
            return true;
    return false;
}

static unsigned number_of(const struct printer *printer, const struct tl_node *node) {
    if (node == NULL || node->body->graph != printer->graph || node->number >= printer->graph->next_number)
        return 0;
    return printer->numbers[node->number];
}

/* "$name" for a parameter, with a '^' for each body between that has one of the same name. */
static void print_parameter(struct printer *printer, const struct tl_body *from, struct tl_ref ref) {
    const char *name = ref.node->outputs[ref.port].name;
    tl_str_putc(printer->out, '$');
    while (from != ref.node->body && from->owner != NULL) {
        if (has_parameter(from, name))
            tl_str_putc(printer->out, '^');
        from = from->owner->body;
    }
    tl_str_puts(printer->out, from == ref.node->body ? name : "?");
}

static void print_ref(struct printer *printer, const struct tl_body *from, struct tl_ref ref) {
    if (ref.node != NULL && ref.node->op == TL_OP_PARAMETERS && ref.port < ref.node->output_count) {
        print_parameter(printer, from, ref);
        return;
    }
    unsigned number = number_of(printer, ref.node);
    if (number == 0) {
        tl_str_puts(printer->out, "%?");
        return;
    }
    tl_str_printf(printer->out, "%%%u", number);
    if (ref.port >= ref.node->output_count)
        tl_str_puts(printer->out, ".?");
    else if (ref.node->output_count > 1)
        tl_str_printf(printer->out, ".%s", ref.node->outputs[ref.port].name);
}

static void print_outputs(struct printer *printer, const struct tl_node *node) {
    for (size_t i = 0; i < node->output_count; i++) {
        const struct tl_output *output = &node->outputs[i];
        tl_str_puts(printer->out, i == 0 ? ": " : ", ");
        print_type(printer, output->type);
        if (node->output_count > 1 || strcmp(output->name, tl_graph_usual_output_name(node)) != 0)
            tl_str_printf(printer->out, " %s", output->name);
    }
}

/* Prints the waits of one kind in ascending order of their printed numbers. */
static void print_waits(struct printer *printer, const struct tl_node *node, enum tl_edge_kind kind, const char *word) {
    unsigned printed = 0;
    for (bool first = true;; first = false) {
        unsigned next = 0;
        for (size_t i = 0; i < node->wait_count; i++) {
            unsigned number = number_of(printer, node->waits[i].node);
            if (node->waits[i].kind == kind && number > printed && (next == 0 || number < next))
                next = number;
        }
        if (next == 0)
            break;
        tl_str_printf(printer->out, "%s%%%u", first ? word : ", ", next);
        printed = next;
    }
    for (size_t i = 0; i < node->wait_count; i++)
        if (node->waits[i].kind == kind && number_of(printer, node->waits[i].node) == 0)
            tl_str_printf(printer->out, " %s %%?", word);
}

static void print_body(struct printer *printer, const struct tl_body *body, unsigned depth);

static void print_node(struct printer *printer, const struct tl_node *node, unsigned depth) {
    struct tl_str *out = printer->out;
    unsigned number = printer->next_number++;
    if (node->number < printer->graph->next_number) {
        printer->numbers[node->number] = number;
        if (printer->lines != NULL)
            printer->lines[node->number] = printer->line;
    }
    indent(printer, depth);
    tl_str_printf(out, "%%%u", number);
    print_outputs(printer, node);
    tl_str_printf(out, " = %s ", tl_graph_info(node)->name);
    tl_str_put_json(out, node->label, strlen(node->label));
    if (node->engine != NULL)
        tl_str_printf(out, " @%s", node->engine);
    tl_str_puts(out, " (");
    for (size_t i = 0; i < node->input_count; i++) {
        tl_str_printf(out, "%s%s: ", i == 0 ? "" : ", ", node->inputs[i].name);
        print_ref(printer, node->body, node->inputs[i].from);
    }
    tl_str_putc(out, ')');
    print_waits(printer, node, TL_EDGE_CONTROL, " after ");
    print_waits(printer, node, TL_EDGE_ORDER, " order ");
    if (node->attributes.count > 0) {
        tl_str_putc(out, ' ');
        tl_attributes_print(&node->attributes, out);
    }
    for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++) {
        tl_str_puts(out, r == 0 ? " {" : " else {");
        end_line(printer);
        print_body(printer, node->regions[r], depth + 1);
        indent(printer, depth);
        tl_str_putc(out, '}');
    }
    end_line(printer);
}

static void print_body(struct printer *printer, const struct tl_body *body, unsigned depth) {
    struct tl_str *out = printer->out;
    bool shown = body->parameters->output_count > 0;
    if (printer->lines != NULL) /* findings about a body without parameters go to the line that opens it */
        printer->lines[body->parameters->number] = shown ? printer->line : printer->line - 1;
    if (shown) {
        indent(printer, depth);
        tl_str_puts(out, "parameters (");
        for (size_t i = 0; i < body->parameters->output_count; i++) {
            tl_str_printf(out, "%s%s: ", i == 0 ? "" : ", ", body->parameters->outputs[i].name);
            print_type(printer, body->parameters->outputs[i].type);
        }
        tl_str_putc(out, ')');
        end_line(printer);
    }
    for (size_t i = 0; i < body->node_count; i++)
        print_node(printer, body->nodes[i], depth);
    if (body->result_count > 0) {
        indent(printer, depth);
        tl_str_puts(out, "results (");
        for (size_t i = 0; i < body->result_count; i++) {
            tl_str_printf(out, "%s%s: ", i == 0 ? "" : ", ", body->results[i].name);
            print_ref(printer, body, body->results[i].from);
        }
        tl_str_putc(out, ')');
        end_line(printer);
    }
}

void tl_graph_print_lines(const struct tl_graph *graph, struct tl_str *out, unsigned *lines) {
    struct printer printer = {.out = out, .graph = graph, .lines = lines, .next_number = 1, .line = 1};
    printer.numbers = tl_mem_zalloc(graph->next_number * sizeof *printer.numbers);
    tl_str_puts(out, "graph ");
    tl_str_put_json(out, graph->name, strlen(graph->name));
    tl_str_puts(out, " {");
    end_line(&printer);
    print_body(&printer, graph->root, 1);
    tl_str_puts(out, "}\n");
    tl_mem_free(printer.numbers);
}

void tl_graph_print(const struct tl_graph *graph, struct tl_str *out) {
    tl_graph_print_lines(graph, out, NULL);
}

void tl_graph_print_findings(const struct tl_graph *graph, struct tl_str *out) {
    struct tl_diagnostics findings;
    struct tl_str text = TL_STR_INIT;
    tl_diagnostics_init(&findings, graph->name);
    tl_graph_verify(graph, &findings);
    tl_graph_print(graph, &text);
    unsigned line = 1;
    for (const char *at = text.data; *at != '\0'; line++) {
        size_t length = strcspn(at, "\n") + 1;
        tl_str_append(out, at, length);
        at += length;
        for (size_t i = 0; i < findings.count; i++)
            if (findings.items[i].line == line)
                tl_str_printf(out, "! %s: %s\n",
                              findings.items[i].severity == TL_SEVERITY_ERROR ? "error" : "warning",
                              findings.items[i].message);
    }
    tl_str_fini(&text);
    tl_diagnostics_fini(&findings);
}
