/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boot images (kernels, initrds) as frames: each page of an image is one SHARED frame for each
 * share group, and guests map it read-only from the moment of loading. A write gets a copy, as with
 * any folded page. So a second guest of a kernel, and a guest that resets, copy nothing.
 *
 *     image_init -> image_add_set (each share group) -> image_set_parts (once its layout is known)
 *     -> image_page, in order -> ...
 *
 * A page's frame is made when it is first asked for. It is the module's own frame where that has
 * the whole page already (an initrd always; a segment of an ELF file that is aligned alike), or
 * where the module's bytes can be moved down to a page's beginning (a bzImage's code lies at an odd
 * sector of its file). Only one share group can have the module's own frames; each other has a
 * copy. Pages of zeroes have no frame: memory that was never touched reads so.
 *
 * The image holds one reference to each of its frames. They stand in the group's stable index, so a
 * page of that content anywhere in the group folds with them.
 *
 * A copy that no VM's use keeps (image_use) is given back when memory is short; the module's own
 * frames are all that is left of the module, and stay for ever.
 */
#ifndef MM_FOLD_IMAGE_H
#define MM_FOLD_IMAGE_H

#include "base/yield.h"
#include "mm/fold/fold.h"

#define IMAGE_PARTS 32u

/* `bytes` of the module from byte `from` on go to guest address `at`. */
struct image_part {
    uint64_t at, from, bytes;
};

/* What a share group has of one page. */
struct image_frame {
    uint32_t frame; /* see image.c */
    bool made;      /* for the image: it is there whether guests map it or not */
};

/* The frames of one share group. */
struct image_set {
    struct share_group *group;
    struct image_frame *frames; /* by page of the image */
    bool owns;                  /* it may have the module's own frames */
    unsigned users;             /* VMs that are not off */
    uint64_t held;              /* references to frames that are no module's own */
    uint64_t reclaim_at;        /* where image_reclaim goes on */
    struct image_set *next;
};

struct image {
    struct frames *frames;
    struct fold *fold;
    uint8_t *source; /* the module, in the frame window */
    uint64_t bytes;
    bool may_move; /* nothing else reads or writes the module's bytes */
    unsigned n_parts;
    struct image_part parts[IMAGE_PARTS];
    uint64_t n_pages; /* over all parts */
    uint64_t moved;   /* pages of the only part that have been moved down, */
    uint64_t shift;   /* by so many bytes */
    struct image_set *sets;
    uint64_t n_copied; /* pages copied so far, moved ones included */
    uint64_t n_owned;  /* of the module's frames, SHARED by now */
};

/* The most pages that an image of that size can have: the room that image_add_set wants. */
uint64_t image_pages_max(uint64_t bytes);
/* `source`: `bytes` bytes in frames->window, in HYP frames, for ever. */
void image_init(struct image *im, struct frames *frames, struct fold *fold, uint8_t *source,
                uint64_t bytes, bool may_move);
/* `room`: image_pages_max() of them; both are the image's from now on. The first set of an image
 * whose module nothing else uses has the module's own frames. */
void image_add_set(struct image *im, struct image_set *set, struct share_group *g,
                   struct image_frame *room);
struct image_set *image_set_of(const struct image *im, const struct share_group *g);

/*
 * Where its bytes go; every part lies inside the module. No effect when that is known already: it
 * does not depend on the guest. E_INVAL for other parts than the ones known.
 */
enum status image_set_parts(struct image *im, const struct image_part *parts,
                            unsigned n) MUST_CHECK;

/* The guest frame of the i-th page, if the image lies where its parts say. */
gfn_t image_gfn(const struct image *im, uint64_t i);
/*
 * The frame of the i-th page for that group, made if need be; E_NOTFOUND: it is all zeroes.
 * E_NOMEM: no frame for a copy, nothing has changed. image_end closes a step in which it was
 * called.
 */
enum status image_page(struct image *im, struct image_set *set, uint64_t i, mfn_t *out) MUST_CHECK;
void image_end(struct image *im);
/* The bytes of the i-th page, for a caller without a set. */
void image_read(const struct image *im, uint64_t i, void *page);

/* A VM of the set's group that boots from the image is not off any more, or is. */
void image_use(struct image_set *set, bool use);
/* Gives back up to `want` frames of copies that no VM uses; returns how many went free. */
uint64_t image_reclaim(struct image *im, uint64_t want);
/* Calls `found` once for each reference that the image holds. */
void image_references(const struct image *im, struct yield *y, void (*found)(void *arg, mfn_t mfn),
                      void *arg);

#endif
