/* SPDX-License-Identifier: BSD-2-Clause */
/* The bounds of the CPU's stacks (stacks.S): the main one, and one for each IST entry. Each CPU
 * wants a set of its own; there is one. */
#ifndef ARCH_STACKS_H
#define ARCH_STACKS_H

extern char stacks_start[], stacks_end[];
extern char stack_main_guard[], stack_main_top[];
extern char stack_nmi_guard[], stack_nmi_top[];
extern char stack_df_guard[], stack_df_top[];
extern char stack_mc_guard[], stack_mc_top[];

#endif
