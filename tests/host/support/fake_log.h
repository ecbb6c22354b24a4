/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests may ask the host tests' log. */
#ifndef TESTS_HOST_SUPPORT_FAKE_LOG_H
#define TESTS_HOST_SUPPORT_FAKE_LOG_H

/* The last line, without its level; cut where it is very long. */
const char *log_last_line(void);

#endif
