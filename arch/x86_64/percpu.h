/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each CPU has one of.
 *
 * A file that keeps something of the CPU it runs on keeps it in one struct, marked PERCPU, and
 * reaches it by this_cpu() and not by its name:
 *
 *     static PERCPU struct step_cpu step_cpu;
 *     ...
 *     struct step_cpu *cpu = this_cpu(step_cpu);
 *
 * The linker puts them all into one block, from percpu_start to percpu_end (linker.ld): a CPU has
 * one block, and there is one CPU. Its block is the image's, so this_cpu() is an address that the
 * linker knows and costs nothing. Each further CPU will have a copy of the block as it was loaded,
 * and this_cpu() then adds the CPU's distance from it (GS base); nothing else that is written with
 * it changes. What one CPU wants of another's block is asked of that CPU.
 *
 * A variable that is written and is not marked is the machine's: it is set at start-up, or will
 * want a lock or an atomic access.
 */
#ifndef ARCH_PERCPU_H
#define ARCH_PERCPU_H

#define PERCPU __attribute__((section(".percpu")))

/* This CPU's one of a variable marked PERCPU: a pointer, good until this code runs elsewhere. */
#define this_cpu(name) (&(name))

#endif
