# SPDX-License-Identifier: BSD-2-Clause
"""Makes a hybrid image that GRUB boots on BIOS and on UEFI, from a CD, a disk or a USB stick."""

import os
import shutil
import subprocess

from pagefold.problem import Problem, last_line, readable_file

# Only what the generated grub.cfg needs: a small image loads faster in an emulator.
GRUB_MODULES = ("multiboot2 linux normal iso9660 fat boot test search echo part_acorn part_amiga "
                "part_apple part_bsd part_dfly part_dvh part_gpt part_msdos part_plan part_sun part_sunpc "
                "configfile all_video")


def require_tools():
    missing = [t for t in ("grub-mkrescue", "xorriso", "mformat") if not shutil.which(t)]
    if missing:
        raise Problem(f"{', '.join(missing)} not found: run tools/setup")
    for folder in ("i386-pc", "x86_64-efi"):
        if not os.path.isdir(f"/usr/lib/grub/{folder}"):
            raise Problem(f"GRUB's files for {folder} not found: run tools/setup")


def make(out, work, grub_cfg, files, extra_modules=""):
    """Writes the image `out`: grub_cfg and, under /boot, files (name in the image -> path)."""
    require_tools()
    folder = os.path.dirname(out)
    if os.path.isdir(out) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise Problem(f"boot image: {out} cannot be written")
    tree = os.path.join(work, "image")
    boot = os.path.join(tree, "boot")
    os.makedirs(os.path.join(boot, "grub"))
    for name, path in files.items():
        target = os.path.join(boot, name)
        readable_file(path, "boot image")
        try:
            os.link(os.path.realpath(path), target)
        except OSError:
            shutil.copyfile(path, target)
    with open(os.path.join(boot, "grub", "grub.cfg"), "w", encoding="utf-8") as file:
        file.write(grub_cfg)
    done = subprocess.run(
        ["grub-mkrescue", "-o", out, "--fonts=", "--themes=", "--locales=",
         f"--install-modules={GRUB_MODULES} {extra_modules}".strip(), tree],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    shutil.rmtree(tree, ignore_errors=True)
    if done.returncode != 0 or not os.path.exists(out):
        raise Problem(f"grub-mkrescue failed: {last_line(done.stdout, 'no message')}")


def hypervisor(out, work, elf, config_text, modules, cmdline=""):
    """The image that boots Pagefold with a configuration and its modules."""
    readable_file(elf, "the hypervisor (build it with make)")
    config = os.path.join(work, "config")
    with open(config, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(config_text)
    files = {"pagefold.elf": elf, "pagefold.conf": config}
    # Boot modules are handed over as they are: GRUB would unpack a compressed one.
    lines = ["module2 --nounzip /boot/pagefold.conf config"]
    for count, (path, name) in enumerate(modules.names.items()):
        files[f"module{count}"] = path
        lines.append(f"module2 --nounzip /boot/module{count} {name}")
    commands = "\n    ".join(lines)
    grub_cfg = f"""set timeout=0
menuentry Pagefold {{
    multiboot2 /boot/pagefold.elf {cmdline}
    {commands}
    boot
}}
"""
    make(out, work, grub_cfg, files)
