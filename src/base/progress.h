/* progress.h: how far something that takes seconds has come, for whoever shows it to people. As with the log, there is one
 * place for the whole process, set by the program; libraries report and do not ask who listens. */
#ifndef TL_BASE_PROGRESS_H
#define TL_BASE_PROGRESS_H

/* `what` is "loading NAME"; `share` goes from 0 to 1. Called on whichever thread does the work, one call at a time; it must
 * be quick and must not report. */
typedef void (*tl_progress_listener)(void *context, const char *what, double share);

/* From now on `listener` is told; NULL: nobody is. When it returns, the former one is not called any more. */
void tl_progress_listen(tl_progress_listener listener, void *context);

void tl_progress_report(const char *what, double share);

#endif
