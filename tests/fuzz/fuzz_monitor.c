/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes typed at the monitor: edited, split, looked up and quoted in JSON, always within bounds. */
#include <stdlib.h>
#include <string.h>

#include "kernel/monitor/command.h"
#include "kernel/monitor/lineedit.h"
#include "kernel/stats/json.h"
#include "work.h"

static void require(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void put(void *ctx, const char *bytes, size_t n)
{
    (void)ctx;
    require(n > 0 && n <= LINEEDIT_RENDER && bytes[0] != '\0');
}

static void run(void *ctx, unsigned argc, char *const *argv)
{
    char text[4096];
    struct json j;

    (void)ctx;
    json_init(&j, text, sizeof(text));
    json_open(&j, NULL, '[');
    for (unsigned i = 0; i < argc; i++) {
        json_string(&j, NULL, argv[i]);
    }
    json_close(&j);
    require(argv[argc] == NULL && json_finish(&j));
}

static int one_input(const uint8_t *data, size_t size)
{
    static const struct command table[] = {{"a", "", "", 0, 9, run, false},
                                           {"ab", "", "", 0, 9, run, false},
                                           {"b", "X", "", 1, 1, run, true}};
    struct lineedit e;

    lineedit_init(&e, "pagefold> ", put, NULL);
    for (size_t i = 0; i < size; i++) {
        char why[100] = "";

        if (lineedit_key(&e, data[i]) == LINEEDIT_LINE) {
            require((command_run(table, 3, lineedit_line(&e), NULL, why, sizeof(why)) == OK) ==
                    (why[0] == '\0'));
        }
        require(e.at <= e.n && e.n < LINEEDIT_MAX && strlen(e.text) == e.n);
    }
    return 0;
}

FUZZ_ENTRY(one_input, 20000, 1500)
