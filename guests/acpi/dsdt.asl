/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest's ACPI says about its devices. Ports and lines agree with drivers/guest/; the interrupt
   of a PCI slot is wired (10 for even slots, 11 for odd ones), as pci_slot_irq() has it. */
DefinitionBlock ("dsdt.aml", "DSDT", 2, "PGFOLD", "PGFDSDT", 0x00000001)
{
    /* SLP_TYP 5: power off (ACPIPM_SLP_TYP_S5). There is no other sleep. */
    Name (\_S5, Package () { 0x05, 0x05, 0x00, 0x00 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_BBN, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0x0000, 0x0000, 0x0000, 0x0000, 0x0001)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0x0000, 0x0000, 0x0CF7, 0x0000, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0x0000, 0x0D00, 0xFFFF, 0x0000, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x00000000, 0xE0000000, 0xFEBFFFFF, 0x00000000, 0x1EC00000)
            })

            /* INTA# of each slot; a global interrupt number is an ISA line here. */
            Name (_PRT, Package ()
            {
                Package () { 0x0001FFFF, 0, 0, 11 },
                Package () { 0x0002FFFF, 0, 0, 10 },
                Package () { 0x0003FFFF, 0, 0, 11 },
                Package () { 0x0004FFFF, 0, 0, 10 },
                Package () { 0x0005FFFF, 0, 0, 11 },
                Package () { 0x0006FFFF, 0, 0, 10 },
                Package () { 0x0007FFFF, 0, 0, 11 },
                Package () { 0x0008FFFF, 0, 0, 10 },
                Package () { 0x0009FFFF, 0, 0, 11 },
                Package () { 0x000AFFFF, 0, 0, 10 },
                Package () { 0x000BFFFF, 0, 0, 11 },
                Package () { 0x000CFFFF, 0, 0, 10 },
                Package () { 0x000DFFFF, 0, 0, 11 },
                Package () { 0x000EFFFF, 0, 0, 10 },
                Package () { 0x000FFFFF, 0, 0, 11 },
                Package () { 0x0010FFFF, 0, 0, 10 },
                Package () { 0x0011FFFF, 0, 0, 11 },
                Package () { 0x0012FFFF, 0, 0, 10 },
                Package () { 0x0013FFFF, 0, 0, 11 },
                Package () { 0x0014FFFF, 0, 0, 10 },
                Package () { 0x0015FFFF, 0, 0, 11 },
                Package () { 0x0016FFFF, 0, 0, 10 },
                Package () { 0x0017FFFF, 0, 0, 11 },
                Package () { 0x0018FFFF, 0, 0, 10 },
                Package () { 0x0019FFFF, 0, 0, 11 },
                Package () { 0x001AFFFF, 0, 0, 10 },
                Package () { 0x001BFFFF, 0, 0, 11 },
                Package () { 0x001CFFFF, 0, 0, 10 },
                Package () { 0x001DFFFF, 0, 0, 11 },
                Package () { 0x001EFFFF, 0, 0, 10 },
                Package () { 0x001FFFFF, 0, 0, 11 }
            })
        }

        Device (PIC)
        {
            Name (_HID, EisaId ("PNP0000"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0020, 0x0020, 0x01, 0x02)
                IO (Decode16, 0x00A0, 0x00A0, 0x01, 0x02)
                IO (Decode16, 0x04D0, 0x04D0, 0x01, 0x02)
                IRQNoFlags () { 2 }
            })
        }

        Device (TIMR)
        {
            Name (_HID, EisaId ("PNP0100"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0040, 0x0040, 0x01, 0x04)
                IRQNoFlags () { 0 }
            })
        }

        Device (SPKR)
        {
            Name (_HID, EisaId ("PNP0800"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0061, 0x0061, 0x01, 0x01)
            })
        }

        Device (RTC)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
                IRQNoFlags () { 8 }
            })
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, One)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
                IRQNoFlags () { 4 }
            })
        }

        /* A guest's kernel tells of its panic here: drivers/guest/pvpanic.h. */
        Device (PEVT)
        {
            Name (_HID, "QEMU0001")
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0505, 0x0505, 0x01, 0x01)
            })
        }

        /* Ports of the board that no driver may take: fast reset and the PM registers. */
        Device (SYSR)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, One)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0092, 0x0092, 0x01, 0x01)
                IO (Decode16, 0x0600, 0x0600, 0x01, 0x0C)
            })
        }
    }
}
