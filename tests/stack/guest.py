"""A guest that prints numbered lines on its serial port, and what its console must hold then.

The guest is a boot sector, written down below as machine code, so that no assembler is needed.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from pathlib import Path
from xml.sax.saxutils import quoteattr

#: As long as this, numbered in decimal: the guest counts in the text itself.
_LINE = b"line %07d of what a guest says on its serial console........\n"
CLOSING = b"guest done\n"


class End(IntEnum):
    """What the guest does after its last line."""

    HALT = 0
    POWER_OFF = 1


#: As a number of lines: print until a key of the guest's keyboard is pressed.
UNTIL_KEY = 0
_TEXT_AT = 0x100
_CLOSING_AT = 0x180

# 16-bit code, loaded at 7c00; the first column is the offset of a line's first byte. A jump's last
# byte is its distance.
_CODE = bytes.fromhex(
    # 00           jmp  start
    "eb 0a 90 90"
    # 04  lines    dd   (filled in)
    "00 00 00 00"
    # 08  burst    dw   (filled in)
    "00 00"
    # 0a  end      db   (filled in)
    "00"
    # 0b           db   0
    "00"
    # 0c  start    jmp  0:7c11              the firmware may have come in by 07c0:0
    "ea 11 7c 00 00"
    # 11           xor  ax, ax
    "31 c0"
    # 13           mov  ds, ax
    "8e d8"
    # 15           mov  ss, ax
    "8e d0"
    # 17           mov  sp, 7c00
    "bc 00 7c"
    # 1a           sti                      the timer's tick and the keyboard interrupt us
    "fb"
    # 1b           cld
    "fc"
    # 1c           mov  bp, [burst]
    "8b 2e 08 7c"
    # 20  line     mov  si, text
    "be 00 7d"
    # 23           call print
    "e8 50 00"
    # 26           mov  di, last digit      count, from the last digit on
    "bf 0b 7d"
    # 29  digit    inc  byte [di]
    "fe 05"
    # 2b           cmp  byte [di], '9' + 1
    "80 3d 3a"
    # 2e           jne  counted
    "75 06"
    # 30           mov  byte [di], '0'
    "c6 05 30"
    # 33           dec  di
    "4f"
    # 34           jmp  digit
    "eb f3"
    # 36  counted  cmp  dword [lines], 0
    "66 83 3e 04 7c 00"
    # 3c           je   key
    "74 09"
    # 3e           dec  dword [lines]
    "66 ff 0e 04 7c"
    # 43           je   done
    "74 12"
    # 45           jmp  pace
    "eb 06"
    # 47  key      mov  ah, 1               is there a key in the keyboard's buffer?
    "b4 01"
    # 49           int  16
    "cd 16"
    # 4b           jne  done
    "75 0a"
    # 4d  pace     dec  bp
    "4d"
    # 4e           jne  line
    "75 d0"
    # 50           mov  bp, [burst]
    "8b 2e 08 7c"
    # 54           hlt                      until the next tick
    "f4"
    # 55           jmp  line
    "eb c9"
    # 57  done     mov  si, closing
    "be 80 7d"
    # 5a           call print
    "e8 19 00"
    # 5d           mov  dx, 3fd             until the port has sent all: status, bit 6
    "ba fd 03"
    # 60           in   al, dx
    "ec"
    # 61           test al, 40
    "a8 40"
    # 63           je   60
    "74 fb"
    # 65           cmp  byte [end], POWER_OFF
    "80 3e 0a 7c 01"
    # 6a           jne  stop
    "75 07"
    # 6c           mov  dx, 604             the firmware has put ACPI's control register there
    "ba 04 06"
    # 6f           mov  ax, 2000            sleep state 5, and go there
    "b8 00 20"
    # 72           out  dx, ax
    "ef"
    # 73  stop     hlt
    "f4"
    # 74           jmp  stop
    "eb fd"
    # 76  print    mov  dx, 3fd             print what is at si, with its line end; each byte: wait
    #                                       until the port takes one: status register, bit 5
    "ba fd 03"
    # 79           in   al, dx
    "ec"
    # 7a           test al, 20
    "a8 20"
    # 7c           je   79
    "74 fb"
    # 7e           mov  dl, f8              the port's data register, 3f8
    "b2 f8"
    # 80           lodsb
    "ac"
    # 81           out  dx, al
    "ee"
    # 82           cmp  al, '\n'
    "3c 0a"
    # 84           jne  print
    "75 f0"
    # 86           ret
    "c3"
)


def disk(lines: int, end: End, burst: int = 0) -> bytes:
    """Give the content of the guest's disk.

    :param lines: how many lines it prints before the closing one; or UNTIL_KEY.
    :param burst: lines between two pauses, each until the guest's next timer tick (18 a second);
        0 prints as fast as the port goes.
    """
    sector = bytearray(512)
    sector[: len(_CODE)] = _CODE
    struct.pack_into("<IHB", sector, 4, lines, burst, end)
    for offset, text in ((_TEXT_AT, _LINE % 0), (_CLOSING_AT, CLOSING)):
        sector[offset : offset + len(text)] = text
    sector[510:] = b"\x55\xaa"
    # Disks have sizes of whole pages, or QEMU cannot share them between guests.
    return bytes(sector.ljust(4096, b"\0"))


def console(lines: int) -> bytes:
    """Give all that a guest prints that was told to print so many lines."""
    return b"".join(_LINE % number for number in range(lines)) + CLOSING


def lines_of(text: bytes) -> int:
    """Return how many lines a guest printed of which this is the whole console.

    :raises ValueError: something is lost, doubled or out of place; says where.
    """
    size = len(_LINE % 0)
    whole, rest = divmod(len(text) - len(CLOSING), size)
    for number in range(whole):
        line = text[number * size : (number + 1) * size]
        if line != _LINE % number:
            raise ValueError(f"line {number} is {line!r}")
    if rest or not text.endswith(CLOSING):
        raise ValueError(f"after {whole} lines, the end is {text[whole * size :][-80:]!r}")
    return whole


def domain(
    name: str,
    uuid: str = "",
    disk: Path | None = None,
    console: Path | None = None,
    append: bool = False,
    arguments: tuple[str, ...] = (),
    firmware: bool = False,
) -> str:
    """Describe a guest to libvirt, as XML.

    :param console: the file where libvirt logs the serial port.
    :param arguments: more arguments for QEMU.
    :param firmware: let it print on the serial port, too.
    """
    bios = '<bios useserial="yes"/>' if firmware else ""
    return f"""\
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>{name}</name>
  {f"<uuid>{uuid}</uuid>" if uuid else ""}
  <memory unit="MiB">16</memory>
  <os><type arch="x86_64" machine="pc">hvm</type><boot dev="hd"/>{bios}</os>
  <features><acpi/></features>
  <devices>
    {_disk(disk) if disk else ""}
    <controller type="usb" model="none"/>
    {_serial(console, append) if console else ""}
    <memballoon model="none"/>
  </devices>
  <qemu:commandline>
    {"".join(f"<qemu:arg value={quoteattr(argument)}/>" for argument in arguments)}
  </qemu:commandline>
</domain>
"""


def _disk(path: Path) -> str:
    return (
        '<disk type="file" device="disk"><driver name="qemu" type="raw"/>'
        f'<source file={quoteattr(str(path))}/><target dev="hda" bus="ide"/><shareable/></disk>'
    )


def _serial(log: Path, append: bool) -> str:
    switch = "on" if append else "off"
    return (
        f'<serial type="null"><log file={quoteattr(str(log))} append="{switch}"/>'
        '<target port="0"/></serial>'
    )
