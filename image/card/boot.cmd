# Chooses a slot and starts its kernel: U-Boot's script on the FAT partition, /boot.scr (mkimage -A arm64 -T script -d).
# One script for the Raspberry Pi (mmc, usb) and for QEMU's -M virt (virtio). image/card/README.md tells the rest.
#
# Promise: as long as one slot can be loaded, something boots; a slot that cannot be loaded or was tried too often without
# being marked good is passed over; when nothing is left all is tried anew, for ever. The choice survives a power cut at any
# moment.
#
# State: one sector, in the format of U-Boot's environment (CRC-32 and text), outside every file system. A sector is written
# whole or not at all. Its three variables are those of RAUC's backend "uboot":
#   BOOT_ORDER   slots by preference, "A B"; a slot that RAUC marked bad is not in it
#   BOOT_x_LEFT  attempts that are left, a hexadecimal number; each boot takes one, `rauc status mark-good` refills
# Linux reads and writes the same sector by fw_printenv and fw_setenv (/etc/fw_env.config).

setenv sector 0x1000
setenv attempts 3

if test "${board}" = "qemu-arm"; then
  # RAM begins at 1 GiB, with the device tree at its start
  setenv kernel_addr_r 0x40400000
  setenv ramdisk_addr_r 0x46000000
  setenv console "console=ttyAMA0"
else
  # The defaults leave 38 MB between kernel and device tree, as little as the kernel has. 2 MiB is where it may stay;
  # everything is below 128 MiB, as the smallest board has 512 MB and firmware and U-Boot sit at the top.
  setenv kernel_addr_r 0x00200000
  setenv ramdisk_addr_r 0x05000000
  # the serial port is the modem's: no console on it
  setenv console "console=tty1"
fi

# A file of the FAT partition may add words to the kernel's line: a text file with one line, extra=WORDS
setenv extra
if test -e ${devtype} ${devnum}:${distro_bootpart} /boot-extra.txt; then
  load ${devtype} ${devnum}:${distro_bootpart} ${loadaddr} /boot-extra.txt
  env import -t -r ${loadaddr} ${filesize} extra
fi

setenv BOOT_ORDER
setenv BOOT_A_LEFT
setenv BOOT_B_LEFT
${devtype} dev ${devnum}
if ${devtype} read ${loadaddr} ${sector} 1; then
  env import -c ${loadaddr} 0x200 BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
fi
if test -z "${BOOT_ORDER}"; then setenv BOOT_ORDER "A B"; fi
if test -z "${BOOT_A_LEFT}"; then setenv BOOT_A_LEFT ${attempts}; fi
if test -z "${BOOT_B_LEFT}"; then setenv BOOT_B_LEFT ${attempts}; fi

setenv remember 'env export -c -s 0x200 ${loadaddr} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT && ${devtype} write ${loadaddr} ${sector} 1'

# one line that people and tests can read, for each decision
setenv tell 'echo "modemhub: ${told} (order ${BOOT_ORDER}, left A ${BOOT_A_LEFT} B ${BOOT_B_LEFT})"'

for round in first second; do
  setenv anew "A B"
  if test "${BOOT_ORDER}" = "B" -o "${BOOT_ORDER}" = "B A"; then setenv anew "B A"; fi
  for slot in ${BOOT_ORDER}; do
    setenv left 0
    if test "${slot}" = "A"; then setenv part 2; setenv left ${BOOT_A_LEFT}; fi
    if test "${slot}" = "B"; then setenv part 3; setenv left ${BOOT_B_LEFT}; fi
    if test 0x${left} -gt 0; then
      # taken before anything of the slot is read: whatever goes wrong from here on has cost an attempt
      setexpr left ${left} - 1
      setenv BOOT_${slot}_LEFT ${left}
      run remember
      setenv told "slot ${slot}"; run tell
      # PARTUUID: the same name on every board, but also of another card of this image; the first one that is found is taken
      setenv bootargs "root=PARTUUID=4d485542-0${part} ro rootwait rauc.slot=${slot} panic=10 net.ifnames=0 ${console} loglevel=4 ${extra}"
      if load ${devtype} ${devnum}:${part} ${kernel_addr_r} /boot/vmlinuz; then
        if load ${devtype} ${devnum}:${part} ${ramdisk_addr_r} /boot/initrd.img; then
          booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}
        fi
      fi
      setenv BOOT_${slot}_LEFT 0
      run remember
      setenv told "slot ${slot} cannot be loaded"; run tell
    fi
  done
  # Also a slot that was marked bad comes in again: better a doubtful system than none.
  setenv BOOT_ORDER "${anew}"
  setenv BOOT_A_LEFT ${attempts}
  setenv BOOT_B_LEFT ${attempts}
  run remember
  setenv told "no slot is left, all are tried anew"; run tell
done

# Nothing on this card can be loaded; not too often, as each attempt writes.
sleep 30
reset
