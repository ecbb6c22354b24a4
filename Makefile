# SPDX-License-Identifier: BSD-2-Clause
# Pagefold's one Makefile. `make help` lists the targets; everything is built below build/.
#
#   DEBUG=1        a debug build, in build/debug/
#   CLANG=1        the hypervisor by Clang, in build/clang/
#   HOSTCC=clang   the host tests with another compiler

O := build$(if $(CLANG),/clang)$(if $(DEBUG),/debug)
H := build/host
G := build/guests
CC := $(if $(CLANG),clang,gcc)
GUESTCC := gcc
HOSTCC ?= gcc
FUZZCC := clang
ifeq ($(V),)
Q := @
say = @printf '  %-8s %s\n' $(1) $(2)
endif

# $(call flags,FILE,TEXT): FILE, which holds TEXT. What depends on it is made anew when TEXT changes;
# it is written when this file is read, so that `make -n` tells the truth.
same = $(and $(findstring [$1],[$2]),$(findstring [$2],[$1]))
flags = $1$(if $(or $(call same,$(strip $2),$(strip $(file <$1))),$(IDLE)),,$(shell mkdir -p $(dir $1))$(file >$1,$2))
IDLE := $(if $(MAKECMDGOALS),$(if $(filter-out help clean format setup,$(MAKECMDGOALS)),,yes))

# ---- what is built -------------------------------------------------------------------------
# Rooms are folders: tools/lint-layers has their table. All but start-up and what is the machine's own
# compiles on the host as it is.
ROOMS := base boot mm mm/content mm/index mm/introspect mm/cache mm/fold mm/audit \
         drivers/block drivers/block/partition drivers/block/cow drivers/block/cache drivers/host \
         drivers/host/disk drivers/guest drivers/guest/virtio arch/x86_64/decode arch/x86_64 \
         arch/x86_64/hvm arch/x86_64/vmx kernel/config kernel/core kernel/console kernel/storage \
         kernel/scan kernel/vm kernel/stats kernel/monitor kernel
