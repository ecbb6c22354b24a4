/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernels and initrds of the configuration, as images whose frames VMs share (mm/fold/image.h).
 */
#ifndef KERNEL_VM_IMAGES_H
#define KERNEL_VM_IMAGES_H

#include "base/yield.h"
#include "kernel/config/config.h"
#include "mm/fold/image.h"

struct images_counts {
    uint64_t copied; /* pages copied into frames, once for a share group */
    uint64_t mapped; /* pages mapped into VMs */
    uint64_t owned;  /* of the boot modules' own frames, those that VMs may map */
    uint64_t held;   /* frames held besides */
};

/* Makes the structures; before bootmem_finish, after the VMs' share groups have their names. */
void images_init(const struct config *config);
/* The image of a boot module as a kernel or as an initrd; NULL: there is no such module. Modules of
 * equal content are one image. */
struct image *images_find(const char *module, bool initrd);
/* Pages of an image have been mapped into a VM. */
void images_mapped(uint64_t pages);
struct images_counts images_counts(void);
/* A reclaimer (mm/frame.h; ctx unused): up to `want` frames of images that no VM uses. */
uint64_t images_reclaim(void *ctx, uint64_t want);
/* For the audit: each reference that an image holds. */
void images_references(struct yield *y, void (*found)(void *arg, mfn_t mfn), void *arg);

#endif
