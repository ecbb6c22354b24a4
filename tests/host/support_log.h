/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests may ask the host tests' log. */
#ifndef SUPPORT_LOG_H
#define SUPPORT_LOG_H

/* The last line, without its level; cut where it is very long. */
const char *log_last_line(void);

#endif
