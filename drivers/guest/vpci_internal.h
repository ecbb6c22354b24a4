/* SPDX-License-Identifier: BSD-2-Clause */
/* What vpci.c and vpci_msix.c know of each other. */
#ifndef DRIVERS_GUEST_VPCI_INTERNAL_H
#define DRIVERS_GUEST_VPCI_INTERNAL_H

#include "drivers/guest/vpci.h"

/* Brings the ISA line in step with the device's INTA#, its command register and its MSI-X. */
void vpci_intx_update(struct vpci_dev *d);
/* The guest has written to configuration space: vectors may have been unmasked. */
void vpci_msix_config_written(struct vpci_dev *d);
void vpci_msix_reset(struct vpci_dev *d);

#endif
