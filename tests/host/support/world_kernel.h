/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole of kernel/ on the host, from a configuration and boot modules on to the loop: over the
 * CPU, clock and vCPUs of fake_machine.h, and a serial port that is endlessly fast.
 *
 * kernel/ keeps what there is one of in static variables: each test runs in a process of its own
 * (kernel_main_of_tests), which boots one machine.
 */
#ifndef WORLD_KERNEL_H
#define WORLD_KERNEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/types.h"
#include "fake_machine.h"
#include "kernel/vm/vm.h"

/* Boots a machine of that memory, with a kernel module `kernel` (an ELF file of kernel_elf_bytes)
 * and the modules added before. VMs with `start = on`, which is the default, begin to start. */
void kernel_boot(uint64_t memory_mib, const char *config);
/* A boot module more, before kernel_boot; the bytes are copied there. */
void kernel_add_module(const char *name, const void *bytes, size_t n);
/* Runs the loop for so long; it ends before when the machine goes off. */
void kernel_run_ns(uint64_t ns);
/* What has come out of the serial port (of the log, before the console took it over, too); the
 * oldest is forgotten beyond 256 KiB. */
const char *kernel_said(void);
/* Forgets it. */
void kernel_hush(void);
/* Types this at the serial port. */
void kernel_type(const char *text);
/* Whether the serial port takes bytes, from now on. */
void kernel_stall_port(bool stalled);
/* Frames that are taken from the machine until they are given back: all but `left`. */
void kernel_take_frames(uint64_t left);
void kernel_give_frames(uint64_t n);
/* 0 while the machine is on; 1 + the code of machine_exit once it is off, -1 for a restart. */
extern int kernel_off;

/* Runs each test in a process of its own; what main is to return. */
int kernel_main_of_tests(const struct CMUnitTest *tests, size_t n);

#endif
