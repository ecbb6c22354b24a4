/* SPDX-License-Identifier: BSD-2-Clause */
/* Fills a new VM's memory: ACPI tables, kernel, initrd; and sets its first vCPU's registers. */
#include "base/log.h"
#include "drivers/guest/vacpi_tables.h"
#include "kernel/core/machine.h"
#include "kernel/vm/images.h"
#include "kernel/vm/internal.h"
#include "kernel/vm/loader.h"

_Static_assert(LOADER_LOW_RAM_MAX == HVM_DEVICE_HOLE, "one place for the hole");

static enum status put_acpi(struct vm *vm, gpa_t *rsdp)
{
    static uint8_t tables[LOADER_ACPI_BYTES];
    enum status s = acpi_tables_build(tables, sizeof(tables), GPA(LOADER_ACPI), vm->n_vcpus, rsdp);

    return s == OK ? p2m_write(&vm->p2m, GPA(LOADER_ACPI), tables, sizeof(tables)) : s;
}

/* What a BIOS leaves in its data area: COM1, the equipment word (a coprocessor, one serial port),
 * the extended area's segment and the KiB below it. Systems that look for memory without a map read
 * it. */
static enum status put_bios_data(struct vm *vm)
{
    struct {
        uint16_t com[4], lpt[3], ebda_segment, equipment;
        uint8_t test;
        uint16_t base_kib;
    } __attribute__((packed)) bda = {.com = {VUART_COM1},
                                     .ebda_segment = LOADER_LOW_END >> 4,
                                     .equipment = 1u << 9 | 1u << 1,
                                     .base_kib = LOADER_LOW_END >> 10};
    uint8_t ebda_kib = (0xa0000 - LOADER_LOW_END) >> 10;
    enum status s = p2m_write(&vm->p2m, GPA(0x400), &bda, sizeof(bda));

    return s == OK ? p2m_write(&vm->p2m, GPA(LOADER_LOW_END), &ebda_kib, 1) : s;
}

/* The frames of a file for the VM's share group; a VM that is not to share any copies its bytes. */
static struct loader_frames frames_of(const struct vm *vm, const char *module, bool initrd)
{
    struct loader_frames f = {.image = images_find(module, initrd)};

    if (f.image && !vm->p2m.fold_off) {
        f.set = image_set_of(f.image, vm->group);
        ASSERT(f.set);
    }
    return f;
}

static void use_images(const struct vm *vm, bool use)
{
    const char *const modules[] = {vm->config->kernel, vm->config->initrd};

    for (unsigned i = 0; i < 2; i++) {
        struct image *im = modules[i][0] ? images_find(modules[i], i == 1) : NULL;

        if (im) {
            image_use(image_set_of(im, vm->group), use);
        }
    }
}

enum status vm_load_begin(struct vm *vm)
{
    const struct config_vm *c = vm->config;
    struct loader_input in = {.cmdline = c->cmdline};
    struct loader_frames kernel, initrd = {0};
    char why[160] = "";
    enum status s;

    if (!machine_module(c->kernel, &in.kernel, &in.kernel_bytes)) {
        log_error("%s: there is no boot module '%s' (its kernel); add `module2 FILE %s` to "
                  "grub.cfg, or use tools/run",
                  c->name, c->kernel, c->kernel);
        return E_NOTFOUND;
    }
    if (c->initrd[0] && !machine_module(c->initrd, &in.initrd, &in.initrd_bytes)) {
        log_error("%s: there is no boot module '%s' (its initrd); add `module2 FILE %s` to "
                  "grub.cfg, or use tools/run",
                  c->name, c->initrd, c->initrd);
        return E_NOTFOUND;
    }
    s = put_bios_data(vm);
    if (s == OK) {
        s = put_acpi(vm, &in.rsdp);
    }
    if (s == E_NOMEM) {
        return s;
    }
    if (s != OK) {
        log_error("%s: writing what its firmware leaves: %s", c->name, status_name(s));
        return s;
    }
    kernel = frames_of(vm, c->kernel, false);
    if (c->initrd[0]) {
        initrd = frames_of(vm, c->initrd, true);
    }
    /* Modules of equal content are read where the image is: the others' bytes serve for nothing. */
    if (kernel.image) {
        in.kernel = kernel.image->source;
    }
    s = loader_begin(&vm->load, &vm->p2m, &in, kernel, initrd, why, sizeof(why));
    if (s != OK) {
        log_error("%s: cannot load %s: %s", c->name, c->kernel, why);
        return s;
    }
    if (!vm->uses_images) {
        use_images(vm, true);
        vm->uses_images = true;
    }
    return OK;
}

void vm_load_release(struct vm *vm)
{
    if (vm->uses_images) {
        use_images(vm, false);
        vm->uses_images = false;
    }
}

static void set_registers(struct vm *vm)
{
    const struct loader_entry *e = &vm->load.entry;

    if (e->long_mode) {
        hvm_vcpu_boot64(vm->vcpus[0].hvm, &(struct hvm_boot64){.rip = e->rip,
                                                               .rsp = e->rsp,
                                                               .rsi = e->rsi,
                                                               .cr3 = e->cr3,
                                                               .gdt_base = e->gdt_base,
                                                               .gdt_limit = e->gdt_limit});
    } else {
        hvm_vcpu_boot32(vm->vcpus[0].hvm, &(struct hvm_boot32){.rip = (uint32_t)e->rip,
                                                               .esp = (uint32_t)e->rsp,
                                                               .esi = (uint32_t)e->rsi,
                                                               .gdt_base = e->gdt_base,
                                                               .gdt_limit = e->gdt_limit});
    }
}

enum status vm_load_step(struct vm *vm, const struct deadline *d, bool *done)
{
    enum status s = loader_step(&vm->load, d);

    *done = vm->load.stage == LOADER_DONE;
    if (s == OK && *done) {
        images_mapped(vm->load.mapped);
        set_registers(vm);
    }
    return s;
}
