/* SPDX-License-Identifier: BSD-2-Clause */
/* The boot modules that VMs are booted from: see images.h. */
#include "kernel/vm/images.h"

#include "base/bits.h"
#include "base/log.h"
#include "base/string.h"
#include "kernel/core/bootmem.h"
#include "kernel/core/machine.h"

#define MODULE_DISK "module:"

struct named_image {
    struct image image;
    bool initrd;
};

static struct named_image *images; /* at most two for each VM */
static unsigned n_images;
static uint64_t mapped;

/* Whether the module is used as a disk too, which guests may write to. */
static bool is_disk(const struct config *c, const char *module)
{
    for (unsigned i = 0; i < c->n_vms; i++) {
        for (unsigned k = 0; k < c->vms[i].n_disks; k++) {
            const struct config_disk *d = &c->vms[i].disks[k];
            const size_t n = strlen(MODULE_DISK);

            if (strncmp(d->name, MODULE_DISK, n) == 0 && strcmp(d->name + n, module) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Whether some VM uses the module as a kernel and some as an initrd. */
static bool has_two_uses(const struct config *c, const char *module)
{
    bool kernel = false, initrd = false;

    for (unsigned i = 0; i < c->n_vms; i++) {
        kernel |= strcmp(c->vms[i].kernel, module) == 0;
        initrd |= strcmp(c->vms[i].initrd, module) == 0;
    }
    return kernel && initrd;
}

static struct image *find(const uint8_t *bytes, uint64_t n, bool initrd)
{
    for (unsigned i = 0; i < n_images; i++) {
        const struct image *im = &images[i].image;

        if (images[i].initrd == initrd && im->source == bytes && im->bytes == n) {
            return &images[i].image;
        }
    }
    return NULL;
}

/* The image with the same content, in another module. Called at boot only: nothing was moved. */
static struct image *find_equal(const uint8_t *bytes, uint64_t n, bool initrd)
{
    for (unsigned i = 0; i < n_images; i++) {
        const struct image *im = &images[i].image;

        if (images[i].initrd == initrd && im->bytes == n && im->may_move &&
            memcmp(im->source, bytes, n) == 0) {
            return &images[i].image;
        }
    }
    return NULL;
}

/* Names that were found to be of another's image: what the module itself holds is not used. */
static struct alias {
    const uint8_t *bytes;
    uint64_t n;
    bool initrd;
    struct image *image;
} * aliases;
static unsigned n_aliases;

static void add_set(struct image *im, struct share_group *g)
{
    if (!image_set_of(im, g)) {
        uint64_t pages = image_pages_max(im->bytes);
        image_add_set(im, boot_alloc(sizeof(struct image_set), 64), g,
                      boot_alloc(pages * sizeof(struct image_frame), 64));
    }
}

static void add(const struct config *c, const char *module, bool initrd, struct share_group *g)
{
    const uint8_t *bytes;
    uint64_t n;

    if (module[0] == '\0' || !machine_module(module, &bytes, &n) || n == 0) {
        return;
    }
    struct image *im = images_find(module, initrd);
    bool alone = !is_disk(c, module) && !has_two_uses(c, module);
    if (!im && alone && (im = find_equal(bytes, n, initrd)) != NULL) {
        aliases[n_aliases++] = (struct alias){bytes, n, initrd, im};
    }
    if (!im) {
        im = &images[n_images].image;
        images[n_images++].initrd = initrd;
        image_init(im, &machine_frames, &machine_fold, (uint8_t *)(uintptr_t)bytes, n, alone);
    }
    add_set(im, g);
}

static struct share_group *group_of(const char *name)
{
    for (unsigned i = 0; i < n_groups; i++) {
        if (strcmp(groups[i].name, name) == 0) {
            return &groups[i];
        }
    }
    return NULL;
}

void images_init(const struct config *config)
{
    unsigned most = MAX(config->n_vms * 2, 1u);

    images = boot_alloc(most * sizeof(*images), 64);
    aliases = boot_alloc(most * sizeof(*aliases), 64);
    for (unsigned i = 0; i < config->n_vms; i++) {
        const struct config_vm *vm = &config->vms[i];
        struct share_group *g = group_of(vm->share);

        ASSERT(g);
        add(config, vm->kernel, false, g);
        add(config, vm->initrd, true, g);
    }
}

struct image *images_find(const char *module, bool initrd)
{
    const uint8_t *bytes;
    uint64_t n;

    if (!machine_module(module, &bytes, &n)) {
        return NULL;
    }
    for (unsigned i = 0; i < n_aliases; i++) {
        if (aliases[i].bytes == bytes && aliases[i].n == n && aliases[i].initrd == initrd) {
            return aliases[i].image;
        }
    }
    return find(bytes, n, initrd);
}

void images_mapped(uint64_t pages)
{
    mapped += pages;
}

struct images_counts images_counts(void)
{
    struct images_counts c = {.mapped = mapped};

    for (unsigned i = 0; i < n_images; i++) {
        c.copied += images[i].image.n_copied;
        c.owned += images[i].image.n_owned;
        for (const struct image_set *set = images[i].image.sets; set; set = set->next) {
            c.held += set->held;
        }
    }
    return c;
}

uint64_t images_reclaim(void *ctx, uint64_t want)
{
    (void)ctx;
    uint64_t got = 0;

    for (unsigned i = 0; i < n_images && got < want; i++) {
        got += image_reclaim(&images[i].image, want - got);
    }
    return got;
}

void images_references(struct yield *y, void (*found)(void *arg, mfn_t mfn), void *arg)
{
    for (unsigned i = 0; i < n_images; i++) {
        image_references(&images[i].image, y, found, arg);
    }
}
