/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accounts of CPU time. One account is open at any time, and every nanosecond goes to the account
 * that is open then; so the sum over all accounts is the time since accounts_init.
 *
 * Pure: the caller has the clock (kernel/core/charge.h). A CPU has one struct accounts.
 */
#ifndef KERNEL_CORE_ACCOUNT_H
#define KERNEL_CORE_ACCOUNT_H

#include "base/types.h"

/* Zeroed is empty. Its memory must stay while it is open. */
struct account {
    uint64_t ns; /* what was charged up to the last switch away from it */
};

struct accounts {
    struct account *open;
    uint64_t since_ns; /* from here on the time is not charged yet */
};

/* Opens `first` at this moment. */
void accounts_init(struct accounts *a, struct account *first, uint64_t now_ns);
/*
 * Charges the time since the last switch to the open account and opens `to`, which may be the same
 * one. Returns the account that was open, to be opened again by a caller that nests. A clock that
 * went back charges nothing.
 */
struct account *account_switch(struct accounts *a, struct account *to, uint64_t now_ns);
/* What an account has had until now, the part that is not charged yet included. */
uint64_t account_ns(const struct accounts *a, const struct account *of, uint64_t now_ns);

#endif
