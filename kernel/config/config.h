/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration: an INI file with one [host] section and a [vm NAME] section for each VM.
 *
 *     ; a comment, also with #; at the end of a line it needs a blank before it
 *     [host]
 *     scan.pages = 1000
 *     [vm web1]
 *     kernel = vmlinuz
 *     cmdline = console=ttyS0 root=/dev/vda ro
 *     disk = ata0p1,ro             (or ,snapshot or ,overlay=ata0p2)
 *
 * Inside double quotes nothing is a comment; quotes around a whole value are taken off. Every key
 * but `kernel` has a default. Whatever is not understood is an error that names the line and says
 * what to do. The [host] keys are one table, which the monitor also sets and prints from.
 *
 * Pure; the text is any bytes at all.
 */
#ifndef KERNEL_CONFIG_CONFIG_H
#define KERNEL_CONFIG_CONFIG_H

#include "base/status.h"
#include "base/types.h"
#include "drivers/block/fault.h"
#include "mm/cache/store.h"
#include "mm/fold/fold.h"

#define CONFIG_VMS 64
#define CONFIG_DISKS 8
#define CONFIG_NAME 64    /* bytes of a name, its NUL included */
#define CONFIG_VM_NAME 32 /* likewise, of a VM or a share group */
#define CONFIG_CMDLINE 1024
#define CONFIG_DELAYS 4
#define CONFIG_DELAY_NAME 5 /* "ata0" */
#define CONFIG_VALUE 64     /* enough for any [host] value as text */
#define CONFIG_VM_MEMORY_MIN (UINT64_C(4) << 20)
#define CONFIG_VM_BOUND_MIN (UINT64_C(1) << 20) /* of memory.max */
#define CONFIG_VM_MEMORY_MAX (UINT64_C(1) << 39)

enum config_when_off { CONFIG_WHEN_OFF_STAY, CONFIG_WHEN_OFF_POWEROFF };

/* What happens to a VM whose guest has come to an end by itself. */
enum config_on { CONFIG_ON_STOP, CONFIG_ON_RESTART, CONFIG_ON_STAY };

enum config_write { CONFIG_WRITE_THROUGH, CONFIG_WRITE_BACK };

struct config_delay {
    char disk[CONFIG_DELAY_NAME];
    uint64_t command_ns, block_ns; /* of each command at least, and of each 4 KiB of it besides */
};

struct config_host {
    enum config_when_off when_off; /* what to do once every VM is off */
    uint64_t shutdown_wait_ns;     /* how long a power-off waits for VMs; 0: not at all */
    uint64_t stats_interval_ns;    /* 0: none are printed */
    uint64_t timer_floor_ns;       /* between two expiries of a VM's periodic timers; 0: none */
    uint32_t scan_pages;           /* per wake-up, at least 1 */
    uint64_t scan_sleep_ns;        /* between wake-ups */
    unsigned scan_cpu_max;         /* percent, 1 to 100 */
    uint64_t scan_pass_ns;         /* the target time for a pass; 0: none */
    bool memory_order; /* when frames get short, VMs get them in the order of their starts */
    struct fold_switches fold;
    bool fold_zero_across_groups;
    enum cache_mode cache_mode;
    unsigned cache_max_percent; /* of the machine's memory; 0: cache_max_bytes holds instead */
    uint64_t cache_max_bytes;
    uint64_t cache_readahead; /* bytes fetched ahead of a sequential reader, at most */
    enum config_write cache_write;
    bool cache_give;
    unsigned cache_dirty_percent; /* of cache.max; 0: cache_dirty_bytes holds instead */
    uint64_t cache_dirty_bytes;
    uint64_t cache_dirty_age_ns;   /* 0: no limit */
    uint32_t cache_trace;          /* requests that the trace has room for; 0: none is kept */
    unsigned snapshot_max_percent; /* of the machine's memory; 0: snapshot_max_bytes holds */
    uint64_t snapshot_max_bytes;
    unsigned n_faults;
    struct faulty_rule faults[FAULTY_RULES]; /* disks that fail on purpose */
    unsigned n_delays;
    struct config_delay delays[CONFIG_DELAYS]; /* disks that are slow on purpose, each once */
};

