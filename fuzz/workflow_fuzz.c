/* libFuzzer target: any bytes as a workflow file, and what is accepted taken apart. Build with clang and
 * -DTEOLA_SANITIZE=fuzzer-no-link,address,undefined; start from the workflows that there are:
 *
 *     build/fuzz/workflow_fuzz -max_total_time=600 CORPUS workflows tests/workflow
 */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "workflow/workflow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tl_diagnostics findings = {0};
    struct tl_workflow *workflow = tl_workflow_parse((const char *)data, size, "fuzz.yaml", NULL, &findings);
    TL_ASSERT((workflow == NULL) == (findings.errors > 0));
    for (int collection = 0; workflow != NULL && collection < 2; collection++) {
        const char *given[16];
        size_t count = 0;
        for (size_t i = 0; i < tl_workflow_input_count(workflow) && count < 16; i++)
            if (!collection || !tl_workflow_input(workflow, i)->optional)
                given[count++] = tl_workflow_input(workflow, i)->name;
        struct tl_query_shape shape = {.given = given, .given_count = count, .collection = collection};
        tl_graph_destroy(tl_workflow_decompose(workflow, &shape, &findings));
    }
    tl_workflow_destroy(workflow);
    tl_diagnostics_fini(&findings);
    return 0;
}
