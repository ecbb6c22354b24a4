/* SPDX-License-Identifier: BSD-2-Clause */
/* Decoding: prefixes, ModRM, immediates. What the opcodes mean is in insn_forms.c. */
#include "arch/x86_64/decode/insn.h"

#include "arch/x86_64/decode/insn_forms.h"
#include "base/bits.h"
#include "base/string.h"

#define REX_W 8u
#define REX_R 4u
#define REX_X 2u
#define REX_B 1u

struct cursor {
    const uint8_t *bytes;
    unsigned n, at;
    enum status status;
};

static uint8_t next(struct cursor *c)
{
    if (c->at >= c->n || c->at >= INSN_MAX) {
        c->status = E_RANGE;
        return 0;
    }
    return c->bytes[c->at++];
}

/* A little-endian, sign-extended immediate or displacement. */
static uint64_t next_signed(struct cursor *c, unsigned size)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < size; i++) {
        v |= (uint64_t)next(c) << 8 * i;
    }
    if (size > 0 && size < 8 && (v & BIT(8 * size - 1))) {
        v |= ~(BIT(8 * size) - 1);
    }
    return v;
}

struct prefixes {
    bool operand, address, lock;
    uint8_t rep; /* the last of 0xf2 and 0xf3, or 0 */
    int8_t segment;
    uint8_t rex;
};

/* Takes b if it is a legacy prefix. */
static bool legacy_prefix(uint8_t b, enum insn_mode mode, struct prefixes *p)
{
    switch (b) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        /* 64-bit mode has no bases but FS's and GS's, and ignores these (SDM vol. 1, 3.3.7.1). */
        if (mode != INSN_64) {
            p->segment = (int8_t)(b >> 3 & 3);
        }
        return true;
    case 0x64:
    case 0x65:
        p->segment = (int8_t)(b & 7);
        return true;
    case 0x66:
        p->operand = true;
        return true;
    case 0x67:
        p->address = true;
        return true;
    case 0xf0:
        p->lock = true;
        return true;
    case 0xf2:
    case 0xf3:
        p->rep = b;
        return true;
    default:
        return false;
    }
}

/* The first byte behind the prefixes. */
static uint8_t take_prefixes(struct cursor *c, enum insn_mode mode, struct prefixes *p)
{
    for (;;) {
        uint8_t b = next(c);

        if (c->status != OK) {
            return 0;
        }
        if (mode == INSN_64 && (b & 0xf0) == 0x40) {
            p->rex = b; /* counts only right before the opcode */
        } else if (legacy_prefix(b, mode, p)) {
            p->rex = 0;
        } else {
            return b;
        }
    }
}

static void take_address16(struct cursor *c, struct insn *i, uint8_t mod, uint8_t rm)
{
    static const int8_t bases[8] = {3, 3, 5, 5, 6, 7, 5, 3}; /* BX BX BP BP SI DI BP BX */
    static const int8_t indexes[8] = {6,           7,           6,           7,
                                      INSN_NO_REG, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG};

    i->base = mod == 0 && rm == 6 ? INSN_NO_REG : bases[rm];
    i->index = indexes[rm];
    i->disp = next_signed(c, mod == 1 ? 1 : mod == 2 || i->base == INSN_NO_REG ? 2 : 0);
}

static void take_address(struct cursor *c, struct insn *i, enum insn_mode mode, uint8_t rex,
                         uint8_t mod, uint8_t rm)
{
    unsigned disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;

    i->base = (int8_t)(rm | ((rex & REX_B) ? 8 : 0));
    if (rm == 4) {
        uint8_t sib = next(c), index = (uint8_t)((sib >> 3 & 7) | ((rex & REX_X) ? 8 : 0));

        i->scale = sib >> 6;
        i->index = index == 4 ? INSN_NO_REG : (int8_t)index;
        i->base = (int8_t)((sib & 7) | ((rex & REX_B) ? 8 : 0));
        if (mod == 0 && (sib & 7) == 5) {
            i->base = INSN_NO_REG;
            disp = 4;
        }
    } else if (mod == 0 && rm == 5) {
        i->base = mode == INSN_64 ? INSN_RIP : INSN_NO_REG;
        disp = 4;
    }
    i->disp = next_signed(c, disp);
}

static void take_modrm(struct cursor *c, struct insn *i, enum insn_mode mode,
                       const struct prefixes *p)
{
    uint8_t modrm = next(c), mod = modrm >> 6, rm = modrm & 7;

    i->reg = (uint8_t)((modrm >> 3 & 7) | ((p->rex & REX_R) ? 8 : 0));
    i->memory = mod != 3;
    if (!i->memory) {
        i->rm = (uint8_t)(rm | ((p->rex & REX_B) ? 8 : 0));
        return;
    }
    if (i->address_size == 2) {
        take_address16(c, i, mod, rm);
    } else {
        take_address(c, i, mode, p->rex, mod, rm);
    }
    /* RSP and RBP are the stack's. */
    i->segment = i->base == 4 || i->base == 5 ? SEG_SS : SEG_DS;
    if (p->segment >= 0) {
        i->segment = (uint8_t)p->segment;
    }
}

