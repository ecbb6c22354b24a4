/* SPDX-License-Identifier: BSD-2-Clause */
/* What `check` found wrong: counted, and the first of it reported. */
#include "base/format.h"
#include "mm/audit/audit.h"

void audit_fail(struct audit *a, const char *fmt, ...)
{
    char line[128];
    va_list ap;

    if (yield_ended(a->yield)) {
        return; /* what is missing was not looked at */
    }
    a->violations++;
    if (!a->report || a->violations > AUDIT_LINES_MAX) {
        return;
    }
    va_start(ap, fmt);
    format_va(line, sizeof(line), fmt, ap);
    va_end(ap);
    a->report(a->report_ctx, line);
}
