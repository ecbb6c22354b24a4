/* SPDX-License-Identifier: BSD-2-Clause */
/* The frames of notes behind struct p2m_region. Private to mm/p2m. */
#ifndef MM_P2M_NOTES_H
#define MM_P2M_NOTES_H

#include "mm/p2m.h"

/* Sees to it that gfn (which is RAM) has notes. E_NOMEM: out of frames. */
enum status p2m_region_make(struct p2m *p, gfn_t gfn) MUST_CHECK;
/* Tells the logs alone that the page was or may be written. */
void p2m_log_written(struct p2m *p, gfn_t gfn);
/* Gives a region's notes back; nothing may be mapped there. */
void p2m_region_drop(struct p2m *p, uint32_t region);
/* mm/fold is to look at the page again, though nobody writes it: in the next pass, or when its rest
 * is over. */
void p2m_look_again(struct p2m *p, gfn_t gfn);

#endif