/* VEX behind its first byte: as the prefixes that it stands for. Returns the opcode's map. */
static uint8_t take_vex(struct cursor *c, enum insn_mode mode, uint8_t first, struct prefixes *p,
                        struct insn_opcode *o)
{
    uint8_t b = next(c), map = 1;

    p->rex = (uint8_t)(0x40 | ((b & 0x80) ? 0 : REX_R));
    if (first == 0xc4) {
        map = b & 0x1f;
        p->rex |= (uint8_t)(((b & 0x40) ? 0 : REX_X) | ((b & 0x20) ? 0 : REX_B));
        b = next(c);
        p->rex |= (b & 0x80) ? REX_W : 0;
    }
    if (mode != INSN_64) {
        p->rex = 0;
    }
    o->vex = true;
    o->vex_256 = b & 4;
    o->vvvv = (uint8_t)(~b >> 3 & (mode == INSN_64 ? 15 : 7));
    o->prefix = b & 3;
    return map;
}

static enum insn_mandatory mandatory(const struct prefixes *p)
{
    return p->rep == 0xf3   ? PREFIX_F3
           : p->rep == 0xf2 ? PREFIX_F2
           : p->operand     ? PREFIX_66
                            : PREFIX_NONE;
}

/* Prefixes and opcode. */
static enum status take_opcode(struct cursor *c, enum insn_mode mode, struct prefixes *p,
                               struct insn_opcode *o)
{
    uint8_t b = take_prefixes(c, mode, p);

    o->mode = mode;
    o->prefix = (uint8_t)mandatory(p);
    /* Outside 64-bit mode these are LES and LDS unless what follows would be a register. */
    if ((b == 0xc4 || b == 0xc5) && c->status == OK &&
        (mode == INSN_64 || (c->at < c->n && c->bytes[c->at] >= 0xc0))) {
        if (p->rex || p->lock || p->operand || p->rep) {
            return E_INVAL;
        }
        o->map = take_vex(c, mode, b, p, o);
        o->opcode = next(c);
    } else if (b == 0x0f) {
        o->map = 1;
        o->opcode = next(c);
        if (o->opcode == 0x38 || o->opcode == 0x3a) {
            o->map = o->opcode == 0x38 ? 2 : 3;
            o->opcode = next(c);
        }
    } else {
        o->opcode = b;
    }
    o->rex_w = p->rex & REX_W;
    return c->status;
}

static void take_immediates(struct cursor *c, struct insn *i, unsigned flags)
{
    if (flags & FORM_IMM_MOFFS) { /* memory at an absolute address */
        i->disp = next_signed(c, i->address_size);
        i->memory = true;
    } else if (flags & FORM_IMM8) {
        i->imm = next_signed(c, 1);
    } else if (flags & FORM_IMM16) {
        i->imm = next_signed(c, 2) & 0xffff;
    } else if (flags & FORM_IMMZ) {
        i->imm = next_signed(c, MIN(i->size, 4u));
    }
    i->has_imm = flags & (FORM_IMM8 | FORM_IMM16 | FORM_IMMZ);
    if (flags & FORM_NESTING) {
        i->sub = next(c);
    }
}

static void set_sizes(struct insn *i, enum insn_mode mode, const struct prefixes *p)
{
    i->rex = p->rex != 0;
    i->operand_size = (p->rex & REX_W)  ? 8
                      : mode == INSN_16 ? (p->operand ? 4 : 2)
                      : p->operand      ? 2
                                        : 4;
    i->address_size = mode == INSN_64   ? (p->address ? 4 : 8)
                      : mode == INSN_32 ? (p->address ? 2 : 4)
                                        : (p->address ? 4 : 2);
    i->base = i->index = INSN_NO_REG;
    i->segment = p->segment >= 0 ? (uint8_t)p->segment : SEG_DS;
    i->lock = p->lock;
    i->repe = p->rep == 0xf3;
    i->repne = p->rep == 0xf2;
}

enum status insn_decode(const uint8_t *bytes, unsigned n, enum insn_mode mode, struct insn *out)
{
    struct cursor c = {bytes, n, 0, OK};
    struct prefixes p = {.segment = -1};
    struct insn_opcode o = {0};
    struct insn i;
    unsigned flags;

    memset(&i, 0, sizeof(i));
    enum status s = take_opcode(&c, mode, &p, &o);
    if (s != OK) {
        return s;
    }
    set_sizes(&i, mode, &p);
    i.vex = o.vex;
    i.vvvv = o.vvvv;
    if (insn_has_modrm(&o)) {
        take_modrm(&c, &i, mode, &p);
        if (c.status != OK) {
            return c.status;
        }
    }
    if (!insn_form(&o, &i, &flags)) {
        return E_UNSUPPORTED;
    }
    take_immediates(&c, &i, flags);
    if (flags & FORM_OPREG) {
        i.rm = (uint8_t)((o.opcode & 7) | ((p.rex & REX_B) ? 8 : 0));
    }
    if (c.status != OK) {
        return c.status;
    }
    /* LOCK is #UD but for read-modify-write of memory. */
    if (p.lock && !((flags & FORM_LOCK) && i.memory)) {
        return E_INVAL;
    }
    i.length = (uint8_t)c.at;
    *out = i;
    return OK;
}
