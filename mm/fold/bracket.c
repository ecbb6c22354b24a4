/* SPDX-License-Identifier: BSD-2-Clause */
/* What is around the work of a step: see bracket.h. */
#include "mm/fold/bracket.h"

void fold_bracket(struct fold *f)
{
    if (!f->bracket && f->unit->begin) {
        f->unit->begin();
        f->bracket = true;
    }
}

void fold_bracket_end(struct fold *f)
{
    if (f->bracket) {
        f->unit->end();
        f->bracket = false;
    }
}

void fold_charge(const struct fold *f, uint16_t vm)
{
    if (f->charge) {
        f->charge(vm);
    }
}
