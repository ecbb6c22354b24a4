/* SPDX-License-Identifier: BSD-2-Clause */
/* What vpci.c and vpci_msix.c know of each other. */
#ifndef DRIVERS_GUEST_VPCI_INTERNAL_H
#define DRIVERS_GUEST_VPCI_INTERNAL_H

#include "drivers/guest/vpci.h"

/* Brings the ISA line in step with the device's INTA#, its command register and its MSI-X. */
void pci_intx_update(struct pci_dev *d);
/* The guest has written to configuration space: vectors may have been unmasked. */
void pci_msix_config_written(struct pci_dev *d);
void pci_msix_reset(struct pci_dev *d);

#endif
