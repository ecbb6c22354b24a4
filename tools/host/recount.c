/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts what is equal in memory images, exactly: recount IMAGE...
 *
 * A witness for fold-bench and ksm-bench, so it shares no line with the folding core: it sorts all
 * pages and compares neighbours in full. A file's last piece of less than 4096 bytes is no page.
 * Prints JSON:
 *
 *     pages, zero_pages        all of them, and those of zeroes
 *     distinct_pages           different contents, zeroes included
 *     exact_saving             pages - distinct_pages: what perfect folding saves
 *     unique_pages             contents that occur once; no zeroes
 *     shared_contents          contents that occur more than once; no zeroes
 *     sharing_pages            their pages beyond the first of each
 *     equal_inside             pages, no zeroes, that have an equal one in their own image
 *     equal_between            pages, no zeroes, that have an equal one in another image
 *     runs_duplicate           lengths of runs of consecutive pages that each have an equal one
 *                              somewhere, zeroes excluded: longest sequences, each page in one
 *     runs_between             lengths of runs of consecutive pages that equal consecutive pages of
 *                              another image in the same order, zeroes excluded
 *     runs_first               lengths of runs of consecutive pages that equal consecutive pages at
 *                              the first places of their contents, zeroes excluded: what folding
 *                              makes when every copy is folded with the first
 *     lookahead_pages          pages in runs_between behind the first of their run: what comparing
 *                              with the page after the last match finds without a search
 *
 * A list of runs is {"LENGTH": HOW MANY, ...}, where LENGTH stands for itself and all lengths up to
 * the next power of two.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_BYTES 4096u
#define IMAGES_MAX 64u
#define LENGTHS 40u     /* powers of two */
#define PARTNERS_MAX 64 /* copies that are tried for the longest run, for each of its starts */

struct image {
    const uint8_t *bytes;
    uint64_t first; /* the number of its first page among all pages */
    uint64_t pages;
};

struct page {
    uint64_t key; /* equal pages have equal keys; the reverse is only likely, and never relied on */
    uint64_t number;
};

struct runs {
    uint64_t count[LENGTHS];
};

static struct image images[IMAGES_MAX];
static unsigned n_images;
static uint64_t total;
static struct page *sorted; /* by key and content: equal pages are neighbours, in order of number */
static uint64_t *group;     /* by page number: where its group of equal pages begins in sorted */
static uint8_t *owner;      /* by page number: its image */

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "recount: %s: %s\n", what, why);
    exit(2);
}

static const uint8_t *content(uint64_t number)
{
    const struct image *i = &images[owner[number]];

    return i->bytes + (number - i->first) * PAGE_BYTES;
}

static uint64_t key_of(const uint8_t *bytes)
{
    uint64_t key = 0, word;

    for (unsigned at = 0; at < PAGE_BYTES; at += sizeof(word)) {
        memcpy(&word, bytes + at, sizeof(word));
        key = (key ^ word) * UINT64_C(0xff51afd7ed558ccd);
        key ^= key >> 32;
    }
    return key;
}

static bool is_zero(uint64_t number)
{
    static const uint8_t zeroes[PAGE_BYTES];

    return memcmp(content(number), zeroes, PAGE_BYTES) == 0;
}

static int by_content(const void *a, const void *b)
{
    const struct page *p = a, *q = b;

    if (p->key != q->key) {
        return p->key < q->key ? -1 : 1;
    }
    int order = memcmp(content(p->number), content(q->number), PAGE_BYTES);
    return order ? order : (p->number > q->number) - (p->number < q->number);
}

static bool equal(const struct page *a, const struct page *b)
{
    return a->key == b->key && memcmp(content(a->number), content(b->number), PAGE_BYTES) == 0;
}

static void *must_have(uint64_t n, size_t size)
{
    void *p = calloc(n, size);

    if (!p) {
        die("memory", strerror(errno));
    }
    return p;
}

static void add_image(const char *file)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (n_images == IMAGES_MAX) {
        die(file, "at most 64 images");
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        die(file, strerror(errno));
    }
    struct image *i = &images[n_images++];
    *i = (struct image){.first = total, .pages = (uint64_t)st.st_size / PAGE_BYTES};
    if (!S_ISREG(st.st_mode) || i->pages == 0) {
        die(file, "not a file of at least 4096 bytes");
    }
    void *bytes = mmap(NULL, i->pages * PAGE_BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        die(file, strerror(errno));
    }
    i->bytes = bytes;
    total += i->pages;
    close(fd);
}

static void sort_pages(void)
{
    sorted = must_have(total, sizeof(*sorted));
    group = must_have(total, sizeof(*group));
    owner = must_have(total, sizeof(*owner));
    for (unsigned i = 0; i < n_images; i++) {
        memset(owner + images[i].first, (int)i, images[i].pages);
    }
    for (uint64_t n = 0; n < total; n++) {
        sorted[n] = (struct page){.key = key_of(content(n)), .number = n};
    }
    qsort(sorted, total, sizeof(*sorted), by_content);
    for (uint64_t i = 0, first = 0; i < total; i++) {
        first = i > 0 && equal(&sorted[i - 1], &sorted[i]) ? first : i;
        group[sorted[i].number] = first;
    }
}

/* ---- groups of equal pages ------------------------------------------------------------------- */

struct counts {
    uint64_t zero, distinct, unique, shared, sharing, inside, between;
};

