/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs programs for tests, by the shell. */
#include "program.h"

#include "require.h"

#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

int program_run(char *said, size_t size, const char *format, ...)
{
    char command[1024];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(command, sizeof(command) - sizeof(" 2>&1"), format, args);
    va_end(args);
    REQUIRE(length > 0 && (size_t)length < sizeof(command) - sizeof(" 2>&1"));
    strcat(command, " 2>&1");

    FILE *out = popen(command, "r");
    REQUIRE(out);
    size_t n = fread(said, 1, size - 1, out);
    said[n] = '\0';
    int status = pclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

long program_number(const char *json, const char *key)
{
    char name[64];
    const char *at = NULL, *p = json;

    snprintf(name, sizeof(name), "\"%s\": ", key);
    while ((p = strstr(p, name)) != NULL) {
        p += strlen(name);
        at = p;
    }
    if (!at) {
        fprintf(stderr, "no %s in %s\n", key, json);
    }
    REQUIRE(at);
    return strtol(at, NULL, 10);
}
