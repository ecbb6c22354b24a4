/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU's best way of looking at whole pages, and the bracket that makes it safe to use.
 *
 *     unit->begin, if there is one -> unit->ops, as often as one likes -> unit->end
 *
 * begin puts the vector state of the guest that ran last into its vCPU, where its next entry takes
 * it from: this is paid once a bracket, and only when a guest has run since the bracket before. No
 * guest runs, and no vCPU is made or ended, inside a bracket, and none is opened in hvm_run.
 *
 * Interrupts do not matter to it: host interrupts are taken only in the scheduler's window
 * (kernel/core/sched.c), and no handler, those of NMIs and exceptions included, is compiled to use
 * a vector register. So nobody but the owner of the bracket sees or changes them.
 */
#ifndef ARCH_HVM_VECTOR_H
#define ARCH_HVM_VECTOR_H

#include "mm/content/content.h"

/* The same at every call after hvm_init; the scalar operations before it. */
const struct content_unit *vector_unit(void);

#endif
