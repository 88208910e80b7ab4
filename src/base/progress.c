#include "base/progress.h"

#include <pthread.h>
#include <stddef.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static tl_progress_listener present; /* guarded by lock, as what follows */
static void *present_context;

void tl_progress_listen(tl_progress_listener listener, void *context) {
    pthread_mutex_lock(&lock);
    present = listener;
    present_context = context;
    pthread_mutex_unlock(&lock);
}

void tl_progress_report(const char *what, double share) {
    pthread_mutex_lock(&lock);
    if (present)
        present(present_context, what, share);
    pthread_mutex_unlock(&lock);
}
