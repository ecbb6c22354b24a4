/* SPDX-License-Identifier: BSD-2-Clause */
/* build/host/verify-image on disks and logs made by hand: what it must take, and what it must not.
 */
#include "guests/verify/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECTORS (COARSE_AT + 4 * CHUNK_SECTORS)
#define AT 2500u /* writer 0's, where there are two */

static uint64_t disk[SECTORS][SECTOR_WORDS];
static char folder[] = "/tmp/verify-image-XXXXXX";

static const char begin[] = "[a] ok 1 - writer 0 of 2, 4064 sectors, features 0\n"
                            "[b] ok 1 - writer 1 of 2, 4064 sectors, features 0\n"
                            "[a] w 5 2500 3\n"
                            "[b] w 5 3000 1\n"
                            "[a] d 5\n"
                            "[a] w 9 2501 1\n"
                            "pagefold> \n";

static void save(const char *name, const void *bytes, size_t n)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

/* Whether it takes this disk with `begin` and `more` for a log. */
static bool takes(const char *more, const char *options)
{
    char log[1024], command[256];
    int n = snprintf(log, sizeof(log), "%s%s", begin, more);

    save("disk", disk, sizeof(disk));
    save("log", log, (size_t)n);
    snprintf(command, sizeof(command), "build/host/verify-image %s/disk %s/log %s > %s/out", folder,
             folder, options, folder);
    int status = system(command);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 0;
}

static int setup(void **state)
{
    (void)state;
    memset(disk, 0, sizeof(disk));
    for (uint64_t s = AT; s < AT + 3; s++) {
        fill_version(disk[s], 0, 5, s);
    }
    return 0;
}

static void the_layout_is_as_told(void **state)
{
    (void)state;
    assert_int_equal(SECTORS, 4064);
    assert_int_equal(owner_of(AT, 2), 0);
    assert_int_equal(owner_of(3000, 2), 1);
}

static void floors(void **state)
{
    (void)state;
    assert_true(takes("", ""));
    assert_true(takes("[a] f 5\n", ""));
    assert_true(takes("[a] f 8\n", ""));
    assert_true(takes("", "--through"));
    /* 9 was flushed, or completed, and is not there. */
    assert_false(takes("[a] d 9\n[a] f 9\n", ""));
    assert_false(takes("[a] d 9\n", "--through"));
    assert_true(takes("[a] d 9\n", ""));
    /* A line that did not come through whole was not told. */
    assert_true(takes("[a] f 9", ""));
    fill_version(disk[2501], 0, 9, 2501);
    assert_true(takes("[a] d 9\n[a] f 9\n", "--through"));
    /* The other guest's write is not there. */
    assert_false(takes("[b] f 5\n", ""));
    fill_version(disk[3000], 1, 5, 3000);
    assert_true(takes("[b] f 5\n", ""));
}

static void contents(void **state)
{
    (void)state;
    disk[2502][63] ^= 1;
    assert_false(takes("", "")); /* torn */
    fill_version(disk[2502], 0, 5, 2501);
    assert_false(takes("", "")); /* elsewhere's */
    fill_version(disk[2502], 1, 5, 2502);
    assert_false(takes("", "")); /* another's */
    fill_version(disk[2502], 0, 9, 2502);
    assert_false(takes("", "")); /* that write had one sector, and not this */
    fill_version(disk[2502], 0, 7, 2502);
    assert_false(takes("", "")); /* there was no such write */
    fill_version(disk[2502], 0, 10, 2502);
    assert_true(takes("", "")); /* newer than the last line */
    memset(disk[2502], 0, SECTOR);
    assert_true(takes("", ""));
    assert_false(takes("[a] f 5\n", ""));
    assert_false(takes("[a] not ok 2 - phase 1\n", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_is_as_told),
        cmocka_unit_test_setup(floors, setup),
        cmocka_unit_test_setup(contents, setup),
    };
    char command[64];

    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command) != 0 || failed;
}