ALL  := $(sort $(wildcard $(ROOMS:%=%/*.c)))
PURE := $(filter-out kernel/main.c kernel/start.c,$(filter base/% boot/% mm/% drivers/% \
          arch/x86_64/decode/% kernel/%,$(ALL))) \
        arch/x86_64/irq.c $(addprefix arch/x86_64/hvm/,cr.c guest_msrs.c mtrr.c)
BARE := $(filter-out $(PURE),$(ALL))
ASM  := $(sort $(wildcard $(ROOMS:%=%/*.S)))

KOBJ := $(PURE:%.c=$O/%.o) $(BARE:%.c=$O/%.o) $(ASM:%.S=$O/%.S.o)
HOST := $(filter-out base/string.c,$(PURE)) # the C library has these
HOBJ := $(HOST:%.c=$H/obj/%.o)
FOBJ := $(HOST:%.c=$H/fuzzed/%.o)

WARN := -Wall -Wextra -Wconversion -Wshadow -Wundef -Wvla -Wmissing-prototypes -Wstrict-prototypes \
        -Werror
# The same bytes whichever folder this is in. (PWD: a compiler may know that by another name.)
export PWD := $(CURDIR)
CPP := -I. -Ibuild/gen -std=gnu11 -ffile-prefix-map=$(CURDIR)=.
RELEASE := $(CPP) -O2 -g -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -mno-red-zone \
           -fno-stack-protector -fno-omit-frame-pointer -fno-strict-aliasing \
           -fno-asynchronous-unwind-tables -fcf-protection=none -fno-common -ffunction-sections \
           $(WARN)
# base/string.c has a pragma of GCC's; -ffreestanding alone keeps Clang from seeing calls in loops.
KFLAGS := $(RELEASE) $(if $(DEBUG),-DPAGEFOLD_DEBUG) $(if $(CLANG),-Wno-unknown-pragmas)
LDFLAGS := -nostdlib -static -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
           -Wl,-z,noexecstack -Wl,--gc-sections -Wl,--fatal-warnings
SAN := -fsanitize=address,undefined -fno-sanitize-recover=all
# tests/host/machine has what stands in for headers that are instructions of the machine.
HFLAGS := -Itests/host/machine $(CPP) -O1 -g -fno-omit-frame-pointer -fno-strict-aliasing $(WARN)

.PHONY: all demo run iso test test-quick test-all test-host test-emu fuzz soak powercut reproduce bench bench-fold bench-cache cache-bench images bench-ksm lint format \
        gdb clean help setup
all: $O/pagefold.elf

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

# Vector registers hold the guests' state. Only these files use them, and only between the begin and
# the end of a struct content_unit; the rest of the kernel is compiled without. (-O3 unrolls the hash.)
VECTOR_mm/content/sse2 := -msse2 -O3
VECTOR_mm/content/avx2 := -mavx2 -O3
VECTOR_mm/content/avx512 := -mavx512f -O3
VECTORS := $(foreach v,sse2 avx2 avx512,$(VECTOR_mm/content/$v))

# ---- generated -----------------------------------------------------------------------------
GEN := build/gen/dsdt.h
build/gen/dsdt.h: guests/acpi/dsdt.asl
	$(call say,IASL,$<)
	$Q mkdir -p $(@D)
	$Q iasl -va -p build/gen/dsdt -tc $< > build/gen/dsdt.log || { cat build/gen/dsdt.log; exit 1; }
	$Q sed 's/unsigned char/static const unsigned char/' build/gen/dsdt.hex > $@
$(KOBJ) $(HOBJ) $(FOBJ): | $(GEN)

# ---- the kernel ----------------------------------------------------------------------------
$(KOBJ): $(call flags,$O/flags.kernel,$(CC) $(KFLAGS) $(VECTORS))
$O/%.o: %.c
	$(call say,CC,$<)
	$Q mkdir -p $(@D)
	$Q $(CC) $(KFLAGS) $(or $(VECTOR_$*),-mgeneral-regs-only) -MMD -MP -c -o $@ $<
$O/%.S.o: %.S
	$(call say,AS,$<)
	$Q mkdir -p $(@D)
	$Q $(CC) $(KFLAGS) -D__ASSEMBLER__ -MMD -MP -c -o $@ $<

# Linked twice: the first link tells the addresses for the backtrace's symbol table.
$O/pagefold.elf: $(KOBJ) linker.ld tools/mksyms $(call flags,$O/flags.link,$(CC) $(KFLAGS) $(LDFLAGS))
	$(call say,LD,$@)
	$Q printf '.section .ksyms,"a"\n.globl ksyms_start\nksyms_start:\n.globl ksyms_end\nksyms_end:\n' > $O/ksyms0.S
	$Q $(CC) $(KFLAGS) -c -o $O/ksyms0.o $O/ksyms0.S
	$Q $(CC) $(LDFLAGS) -T linker.ld -o $O/pass1.elf $(KOBJ) $O/ksyms0.o
	$Q tools/mksyms $O/pass1.elf > $O/ksyms.S
	$Q $(CC) $(KFLAGS) -c -o $O/ksyms.o $O/ksyms.S
	$Q $(CC) $(LDFLAGS) -T linker.ld -o $@ $(KOBJ) $O/ksyms.o

# ---- host tests ----------------------------------------------------------------------------
$H/obj/%.o: %.c
	$(call say,HOSTCC,$<)
	$Q mkdir -p $(@D)
	$Q $(HOSTCC) $(HFLAGS) $(SAN) $(VECTOR_$*) -MMD -MP -c -o $@ $<
$H/fuzzed/%.o: %.c
	$(call say,FUZZCC,$<)
	$Q mkdir -p $(@D)
	$Q $(FUZZCC) $(HFLAGS) $(SAN) -fsanitize=fuzzer-no-link $(COVERED) $(VECTOR_$*) -MMD -MP -c -o $@ $<
$H/libpagefold.a: $(HOBJ)
	$Q rm -f $@ && ar qcs $@ $^
$H/libfuzz.a: $(FOBJ)
	$Q rm -f $@ && ar qcs $@ $^

# A test is tests/host/ROOM/test_NAME.c; what several of them use is in tests/host/support/, compiled
# once, as a library.
TSRC := $(sort $(wildcard $(foreach d,*/ */*/ */*/*/ */*/*/*/,tests/host/$dtest_*.c)))
TESTS := $(addprefix $H/,$(notdir $(TSRC:.c=)))
SUPPORT := $(filter-out %/test_arena.c,$(sort $(wildcard tests/host/support/*.c)))
# The frame table's operations, between which and the rest arena.c stands.
WRAP := $(foreach f,alloc free put unpin,-Wl,--wrap=frames_$f)
# The tests' log, which is looked for first, and not the kernel's.
WRAP += -Wl,-u,log_line
SOBJ := $(SUPPORT:%.c=$H/obj/%.o)
SFOBJ := $(SUPPORT:%.c=$H/fuzzed/%.o)
TOBJ := $(TSRC:%.c=$H/obj/%.o)
$(SOBJ) $(SFOBJ) $(TOBJ): HFLAGS += -Itests/host/support
$H/libsupport.a: $(SOBJ)
	$Q rm -f $@ && ar qcs $@ $^
$H/libfuzzsupport.a: $(SFOBJ)
	$Q rm -f $@ && ar qcs $@ $^
# What the clock of test_disk_steps.c counts.
LIBS_test_disk_steps := $(foreach f,memcpy memmove memset chunkmap_get chunkmap_reserve chunkmap_set cache_find \
  cache_insert cache_write_frame cache_invalidate cache_next_dirty cache_written cache_publish \
  p2m_get_read p2m_get_write p2m_put p2m_map_shared p2m_share_for_io p2m_read p2m_write,-Wl,--wrap=$f)
LIBS_test_insn := -lZydis # a second opinion on every decoded instruction
POLICY := $(sort $(wildcard tools/host/policy_*.c)) $(addprefix tools/host/,synth.c trace.c belady.c)
POBJ := $(POLICY:%.c=$H/obj/%.o)
LIBS_test_mrc := -lm
LIBS_test_policy := $(LIBS_test_mrc)
$H/test_mrc $H/test_policy: $(POBJ)
$(foreach s,$(TSRC),$(eval $H/$(basename $(notdir $s)): $H/obj/$(s:.c=.o)))
LIBS := $(foreach t,$(notdir $(TESTS)),$(LIBS_$t))
$(TESTS): $H/libsupport.a $H/libpagefold.a \
    $(call flags,$H/flags.link,$(HOSTCC) $(HFLAGS) $(SAN) $(WRAP) $(LIBS))
	$(call say,LD,$@)
	$Q $(HOSTCC) $(HFLAGS) $(SAN) $(WRAP) -o $@ $(filter %.o,$^) -Wl,--start-group $H/libsupport.a $H/libpagefold.a $(LIBS_$(@F)) -Wl,--end-group -lcmocka
# The folding core on memory images: optimised, without sanitizers, so that its times mean something.
BENCH_OBJ := $(patsubst %.c,$H/opt/%.o,$(filter base/% mm/% kernel/config/%,$(HOST)) \
               $(addprefix tools/host/,fold-bench.c image_vm.c log.c) tests/host/support/pages.c)
OPTCC := $(HOSTCC) $(CPP) -O2 -g -fno-strict-aliasing $(WARN)
$H/opt/%.o: %.c
	$(call say,HOSTCC,$<)
	$Q mkdir -p $(@D)
	$Q $(OPTCC) $(VECTOR_$*) -MMD -MP -c -o $@ $<
$H/fold-bench: $(BENCH_OBJ)
	$(call say,LD,$@)
	$Q $(HOSTCC) -o $@ $^
$H/test_fold_bench: $H/fold-bench
# Its own, before the machine's that the other tests have.
$H/test_irq: $H/obj/arch/x86_64/irq.o
# Linux KSM on the same images, and an exact count of what is equal in them.
KSM_OBJ := $(patsubst %.c,$H/opt/%.o,tools/host/ksm-bench.c tools/host/ksm.c)
$H/ksm-bench: $(KSM_OBJ)
	$(call say,LD,$@)
	$Q $(HOSTCC) -o $@ $^
RECOUNT_OBJ := $H/opt/tools/host/recount.o
$H/recount: $(RECOUNT_OBJ)
	$(call say,LD,$@)
	$Q $(HOSTCC) -o $@ $^
# Replacement policies on traces of block requests.
CACHE_BENCH_OBJ := $(patsubst %.c,$H/opt/%.o,tools/host/cache-bench.c tools/host/log.c $(POLICY) \
                     $(filter base/%,$(HOST)) mm/cache/store.c mm/cache/dirty.c \
                     mm/cache/ghost.c mm/cache/hash.c mm/cache/queue.c mm/cache/share.c mm/content/content.c mm/frame.c \
                     mm/index/rbtree.c mm/cache/mrc.c)
$H/cache-bench: $(CACHE_BENCH_OBJ)
	$(call say,LD,$@)
	$Q $(HOSTCC) -o $@ $^ -lm
$H/test_cache_bench: $H/cache-bench
# What is left of a disk after a power cut.
VERIFY_OBJ := $H/obj/tools/host/verify-image.o
$H/verify-image: $(VERIFY_OBJ)
	$(call say,LD,$@)
	$Q $(HOSTCC) $(HFLAGS) $(SAN) -o $@ $^
$H/test_verify_image: $H/verify-image
$H/test_recount: $H/fold-bench $H/ksm-bench $H/recount
.PHONY: fold-bench
fold-bench: $H/fold-bench
$(HOBJ) $(SOBJ) $(TOBJ) $(POBJ) $(VERIFY_OBJ): \
    $(call flags,$H/flags.obj,$(HOSTCC) $(HFLAGS) $(SAN) $(VECTORS))
OPT_OBJ := $(sort $(BENCH_OBJ) $(KSM_OBJ) $(RECOUNT_OBJ) $(CACHE_BENCH_OBJ))
$(OPT_OBJ): $(call flags,$H/flags.opt,$(OPTCC) $(VECTORS))

FUZZERS := $(patsubst tests/fuzz/%.c,$H/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
ZOBJ := $(patsubst $H/%,$H/fuzzed/tests/fuzz/%.o,$(FUZZERS))
$(ZOBJ): HFLAGS += -Itests/host/support
# What the fuzzers reach of the code under test is counted: tests/fuzz/coverage.
COUNTED := -fprofile-instr-generate -fcoverage-mapping
$(FOBJ): COVERED := $(COUNTED)
$(FOBJ) $(SFOBJ) $(ZOBJ): $(call flags,$H/flags.fuzzed,$(FUZZCC) $(HFLAGS) $(SAN) $(COUNTED) $(VECTORS))
$(FUZZERS): $(call flags,$H/flags.fuzzlink,$(FUZZCC) $(HFLAGS) $(SAN) $(WRAP))
$H/fuzz_%: $H/fuzzed/tests/fuzz/fuzz_%.o $H/libfuzzsupport.a $H/libfuzz.a
	$(call say,LD,$@)
	$Q $(FUZZCC) $(HFLAGS) $(SAN) $(WRAP) -fprofile-instr-generate=/dev/null -fsanitize=fuzzer -o $@ $< -Wl,--start-group $H/libfuzzsupport.a $H/libfuzz.a -Wl,--end-group

host-binaries: $(TESTS)
fuzz-binaries: $(FUZZERS)
.PHONY: host-binaries fuzz-binaries

# ---- bare-metal guests ---------------------------------------------------------------------
GFLAGS := -std=gnu11 -O2 -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only \
          -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
          -ffile-prefix-map=$(CURDIR)=. -Wall -Wextra -Werror -Iguests/kit
GLDFLAGS := -nostdlib -static -no-pie -Wl,--build-id=none,--no-warn-rwx-segments \
            -T guests/kit/kit.ld
KIT := $(sort $(wildcard guests/kit/*.c)) $(sort $(wildcard guests/kit/*.S))
KITOBJ := $(patsubst %,$G/obj/%.o,$(basename $(KIT)))
# A guest is one file of guests/tests, or a folder of its own.
GUESTS := $(patsubst guests/tests/%.c,$G/%.elf,$(sort $(wildcard guests/tests/*.c)))
LARGE := bench bench-fold verify
objects_of = $(patsubst %.c,$G/obj/%.o,$(sort $(wildcard guests/$1/*.c)))
GOBJ := $(KITOBJ) $(GUESTS:$G/%.elf=$G/obj/guests/tests/%.o) $(foreach g,$(LARGE),$(call objects_of,$g))
# content.elf tries the kernel's own code, as a release has it.
CONTENT := $(patsubst %.c,$G/kernel/%.o,$(sort $(wildcard mm/content/*.c)) base/chacha.c base/random.c)
$G/content.elf: $(CONTENT)
$G/obj/guests/tests/content.o: GFLAGS += -I.

$(GOBJ): $(call flags,$G/flags.obj,$(GUESTCC) $(GFLAGS))
$(CONTENT): $(call flags,$G/flags.kernel,$(GUESTCC) $(RELEASE) $(VECTORS))
$G/obj/%.o: %.c
	$(call say,GUEST,$<)
	$Q mkdir -p $(@D)
	$Q $(GUESTCC) $(GFLAGS) -MMD -MP -c -o $@ $<
$G/obj/%.o: %.S
	$(call say,GUEST,$<)
	$Q mkdir -p $(@D)
	$Q $(GUESTCC) $(GFLAGS) -MMD -MP -c -o $@ $<
$G/kernel/%.o: %.c
	$(call say,GUEST,$<)
	$Q mkdir -p $(@D)
	$Q $(GUESTCC) $(RELEASE) $(or $(VECTOR_$*),-mgeneral-regs-only) -MMD -MP -c -o $@ $<

$(foreach g,$(LARGE),$(eval $G/$g.elf: $(call objects_of,$g)))
$(GUESTS): $G/%.elf: $G/obj/guests/tests/%.o
$(GUESTS) $(LARGE:%=$G/%.elf): $(KITOBJ) guests/kit/kit.ld \
    $(call flags,$G/flags.link,$(GUESTCC) $(GLDFLAGS))
	$(call say,LD,$@)
	$Q $(GUESTCC) $(GLDFLAGS) -o $@ $(KITOBJ) $(sort $(filter-out $(KITOBJ),$(filter %.o,$^)))
guest-binaries: $(GUESTS) $(LARGE:%=$G/%.elf) $H/verify-image
.PHONY: guest-binaries

# ---- what one types ------------------------------------------------------------------------
# A recipe that needs packages or guests calls the installer first and only then builds, with a
# second make: nothing needs to be on the machine when this file is read.
JOBS := $(shell nproc 2>/dev/null || echo 1)
BUILD := $(MAKE) --no-print-directory -j$(JOBS)
DEMO := build/demo/demo.conf build/demo/shell.conf

## make            build/pagefold.elf
## make setup      install what is needed (packages, Bochs, the Debian guests' files)
## make demo       three Debian guests that share their memory, in an emulator; ends with a table
## make run        the console of CONFIG=FILE (default: two shells); more options in ARGS='...'
## make iso        build/pagefold.iso for a USB stick, from CONFIG=FILE
## make test       test-host, test-emu, and a tenth of what test-all has beside them, by lot: the
##                 commit's, or SEED=N; half an hour at the most
## make test-quick  unit tests, and emulated ones that go through each area; three minutes
## make test-all   all emulated tests, also those that take minutes each; power cuts and the soak
## make test-host  unit tests, and each fuzzer for a few seconds
## make test-emu   tests on emulated machines
## make fuzz       each fuzzer for a minute, or FUZZ_SECONDS=N
## make soak       guests that verify their memory for MINUTES=60 emulated minutes of folding
## make powercut   CUTS=100 times, end the emulator while guests write, and look at the disk
## make bench      costs of exits, the boot ratio, the scanner's passes and the disk cache's modes, in
##                 emulated ticks; build/bench.json
## make bench-fold  of these, only what folding costs
## make bench-cache  only what the disk cache is worth, in each of its modes and at several sizes, with
##                 the emulated disk as it is and with a slow one, and three plots of it
## make fold-bench  build/host/fold-bench: the folding core on memory images, on this host
## make cache-bench  build/host/cache-bench: replacement policies on traces of our own guests (made
##                 once, in build/traces; some minutes) and on synthetic ones; options in ARGS='...'
## make images     memory images of real Debian guests, in build/images; options in ARGS='...'
## make bench-ksm  the folding core beside Linux KSM, on IMAGES='FILE...'; build/bench-ksm.json
## make reproduce  builds in two folders, and compares the bytes
## make lint       formatting, layers, headers, licence lines, dependencies of what is built
## make format     format the source
## make gdb        debug the start-up of CONFIG=FILE in QEMU
## make clean      remove build/
CONFIG ?= build/demo/shell.conf
ARGS ?= $(if $(filter build/demo/%,$(CONFIG)),--disk build/demo/disk.img$(,)snapshot)
, := ,
# The seed of what `make test` draws by lot.
LOT = $(if $(SEED),--seed $(SEED))
# ARGS as typed: its default is for tools/run alone.
OPTIONS = $(if $(filter file,$(origin ARGS)),,$(ARGS))

setup:
	$Q tools/setup
demo: setup
	$Q $(BUILD) all
	$Q tools/demo
$(DEMO):
	$Q tools/demo --prepare
run: setup
	$Q $(BUILD) all $(filter $(DEMO),$(CONFIG))
	$Q tools/run $(CONFIG) $(ARGS)
iso: setup
	$Q $(BUILD) all $(filter $(DEMO),$(CONFIG))
	$Q tools/run --iso build/pagefold.iso $(CONFIG)
	@echo "build/pagefold.iso is ready: copy it to a USB stick, for example with dd"
test: setup
	$Q $(BUILD) all host-binaries fuzz-binaries guest-binaries
	$Q $(BUILD) DEBUG=1 all
	$Q tools/test $(LOT) host fuzz emu tenth
test-quick: setup
	$Q $(BUILD) all host-binaries guest-binaries
	$Q tools/test host quick
test-all: setup
	$Q $(BUILD) all host-binaries fuzz-binaries guest-binaries
	$Q $(BUILD) DEBUG=1 all
	$Q tools/reproduce
	$Q tools/test $(LOT) host fuzz slow cuts soak
test-host: setup
	$Q $(BUILD) host-binaries fuzz-binaries
	$Q tools/test host fuzz
test-emu: setup
	$Q $(BUILD) all guest-binaries
	$Q $(BUILD) DEBUG=1 all
	$Q tools/test emu
fuzz: setup
	$Q $(BUILD) fuzz-binaries
	$Q FUZZ_SECONDS=$${FUZZ_SECONDS:-60} tools/test fuzz

reproduce: setup
	$Q tools/reproduce $(if $(DEBUG),DEBUG=1) $(if $(CLANG),CLANG=1)

powercut: setup
	$Q $(BUILD) all build/guests/verify.elf $H/verify-image
	$Q tools/powercut $(or $(CUTS),100) $(OPTIONS)

soak: setup
	$Q $(BUILD) all
	$Q tools/soak $(or $(MINUTES),60)
bench: setup
	$Q $(BUILD) all build/guests/bench.elf build/guests/bench-fold.elf build/guests/attack.elf build/guests/victim.elf
	$Q tools/bench
bench-fold: setup
	$Q $(BUILD) all build/guests/bench-fold.elf
	$Q tools/bench --only fold

bench-cache: setup
	$Q $(BUILD) all build/guests/bench.elf
	$Q tools/bench --only disk --only cache --only slow --full
	$Q tools/plot

cache-bench: setup
	$Q $(BUILD) all $H/cache-bench
	$Q tools/trace
	$Q $H/cache-bench $(OPTIONS) $(or $(TRACES),zipf:0.8 zipf:1.0 scan loop build/traces/*.trace)

images: setup
	$Q tools/images $(OPTIONS)
bench-ksm: setup
	$Q $(BUILD) $H/fold-bench $H/ksm-bench $H/recount
	$Q tools/bench-ksm $(OPTIONS) $(IMAGES)

FORMATTED = $(shell git ls-files -co --exclude-standard '*.c' '*.h')
lint: $(GEN) all
	$Q clang-format --dry-run -Werror $(FORMATTED)
	$Q tools/lint-layers
	$Q tools/lint-deps
	$Q tools/lint-docs
	$Q tests/fuzz/coverage --names
	@echo "lint: clean"
format:
	$Q clang-format -i $(FORMATTED)
gdb: setup
	$Q $(BUILD) all $(filter $(DEMO),$(CONFIG))
	$Q tools/run --machine qemu-tcg --gdb --log build/gdb.log $(CONFIG) < /dev/null > /dev/null & \
	    gdb -q -ex 'target remote localhost:1234' $O/pagefold.elf

clean:
	rm -rf build

-include $(patsubst %.o,%.d,$(KOBJ) $(HOBJ) $(SOBJ) $(TOBJ) $(POBJ) $(VERIFY_OBJ) $(OPT_OBJ) \
                           $(FOBJ) $(SFOBJ) $(ZOBJ) $(GOBJ) $(CONTENT))
