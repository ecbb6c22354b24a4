/* SPDX-License-Identifier: BSD-2-Clause */
/* What is around the work of a step: vector registers, and whose cost it is. Private to mm/. */
#ifndef MM_FOLD_BRACKET_H
#define MM_FOLD_BRACKET_H

#include "mm/fold/fold.h"

/* Before the first use of unit->ops in a step. */
void fold_bracket(struct fold *f);
/* At the end of the step. */
void fold_bracket_end(struct fold *f);
/* What follows is done for the VM, by its number; 0: for all. */
void fold_charge(const struct fold *f, uint16_t vm);

#endif
