/* log.h: messages for the operator, on stderr; one line each, one write(2) each.
 * The level is process-wide (set once by main from -v/-q or TEOLA_LOG). */
#ifndef TL_BASE_LOG_H
#define TL_BASE_LOG_H

enum tl_log_level { TL_LOG_ERROR, TL_LOG_WARN, TL_LOG_INFO, TL_LOG_DEBUG };

void tl_log_set_level(enum tl_log_level level); /* default: TL_LOG_WARN */
enum tl_log_level tl_log_get_level(void);
void tl_log(enum tl_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
