/* SPDX-License-Identifier: BSD-2-Clause */
/* The loader's work, page by page: kernel and initrd, then what the kernel is handed. See loader.h.
 */
#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/vm/loader.h"

/* ---- pages of kernel and initrd ------------------------------------------------------------ */

/* Maps the image's frame, which the guest does not have yet. */
static enum status map_frame(struct loader_job *j, gfn_t gfn, mfn_t mfn)
{
    struct frame *fr = frame_of(j->p->frames, mfn);

    if (fr->pins == FRAME_PINS_MAX) {
        return E_BUSY;
    }
    frames_pin(j->p->frames, mfn);
    enum status s = p2m_map_shared(j->p, gfn, mfn);
    frames_unpin(j->p->frames, mfn);
    if (s == OK) {
        j->mapped++;
        p2m_no_look(j->p, gfn); /* it is in the stable index already */
        if (fr->vm == 0) {      /* lookahead of those that fold with it later begins here */
            fr->vm = j->p->vm;
            fr->gfn = (uint32_t)gfn.n;
        }
    }
    return s;
}

static enum status copy_page(struct loader_job *j, const struct image *im, uint64_t i, gfn_t gfn)
{
    uint8_t page[PAGE_SIZE];

    image_read(im, i, page);
    j->copied++;
    return p2m_write(j->p, gfn_to_gpa(gfn), page, sizeof(page));
}

/* The image's i-th page, to where it belongs. */
static enum status put_page(struct loader_job *j, const struct loader_frames *f, uint64_t i,
                            gfn_t gfn)
{
    struct p2m_entry e;
    mfn_t mfn;

    if (!f->set) {
        return copy_page(j, f->image, i, gfn);
    }
    enum status s = image_page(f->image, f->set, i, &mfn);
    if (s == E_NOTFOUND) {
        return OK; /* zeroes: the hole reads so */
    }
    if (s != OK) {
        return s;
    }
    if (j->p->ops->lookup(j->p->ctx, gfn, &e) == OK) {
        return OK; /* two parts meet in this page, and it has both */
    }
    s = map_frame(j, gfn, mfn);
    return s == E_BUSY ? copy_page(j, f->image, i, gfn) : s;
}

/* At most a page of a file's bytes, from `at` on, to the guest. */
static enum status copy_bytes(struct loader_job *j, uint64_t to, const uint8_t *from, uint64_t n)
{
    j->copied++;
    return p2m_write(j->p, GPA(to), from, n);
}

/* The next page of one part that has no image; *more: there are others. */
static enum status copy_part(struct loader_job *j, const struct image_part *part,
                             const uint8_t *file, uint64_t page, bool *more)
{
    uint64_t at = MAX(ALIGN_DOWN(part->at, PAGE_SIZE) + (page << PAGE_SHIFT), part->at);
    uint64_t end = part->at + part->bytes, next = MIN(ALIGN_DOWN(at, PAGE_SIZE) + PAGE_SIZE, end);

    *more = next < end;
    return copy_bytes(j, at, file + part->from + (at - part->at), next - at);
}

/* ---- what the kernel is handed ------------------------------------------------------------- */

/* A GDT with flat 64-bit or 32-bit segments at the selectors that hvm.h names. */
static enum status put_gdt(struct loader_job *j)
{
    static const uint64_t gdt64[] = {0, 0, UINT64_C(0x00af9b000000ffff),
                                     UINT64_C(0x00cf93000000ffff), UINT64_C(0x008f8b000000ffff)};
    static const uint64_t gdt32[] = {0, 0, UINT64_C(0x00cf9b000000ffff),
                                     UINT64_C(0x00cf93000000ffff), UINT64_C(0x008f8b000000ffff)};

    return p2m_write(j->p, GPA(LOADER_GDT), j->entry.long_mode ? gdt64 : gdt32, sizeof(gdt64));
}

/* One of six page tables, which map the first 4 GiB one to one with 2 MiB pages: PML4, PDPT, PDs.
 */
static enum status put_table(struct loader_job *j, unsigned n)
{
    uint64_t table[512] = {0};