/* The pages of sorted[first..end), which are equal and not zero, by where their equals are. */
static void count_places(uint64_t first, uint64_t end, struct counts *c)
{
    for (uint64_t i = first; i < end;) {
        uint64_t next = i; /* in order of number, so an image's pages stand together */
        while (next < end && owner[sorted[next].number] == owner[sorted[i].number]) {
            next++;
        }
        c->inside += next - i > 1 ? next - i : 0;
        c->between += next - i < end - first ? next - i : 0;
        i = next;
    }
}

static void count_groups(struct counts *c)
{
    for (uint64_t first = 0, end; first < total; first = end) {
        for (end = first + 1; end < total && group[sorted[end].number] == first; end++) {
        }
        c->distinct++;
        if (is_zero(sorted[first].number)) {
            c->zero = end - first;
        } else if (end - first == 1) {
            c->unique++;
        } else {
            c->shared++;
            c->sharing += end - first - 1;
            count_places(first, end, c);
        }
    }
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void add_run(struct runs *runs, uint64_t length)
{
    unsigned power = 0;

    while (length >> (power + 1)) {
        power++;
    }
    runs->count[power] += length > 0;
}

static uint64_t image_end(uint64_t number)
{
    return images[owner[number]].first + images[owner[number]].pages;
}

static bool has_equal(uint64_t number)
{
    uint64_t first = group[number];
    bool alone = sorted[first].number == number &&
                 (first + 1 == total || group[sorted[first + 1].number] != first);

    return !alone && !is_zero(number);
}

static void count_duplicate_runs(struct runs *runs)
{
    for (unsigned i = 0; i < n_images; i++) {
        uint64_t length = 0;
        for (uint64_t n = images[i].first; n < images[i].first + images[i].pages; n++) {
            if (has_equal(n)) {
                length++;
            } else {
                add_run(runs, length);
                length = 0;
            }
        }
        add_run(runs, length);
    }
}

/* How many pages from a on equal those from b on. */
static uint64_t common(uint64_t a, uint64_t b)
{
    uint64_t end_a = image_end(a), end_b = image_end(b), n = 0;

    while (a + n < end_a && b + n < end_b && group[a + n] == group[b + n] && !is_zero(a + n)) {
        n++;
    }
    return n;
}

/* The longest run from page n on that another image has too; 0: none has page n. */
static uint64_t longest(uint64_t n)
{
    uint64_t best = 0;
    unsigned tried = 0;

    for (uint64_t i = group[n]; i < total && tried < PARTNERS_MAX; i++) {
        uint64_t other = sorted[i].number;
        if (group[other] != group[n]) {
            break;
        }
        if (owner[other] != owner[n]) {
            uint64_t length = common(n, other);
            best = length > best ? length : best;
            tried++;
        }
    }
    return best;
}

static uint64_t count_between_runs(struct runs *runs)
{
    uint64_t behind = 0;

    for (uint64_t n = 0; n < total;) {
        uint64_t length = longest(n);
        add_run(runs, length);
        behind += length > 1 ? length - 1 : 0;
        n += length ? length : 1;
    }
    return behind;
}

/* The place of the page's content that comes first in the order of images; it may be the page. */
static uint64_t first_place(uint64_t n)
{
    return sorted[group[n]].number;
}

static void count_first_runs(struct runs *runs)
{
    for (unsigned i = 0; i < n_images; i++) {
        uint64_t length = 0;
        for (uint64_t n = images[i].first; n < images[i].first + images[i].pages; n++) {
            uint64_t there = first_place(n);
            bool copy = there != n && !is_zero(n);
            if (length > 0 && !(copy && there == first_place(n - 1) + 1 &&
                                owner[there] == owner[first_place(n - 1)])) {
                add_run(runs, length);
                length = 0;
            }
            length += copy;
        }
        add_run(runs, length);
    }
}

static void print_runs(const char *name, const struct runs *runs)
{
    const char *comma = "";

    printf(",\n \"%s\": {", name);
    for (unsigned power = 0; power < LENGTHS; power++) {
        if (runs->count[power]) {
            printf("%s\"%" PRIu64 "\": %" PRIu64, comma, UINT64_C(1) << power, runs->count[power]);
            comma = ", ";
        }
    }
    printf("}");
}

int main(int argc, char **argv)
{
    struct counts c = {0};
    struct runs duplicate = {0}, between = {0}, first = {0};

    if (argc < 2) {
        die("usage", "recount IMAGE...");
    }
    for (int i = 1; i < argc; i++) {
        add_image(argv[i]);
    }
    sort_pages();
    count_groups(&c);
    count_duplicate_runs(&duplicate);
    count_first_runs(&first);
    uint64_t behind = count_between_runs(&between);
    printf("{\"images\": %u, \"pages\": %" PRIu64 ", \"zero_pages\": %" PRIu64
           ", \"distinct_pages\": %" PRIu64 ", \"exact_saving\": %" PRIu64
           ",\n \"unique_pages\": %" PRIu64 ", \"shared_contents\": %" PRIu64
           ", \"sharing_pages\": %" PRIu64 ", \"equal_inside\": %" PRIu64
           ", \"equal_between\": %" PRIu64,
           n_images, total, c.zero, c.distinct, total - c.distinct, c.unique, c.shared, c.sharing,
           c.inside, c.between);
    print_runs("runs_duplicate", &duplicate);
    print_runs("runs_between", &between);
    print_runs("runs_first", &first);
    printf(",\n \"lookahead_pages\": %" PRIu64 "}\n", behind);
    return 0;
}
