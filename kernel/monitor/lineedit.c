/* SPDX-License-Identifier: BSD-2-Clause */
/* The line editor: a text with a cursor, a ring of older texts, and a decoder of escape sequences.
 */
#include "kernel/monitor/lineedit.h"

#include "base/bits.h"
#include "base/format.h"
#include "base/string.h"

#define CTRL(c) ((c)&0x1f)
#define ESC 0x1b
#define DEL 0x7f

/* States within an escape sequence: after ESC, within CSI (ESC [), after SS3 (ESC O), and within a
 * string (OSC, DCS, APC, PM) that BEL or ESC \ ends. */
enum { IN_NONE, IN_ESC, IN_CSI, IN_SS3, IN_STRING, IN_STRING_ESC };

void lineedit_init(struct lineedit *e, const char *prompt,
                   void (*put)(void *ctx, const char *bytes, size_t n), void *ctx)
{
    memset(e, 0, sizeof(*e));
    e->prompt = prompt;
    e->put = put;
    e->ctx = ctx;
}

const char *lineedit_line(const struct lineedit *e)
{
    return e->text;
}

size_t lineedit_render(const struct lineedit *e, char *buf, size_t size)
{
    unsigned prompt = (unsigned)strnlen(e->prompt, LINEEDIT_PROMPT_MAX);
    unsigned room = LINEEDIT_COLUMNS - prompt;
    unsigned len = e->complete ? 0 : e->n, at = e->complete ? 0 : e->at;
    unsigned from = at >= room ? at - room + 1 : 0;
    unsigned shown = MIN(len - from, room);
    unsigned back = shown - (at - from);
    size_t n;

    n = format(buf, size, "\r%.*s%.*s\x1b[K", (int)prompt, e->prompt, (int)shown, e->text + from);
    if (back > 0 && n < size) {
        n += format(buf + n, size - n, "\x1b[%uD", back);
    }
    return size == 0 ? 0 : MIN(n, size - 1);
}

static void redraw(struct lineedit *e)
{
    char buf[LINEEDIT_RENDER];

    if (e->put != NULL) {
        e->put(e->ctx, buf, lineedit_render(e, buf, sizeof(buf)));
    }
}

static void bell(struct lineedit *e)
{
    if (e->put != NULL) {
        e->put(e->ctx, "\a", 1);
    }
}

static void insert(struct lineedit *e, char c)
{
    if (e->n == LINEEDIT_MAX - 1) {
        bell(e);
        return;
    }
    memmove(e->text + e->at + 1, e->text + e->at, e->n - e->at + 1);
    e->text[e->at++] = c;
    e->n++;
    if (e->at == e->n && e->put != NULL &&
        strnlen(e->prompt, LINEEDIT_PROMPT_MAX) + e->n < LINEEDIT_COLUMNS) {
        e->put(e->ctx, &c, 1);
    } else {
        redraw(e);
    }
}

/* Takes [from, to) out; the cursor ends at `from`. */
static void cut(struct lineedit *e, unsigned from, unsigned to)
{
    if (from == to) {
        bell(e);
        return;
    }
    memmove(e->text + from, e->text + to, e->n - to + 1);
    e->n -= to - from;
    e->at = from;
    redraw(e);
}

static void cut_word(struct lineedit *e)
{
    unsigned from = e->at;

    while (from > 0 && e->text[from - 1] == ' ') {
        from--;
    }
    while (from > 0 && e->text[from - 1] != ' ') {
        from--;
    }
    cut(e, from, e->at);
}

static void move(struct lineedit *e, unsigned to)
{
    if (to == e->at || to > e->n) {
        bell(e);
        return;
    }
    e->at = to;
    redraw(e);
}

static void set_text(struct lineedit *e, const char *text)
{
    e->n = (unsigned)strnlen(text, LINEEDIT_MAX - 1);
    memcpy(e->text, text, e->n);
    e->text[e->n] = '\0';
    e->at = e->n;
    redraw(e);
}

/* The line that is `back` lines old, 1 the newest. */
static char *history_at(struct lineedit *e, unsigned back)
{
    return e->history[(e->newest + LINEEDIT_HISTORY - back) % LINEEDIT_HISTORY];
}

static void browse(struct lineedit *e, bool older)
{
    if (older ? e->browsing == e->n_history : e->browsing == 0) {
        bell(e);
        return;
    }
    if (e->browsing == 0) {
        memcpy(e->draft, e->text, sizeof(e->draft));
    }
    e->browsing += older ? 1 : -1u;
    set_text(e, e->browsing == 0 ? e->draft : history_at(e, e->browsing));
}

static void remember(struct lineedit *e)
{
    if (e->n == 0 || (e->n_history > 0 && strcmp(history_at(e, 1), e->text) == 0)) {
        return;
    }
    memcpy(e->history[e->newest], e->text, sizeof(e->text));
    e->newest = (e->newest + 1) % LINEEDIT_HISTORY;
    e->n_history = MIN(e->n_history + 1, (unsigned)LINEEDIT_HISTORY);
}

