/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk as one submitter may use it: see view.h. */
#include "drivers/block/view.h"

static struct blk_view *view_of(struct blk_dev *dev)
{
    return (struct blk_view *)dev;
}

/* The gate of the view has checked the request, and the lower disk is no smaller. */
static void view_submit(struct blk_dev *dev, struct blk_req *r)
{
    struct blk_view *v = view_of(dev);

    r->account = &v->account;
    v->lower->ops->submit(v->lower, r);
}

static enum status view_hold(struct blk_dev *dev, uint64_t sector, uint32_t group, mfn_t *out)
{
    return blk_hold(view_of(dev)->lower, sector, group, out);
}

static void view_taken(struct blk_dev *dev, uint64_t sector, struct blk_account *account)
{
    struct blk_view *v = view_of(dev);

    (void)account;
    blk_taken(v->lower, sector, &v->account);
}

static bool view_keeps(struct blk_dev *dev, uint64_t sector)
{
    return blk_keeps(view_of(dev)->lower, sector);
}

static const struct blk_ops view_ops = {
    .submit = view_submit, .hold = view_hold, .taken = view_taken, .keeps = view_keeps};

void blk_view_init(struct blk_view *v, struct blk_dev *lower, const struct blk_account *account,
                   bool read_only)
{
    *v = (struct blk_view){.dev = *lower, .lower = lower, .account = *account};
    v->dev.ops = &view_ops;
    v->dev.read_only |= read_only;
}
