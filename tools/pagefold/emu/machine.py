# SPDX-License-Identifier: BSD-2-Clause
"""The emulated machines: which there are, what they need, and their command lines."""

import os
import shutil
import subprocess

from pagefold.paths import cache_folder
from pagefold.problem import Problem
from pagefold.values import MIB

MACHINES = ("bochs", "qemu-kvm", "qemu-tcg", "qemu-tcg-uefi")
DEFAULT_CPU = {"bochs": "corei7_skylake_x", "qemu-kvm": "host", "qemu-tcg": "max",
               "qemu-tcg-uefi": "max"}
# IDE places for disks; the boot image sits at the secondary channel's master as a CD.
BOCHS_PLACES = ("ata0-master", "ata0-slave", "ata1-slave")
QEMU_PLACES = (0, 1, 3)
BOCHS_IPS = 50_000_000  # emulated instructions in an emulated second
BIOS = "/usr/share/bochs/BIOS-bochs-latest"
VGA_BIOS = "/usr/share/vgabios/vgabios.bin"


def default_machine():
    """Nested KVM where the host has VT-x, else Bochs, which emulates it."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            flags = next((line.split() for line in file if line.startswith("flags")), [])
    except OSError:
        flags = []
    usable = "vmx" in flags and os.access("/dev/kvm", os.R_OK | os.W_OK)
    return "qemu-kvm" if usable and shutil.which("qemu-system-x86_64") else "bochs"


class Disk:
    """A disk image given as FILE or FILE,snapshot."""

    def __init__(self, text):
        self.snapshot = text.endswith(",snapshot")
        self.path = text[:-len(",snapshot")] if self.snapshot else text
        if not os.path.isfile(self.path):
            raise Problem(f"--disk: there is no file {self.path}")
        if not os.access(self.path, os.R_OK if self.snapshot else os.R_OK | os.W_OK):
            raise Problem(f"--disk: {self.path} cannot be {'read' if self.snapshot else 'written'}"
                          + ("" if self.snapshot else "; add ,snapshot to leave it unchanged"))
        self.path = os.path.abspath(self.path)
        self.bytes = os.path.getsize(self.path)
        if self.bytes == 0 or self.bytes % 512:
            raise Problem(f"--disk: {self.path} has {self.bytes} bytes, not a multiple of 512")

    def geometry(self):
        """Cylinders, heads, sectors that give exactly the image's size: Bochs takes the product
        for the size of the disk, also for LBA, and would hide what is beyond it."""
        sectors = self.bytes // 512
        for heads in range(16, 0, -1):
            for spt in range(63, 0, -1):
                if sectors % (heads * spt) == 0 and sectors // (heads * spt) <= 262143:
                    return sectors // (heads * spt), heads, spt
        raise Problem(f"--disk: Bochs has no geometry for {sectors} sectors; "
                      f"make {self.path} a multiple of 1 MiB (truncate -s %1M)")


class Machine:
    def __init__(self, kind, cpu, cpus, memory_bytes, disks, realtime=False, gdb=False):
        self.kind = kind or default_machine()
        self.cpu = cpu or DEFAULT_CPU[self.kind]
        self.cpus = cpus
        self.memory_mib = memory_bytes // MIB
        self.disks = disks
        self.realtime = realtime
        self.gdb = gdb
        if memory_bytes % MIB or not 8 <= self.memory_mib <= 65536:
            raise Problem("--memory: must be whole MiB, from 8M to 64G")
        if not 1 <= cpus <= 64:
            raise Problem("--cpus: must be from 1 to 64")
        if len(disks) > len(BOCHS_PLACES):
            raise Problem(f"--disk: at most {len(BOCHS_PLACES)} disks; the boot image has the "
                          "fourth IDE place")
        paths = [os.path.realpath(d.path) for d in disks if not d.snapshot]
        if len(set(paths)) != len(paths):
            raise Problem("--disk: the same file is given twice")
        if gdb and self.kind == "bochs":
            raise Problem("--gdb: needs a QEMU machine, such as --machine qemu-tcg")
        self.program = self.find_program()

    def find_program(self):
        if self.kind == "bochs":
            built = os.path.join(cache_folder(), "bochs-3.0", "bin", "bochs")
            own = os.environ.get("PAGEFOLD_BOCHS")
            if own and not os.access(own, os.X_OK):
                raise Problem(f"PAGEFOLD_BOCHS: {own} cannot be run")
            program = own or (built if os.access(built, os.X_OK) else shutil.which("bochs"))
            if not program or not all(map(os.path.exists, (BIOS, VGA_BIOS))):
                raise Problem("Bochs not found: run tools/setup")
            return program
        program = shutil.which("qemu-system-x86_64")
        if not program:
            raise Problem("qemu-system-x86_64 not found: run tools/setup")
        if self.kind == "qemu-tcg-uefi" and not os.path.exists("/usr/share/OVMF/OVMF_CODE_4M.fd"):
            raise Problem("the UEFI firmware (package ovmf) not found: run tools/setup")
        return program

    def check_host(self):
        """What only matters when the machine is really started."""
        if self.kind == "bochs" and self.cpu != DEFAULT_CPU["bochs"]:
            told = subprocess.run([self.program, "--help", "cpu"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  check=False).stdout
            if f"\n{self.cpu}\n" not in told:
                raise Problem(f"--cpu: Bochs has no model {self.cpu}; "
                              f"`{self.program} --help cpu` lists them")
        if self.kind == "qemu-kvm":
            if not os.access("/dev/kvm", os.R_OK | os.W_OK):
                raise Problem("--machine qemu-kvm: /dev/kvm cannot be opened; try --machine bochs")
            with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
                if " vmx " not in file.read().replace("\n", " \n"):
                    raise Problem("--machine qemu-kvm: this host's CPU has no VT-x (or hides it); "
                                  "try --machine bochs")

    def command(self, image, work, console):
        """The emulator's command. console is (TCP port, UNIX socket path), where we listen."""
        port, path = console
        if self.kind == "bochs":
            return self.bochs(image, work, port)
        return self.qemu(image, work, path)

    # ---- Bochs ------------------------------------------------------------------------------

    def bochs(self, image, work, port):
        rc = os.path.join(work, "bochsrc")
        with open(rc, "w", encoding="utf-8") as file:
            file.write(self.bochsrc(image, work, port))
        command = [self.program, "-q", "-unlock", "-f", rc]
        if "bochs-3" not in self.program and self.is_debugger_build():
            start = os.path.join(work, "bochs.start")
            with open(start, "w", encoding="ascii") as file:
                file.write("c\n")
            command += ["-rc", start]
        return command

    def is_debugger_build(self):
        """Debian's own package has the internal debugger, which waits at a prompt."""
        with open(self.program, "rb") as file:
            return b"-rc filename" in file.read()

    def bochsrc(self, image, work, port):
        # Two runs of one image give the same bytes: the clock follows the instructions, the
        # calendar starts at a fixed second, and the instructions that Bochs feeds from the wall
        # clock (RDRAND, RDSEED) are taken out of the CPU.
        lines = [
            f"megs: {self.memory_mib}",
            f"cpu: model={self.cpu}, count={self.cpus}, ips={BOCHS_IPS}, reset_on_triple_fault=0, "
            'exclude_features="rdrand,rdseed"',
            f"romimage: file={BIOS}",
            f"vgaromimage: file={VGA_BIOS}",
            "vga: extension=vbe, update_freq=5, realtime=0",
            "display_library: nogui",
            "ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14",
            "ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15",
            f'ata1-master: type=cdrom, path="{image}", status=inserted',
            "boot: cdrom",
            f"com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}",
            "port_e9_hack: enabled=1",
            f"clock: sync={'slowdown' if self.realtime else 'none'}, time0=1700000000",
            f'log: {work}/bochs.log',
            "logprefix: %t%e%d",
            "panic: action=fatal",
            "error: action=report",
            # Not the GUI's: it tells the speed from a signal handler, each second, and waits for
            # ever when that comes while another line is being written.
            "info: action=report, nogui=ignore",
            "debug: action=ignore",
        ]
        for place, disk in zip(BOCHS_PLACES, self.disks):
            cylinders, heads, spt = disk.geometry()
            mode = f"volatile, journal={work}/{place}.redolog" if disk.snapshot else "flat"
            lines.append(f'{place}: type=disk, path="{disk.path}", mode={mode}, '
                         f"cylinders={cylinders}, heads={heads}, spt={spt}")
        return "\n".join(lines) + "\n"

    # ---- QEMU -------------------------------------------------------------------------------

    def qemu(self, image, work, path):
        def quoted(name):
            return name.replace(",", ",,")

        command = [
            self.program, "-machine", "pc", "-accel", "kvm" if self.kind == "qemu-kvm" else "tcg",
            "-cpu", self.cpu, "-smp", str(self.cpus), "-m", str(self.memory_mib),
            "-nodefaults", "-vga", "std", "-display", "none", "-no-reboot",
            "-chardev", f"socket,id=com1,path={quoted(path)}", "-serial", "chardev:com1",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
            "-drive", f"file={quoted(image)},format=raw,media=cdrom,if=ide,index=2,readonly=on",
            "-boot", "d",
        ]
        for index, disk in zip(QEMU_PLACES, self.disks):
            command += ["-drive", f"file={quoted(disk.path)},format=raw,if=ide,index={index}"
                                  f"{',snapshot=on' if disk.snapshot else ''}"]
        if self.kind == "qemu-tcg-uefi":
            variables = os.path.join(work, "ovmf-variables")
            shutil.copyfile("/usr/share/OVMF/OVMF_VARS_4M.fd", variables)
            command += ["-drive", "if=pflash,format=raw,readonly=on,"
                                  "file=/usr/share/OVMF/OVMF_CODE_4M.fd",
                        "-drive", f"if=pflash,format=raw,file={quoted(variables)}"]
        if self.gdb:
            command += ["-gdb", "tcp:127.0.0.1:1234", "-S"]
        return command


def last_words(machine, work):
    """Why the emulator stopped by itself: None for an orderly power-off, else one line."""
    if machine.kind != "bochs":
        return None
    try:
        with open(os.path.join(work, "bochs.log"), encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if ">>PANIC<<" in line or "FATAL" in line]
    except OSError:
        return None
    if any("shutdown requested" in line or "soft power off" in line for line in lines):
        return None
    return lines[-1].split(">>PANIC<<")[-1].strip() if lines else None
