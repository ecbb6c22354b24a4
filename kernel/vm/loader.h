/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Puts a kernel into a new guest's memory and says where it is to be entered.
 *
 * The work is a job of small steps, so that a guest's loading keeps no other guest waiting: a plan,
 * which reads headers only and touches no memory, then a page after the other. Pages of the kernel
 * and the initrd that have an image (mm/fold/image.h) are mapped, not copied.
 *
 * Two formats, told apart by their contents: a Linux bzImage (the boot protocol of Linux's
 * Documentation/arch/x86/boot.rst; 64-bit entry where the image has one, else 32-bit), and a static
 * ELF64 executable, entered in 64-bit mode with the first 4 GiB mapped one to one and a Linux zero
 * page in RSI.
 */
#ifndef KERNEL_VM_LOADER_H
#define KERNEL_VM_LOADER_H

#include "base/deadline.h"
#include "base/status.h"
#include "base/types.h"
#include "mm/fold/image.h"
#include "mm/p2m.h"

/* Guest-physical layout below 1 MiB, ours to choose. */
#define LOADER_GDT 0x6000u
#define LOADER_ZERO_PAGE 0x7000u
#define LOADER_STACK 0x9000u       /* grows down; entry code sets its own */
#define LOADER_PAGE_TABLES 0xa000u /* PML4, PDPT, four PDs */
#define LOADER_CMDLINE 0x20000u
#define LOADER_LOW_END 0x9f000u
#define LOADER_ACPI 0xe0000u
#define LOADER_ACPI_BYTES 0x4000u

/* RAM below this, the rest from 4 GiB up; PCI memory BARs live between. */
#define LOADER_LOW_RAM_MAX UINT64_C(0xe0000000)
#define LOADER_HIGH_RAM UINT64_C(0x100000000)

struct loader_input {
    const uint8_t *kernel, *initrd;
    uint64_t kernel_bytes, initrd_bytes; /* initrd_bytes 0: none */
    const char *cmdline;
    gpa_t rsdp;
};

struct loader_entry {
    bool long_mode; /* else 32-bit protected mode without paging */
    uint64_t rip, rsp, rsi, cr3;
    uint64_t gdt_base;
    uint32_t gdt_limit;
};

/* Frames for the pages of one file. set NULL: its bytes are copied from where the image has them;
 * image NULL: from the file. */
struct loader_frames {
    struct image *image;
    struct image_set *set; /* of the guest's share group */
};

/* In the order of the work. */
enum loader_stage { LOADER_KERNEL, LOADER_INITRD, LOADER_BOOT_PAGES, LOADER_DONE };

struct loader_job {
    struct p2m *p;
    struct loader_input in;
    struct loader_frames kernel, initrd;
    struct loader_entry entry; /* valid once the job has begun */
    unsigned n_parts;
    struct image_part parts[IMAGE_PARTS]; /* where the kernel goes */
    uint64_t end;                         /* of the kernel in memory, incl. what it unpacks into */
    uint64_t initrd_at;
    enum loader_stage stage;
    uint64_t next; /* the stage's next page */
    /* Pages mapped from an image, and pages of kernel and initrd that were copied instead. */
    uint64_t mapped, copied;
};

/*
 * Plans the job: in `p`, which is empty; `in` is copied, what it points to is to stay. Errors carry
 * a line for the user in why: E_INVAL (not a kernel, or a broken one), E_RANGE (does not fit this
 * guest's memory).
 */
enum status loader_begin(struct loader_job *j, struct p2m *p, const struct loader_input *in,
                         struct loader_frames kernel, struct loader_frames initrd, char *why,
                         size_t why_size) MUST_CHECK;
/*
 * Goes on until the job is done (stage LOADER_DONE) or the time is over. E_NOMEM: no frame could be
 * had; the next call goes on with the very page.
 */
enum status loader_step(struct loader_job *j, const struct deadline *d) MUST_CHECK;

/* All at once, by copying; E_NOMEM with a line in why, too. */
enum status loader_load(struct p2m *p, const struct loader_input *in, struct loader_entry *out,
                        char *why, size_t why_size) MUST_CHECK;

/* For loader_step: the page that LOADER_ZERO_PAGE gets, Linux's boot_params. */
void loader_zero_page(const struct loader_job *j, uint8_t zero[PAGE_SIZE]);

#endif