/* The last byte of a control sequence, with its first parameter in e->number. */
static void sequence(struct lineedit *e, uint8_t last)
{
    unsigned number = e->number;

    switch (last) {
    case 'A':
        browse(e, true);
        break;
    case 'B':
        browse(e, false);
        break;
    case 'C':
        move(e, e->at + 1);
        break;
    case 'D':
        move(e, e->at - 1); /* at 0 it wraps, and is refused */
        break;
    case 'H':
        move(e, 0);
        break;
    case 'F':
        move(e, e->n);
        break;
    case '~':
        if (number == 1 || number == 7) {
            move(e, 0);
        } else if (number == 4 || number == 8) {
            move(e, e->n);
        } else if (number == 3) {
            cut(e, e->at, MIN(e->at + 1, e->n));
        }
        break;
    default:
        break;
    }
}

/* One byte inside an escape sequence. */
static void escape(struct lineedit *e, uint8_t byte)
{
    uint8_t state = e->escape;

    e->escape = IN_NONE;
    switch (state) {
    case IN_ESC:
        e->number = 0;
        if (byte == '[') {
            e->escape = IN_CSI;
        } else if (byte == 'O') {
            e->escape = IN_SS3;
        } else if (byte == ']' || byte == 'P' || byte == '_' || byte == '^') {
            e->escape = IN_STRING;
        } else if (byte == ESC) {
            e->escape = IN_ESC;
        }
        break;
    case IN_CSI:
        if (byte >= '0' && byte <= '9') {
            unsigned number = e->number * 10u + (byte - '0');
            e->number = (uint8_t)MIN(number, 255u);
            e->escape = IN_CSI;
        } else if (byte >= 0x40 && byte <= 0x7e) {
            sequence(e, byte);
        } else if (byte >= 0x20 && byte < 0x40) {
            /* Further parameters (of modified keys) change nothing for us: keep the first. */
            e->escape = IN_CSI;
        }
        break;
    case IN_SS3:
        sequence(e, byte);
        break;
    case IN_STRING:
        e->escape = byte == '\a' || byte == '\r' ? IN_NONE
                    : byte == ESC                ? IN_STRING_ESC
                                                 : IN_STRING;
        break;
    default: /* IN_STRING_ESC */
        e->escape = byte == '\\' ? IN_NONE : IN_STRING;
        break;
    }
}

static enum lineedit_event finish(struct lineedit *e)
{
    remember(e);
    e->complete = true;
    return LINEEDIT_LINE;
}

static enum lineedit_event control(struct lineedit *e, uint8_t byte)
{
    switch (byte) {
    case '\r':
    case '\n':
        return finish(e);
    case CTRL('C'):
        e->n = e->at = 0;
        e->text[0] = '\0';
        e->complete = true;
        return LINEEDIT_LINE;
    case CTRL('D'):
        if (e->n == 0) {
            return LINEEDIT_END;
        }
        cut(e, e->at, MIN(e->at + 1, e->n));
        break;
    case CTRL('H'):
    case DEL:
        cut(e, e->at > 0 ? e->at - 1 : 0, e->at);
        break;
    case CTRL('A'):
        move(e, 0);
        break;
    case CTRL('E'):
        move(e, e->n);
        break;
    case CTRL('B'):
        move(e, e->at - 1);
        break;
    case CTRL('F'):
        move(e, e->at + 1);
        break;
    case CTRL('P'):
        browse(e, true);
        break;
    case CTRL('N'):
        browse(e, false);
        break;
    case CTRL('U'):
        cut(e, 0, e->at);
        break;
    case CTRL('K'): {
        unsigned at = e->at;
        cut(e, at, e->n);
        break;
    }
    case CTRL('W'):
        cut_word(e);
        break;
    case CTRL('L'):
        redraw(e);
        break;
    case '\t':
        bell(e);
        break;
    default:
        break;
    }
    return LINEEDIT_MORE;
}

enum lineedit_event lineedit_key(struct lineedit *e, uint8_t byte)
{
    bool after_cr = e->after_cr;

    e->after_cr = byte == '\r';
    if (byte == '\n' && after_cr) {
        return LINEEDIT_MORE;
    }
    if (e->complete) {
        e->complete = false;
        e->n = e->at = e->browsing = 0;
        e->text[0] = '\0';
    }
    if (e->escape != IN_NONE) {
        escape(e, byte);
    } else if (byte == ESC) {
        e->escape = IN_ESC;
    } else if (byte >= 0x20 && byte <= 0x7e) {
        insert(e, (char)byte);
    } else {
        return control(e, byte);
    }
    return LINEEDIT_MORE;
}