    if (n == 0) {
        table[0] = (LOADER_PAGE_TABLES + PAGE_SIZE) | 3;
    } else if (n == 1) {
        for (unsigned i = 0; i < 4; i++) {
            table[i] = (LOADER_PAGE_TABLES + (2 + i) * (uint64_t)PAGE_SIZE) | 3;
        }
    } else {
        for (uint64_t i = 0; i < 512; i++) {
            table[i] = ((uint64_t)(n - 2) << 30 | i << 21) | 0x83;
        }
    }
    return p2m_write(j->p, GPA(LOADER_PAGE_TABLES + (uint64_t)n * PAGE_SIZE), table, sizeof(table));
}

static enum status put_zero_page(struct loader_job *j)
{
    uint8_t zero[PAGE_SIZE];

    loader_zero_page(j, zero);
    return p2m_write(j->p, GPA(LOADER_ZERO_PAGE), zero, sizeof(zero));
}

#define TABLES 6u

/* One page of those; *more: there are others. */
static enum status put_boot_page(struct loader_job *j, uint64_t n, bool *more)
{
    uint64_t len = strlen(j->in.cmdline) + 1, at = (n - TABLES - 2) << PAGE_SHIFT;

    *more = true;
    if (n < TABLES) {
        return put_table(j, (unsigned)n);
    }
    if (n == TABLES) {
        return put_gdt(j);
    }
    if (n == TABLES + 1) {
        return put_zero_page(j);
    }
    *more = at + PAGE_SIZE < len;
    return p2m_write(j->p, GPA(LOADER_CMDLINE + at), j->in.cmdline + at,
                     MIN(len - at, (uint64_t)PAGE_SIZE));
}

/* ---- the job ------------------------------------------------------------------------------- */

/* The kernel without an image: j->next counts pages of the part in its low half, parts above. */
#define PART(next) ((unsigned)((next) >> 32))
#define PART_PAGE(next) ((next)&UINT32_MAX)

static enum status kernel_page(struct loader_job *j, bool *more)
{
    const struct loader_frames *f = &j->kernel;
    bool in_part;

    if (f->image) {
        enum status s = put_page(j, f, j->next, image_gfn(f->image, j->next));

        j->next += s == OK;
        *more = j->next < f->image->n_pages;
        return s;
    }
    unsigned n = PART(j->next);
    if (n == j->n_parts) {
        *more = false;
        return OK;
    }
    enum status s = copy_part(j, &j->parts[n], j->in.kernel, PART_PAGE(j->next), &in_part);
    if (s == OK) {
        j->next = in_part ? j->next + 1 : (uint64_t)(n + 1) << 32;
    }
    *more = true;
    return s;
}

static enum status initrd_page(struct loader_job *j, bool *more)
{
    const struct loader_frames *f = &j->initrd;
    const struct image_part whole = {.at = j->initrd_at, .bytes = j->in.initrd_bytes};
    enum status s;

    if (j->in.initrd_bytes == 0) {
        *more = false;
        return OK;
    }
    if (f->image) {
        gfn_t gfn = GFN((j->initrd_at >> PAGE_SHIFT) + image_gfn(f->image, j->next).n);

        s = put_page(j, f, j->next, gfn);
        *more = j->next + 1 < f->image->n_pages;
    } else {
        s = copy_part(j, &whole, j->in.initrd, j->next, more);
    }
    j->next += s == OK;
    return s;
}

static enum status one_page(struct loader_job *j)
{
    bool more = true;
    enum status s;

    switch (j->stage) {
    case LOADER_KERNEL:
        s = kernel_page(j, &more);
        break;
    case LOADER_INITRD:
        s = initrd_page(j, &more);
        break;
    default:
        s = put_boot_page(j, j->next, &more);
        j->next += s == OK;
        break;
    }
    if (s == OK && !more) {
        j->stage++;
        j->next = 0;
    }
    return s;
}

enum status loader_step(struct loader_job *j, const struct deadline *d)
{
    enum status s = OK;

    while (s == OK && j->stage != LOADER_DONE) {
        s = one_page(j);
        if (deadline_passed(d)) {
            break;
        }
    }
    if (j->kernel.image || j->initrd.image) {
        image_end(j->kernel.image ? j->kernel.image : j->initrd.image);
    }
    return s;
}