struct config_disk {
    char name[CONFIG_NAME]; /* without suffixes: "ata0p1", "module:NAME" */
    bool read_only;
    bool snapshot;             /* writes stay in memory, and are dropped when the VM goes off */
    char overlay[CONFIG_NAME]; /* the disk that keeps the writes; "": none */
    bool shared;               /* other VMs may write it too */
};

struct config_vm {
    char name[CONFIG_VM_NAME];
    unsigned line;         /* of its section, for messages */
    uint64_t memory_bytes; /* a multiple of PAGE_SIZE */
    uint64_t memory_min;   /* likewise: of these, what is always there for it */
    uint64_t memory_max;   /* likewise: what it may hold alone; 0: any number */
    char kernel[CONFIG_NAME];
    char initrd[CONFIG_NAME]; /* "": none */
    char cmdline[CONFIG_CMDLINE];
    unsigned n_disks;
    struct config_disk disks[CONFIG_DISKS];
    char share[CONFIG_VM_NAME];
    bool fold;  /* whether its memory is folded */
    bool start; /* at boot; otherwise by the monitor */
    enum config_on on_panic, on_halt;
    unsigned cpus;
};

struct config {
    struct config_host host;
    unsigned n_vms;
    struct config_vm vms[CONFIG_VMS];
};

/* Every key of [host] at its default. */
void config_host_defaults(struct config_host *h);

/*
 * Parses `len` bytes of text. E_INVAL, E_NOTFOUND (unknown key), E_EXISTS (a second one of
 * something), E_NOMEM (too many VMs or disks): why holds one line, "config:LINE: ...", and *out
 * must not be used.
 */
enum status config_parse(const char *text, size_t len, struct config *out, char *why,
                         size_t why_size) MUST_CHECK;

/*
 * Sets one [host] key by its full name ("scan.pages") while the machine runs. E_NOTFOUND: no such
 * key, E_INVAL: a bad value, E_UNSUPPORTED: it can only be set at boot; why says what is possible,
 * and nothing has changed.
 */
enum status config_host_set(struct config_host *h, const char *key, const char *value, char *why,
                            size_t why_size) MUST_CHECK;
/* The i-th [host] key, and its value in h as text (CONFIG_VALUE bytes); false past the last. */
bool config_host_get(const struct config_host *h, unsigned i, const char **key, char *value,
                     size_t value_size);
/* What the i-th key is for and which values it takes, in a few words; NULL past the last. */
const char *config_host_help(unsigned i);

/*
 * A rule of disk.fault: "DISK read|write|any FIRST+COUNT KIND" or "DISK flush KIND", with a KIND of
 * `error`, `lost`, `timeout TIME` or `slow TIME`, and ` xN` behind it for N strikes only. False: it
 * is not one, and *out is as it was.
 */
bool config_parse_fault(const char *text, struct faulty_rule *out);
/* The text that parses to the same; bounded as format(). */
void config_print_fault(const struct faulty_rule *rule, char *buf, size_t size);

/*
 * A value of disk.delay: "DISK TIME" or "DISK TIME BLOCK-TIME", DISK being ata0 to ata3; `off` for
 * the times is none. False: it is not one, and *out is as it was.
 */
bool config_parse_delay(const char *text, struct config_delay *out);
/* The text that parses to the same; bounded as format(). */
void config_print_delay(const struct config_delay *delay, char *buf, size_t size);

/* Whether two VMs that are on at the same time, one with disk a and one with disk b, could ruin
 * what is on it: both may write it, or one of them a partition of the other's, and not both are
 * `,shared`. */
bool config_disks_clash(const struct config_disk *a, const struct config_disk *b);

/* cache.dirty_max in bytes, where cache.max is cache_bytes. */
uint64_t config_dirty_bytes(const struct config_host *h, uint64_t cache_bytes);
/* cache.max and snapshot.max in bytes, on a machine with memory_bytes. */
uint64_t config_cache_bytes(const struct config_host *h, uint64_t memory_bytes);
uint64_t config_snapshot_bytes(const struct config_host *h, uint64_t memory_bytes);

#endif
