/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's serial line: between its UART and its port of the console. */
#include "kernel/console/console.h"
#include "kernel/vm/internal.h"

/* ---- from the guest ------------------------------------------------------------------------ */

static void tx(void *ctx, uint8_t byte)
{
    struct vm *vm = ctx;

    console_port_tx(vm->console, byte);
}

static bool tx_room(void *ctx)
{
    struct vm *vm = ctx;

    return console_port_room(vm->console);
}

static const struct vuart_ops vuart_ops = {.tx = tx, .tx_room = tx_room};

void vm_serial_init(struct vm *vm)
{
    vuart_init(&vm->uart, &vuart_ops, vm, &vm->irq, VUART_COM1_IRQ);
}

/* ---- to the guest -------------------------------------------------------------------------- */

static bool can_take(void *ctx)
{
    return vm_is_up(ctx);
}

static bool receive(void *ctx, uint8_t byte)
{
    struct vm *vm = ctx;

    return vuart_rx(&vm->uart, byte);
}

static void resume(void *ctx)
{
    struct vm *vm = ctx;

    vuart_tx_resume(&vm->uart);
}

static void yield(void *ctx)
{
    struct vm *vm = ctx;

    hvm_request_exit(vm->vcpus[0].hvm);
}

static const struct console_port_ops port_ops = {
    .can_take = can_take,
    .receive = receive,
    .resume = resume,
    .yield = yield,
};

void vm_serial_make(struct vm *vm)
{
    vm->console = console_port_new(vm->config->name, &vm->log, &port_ops, vm);
}
