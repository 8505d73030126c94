//! The virtual machine: QEMU, started on an image with a job.
//!
//! It has no network and no keyboard. QEMU emulates the processor (TCG): slower than the
//! processor's own help, but there on every machine, and what is tested here is not speed.

use super::directory;
use super::image::Image;
use super::job::Job;
use crate::guest::{self, Ended, Guest};
use crate::process::Outcome;

/// Boots the image and returns when the machine has switched itself off.
pub(crate) fn run(image: &Image, job: &Job) -> Outcome<Ended> {
    let console = directory().join("console.log");
    let mut qemu = guest::program("qemu-system-x86_64");
    qemu.args(HARDWARE);
    qemu.arg("-kernel").arg(image.kernel());
    qemu.arg("-initrd").arg(image.initial());
    qemu.args(["-append", KERNEL_COMMAND_LINE]);
    // QEMU separates options with commas, and doubles them where they are meant.
    let disk = image.disk().display().to_string().replace(',', ",,");
    // A snapshot: what is written to the disk is forgotten, and the image stays as it was made.
    qemu.arg("-drive");
    qemu.arg(format!("file={disk},format=raw,if=virtio,snapshot=on"));
    let share = job.directory().display();
    let share = format!("local,id=job,security_model=none,path={share}");
    qemu.args(["-fsdev", &share]);
    qemu.args(["-serial", &format!("file:{}", console.display())]);
    Guest::start(&mut qemu, &job.output(), &console)?.watch()
}

// `panic=-1` reboots at once, which `-no-reboot` turns into QEMU's end.
const KERNEL_COMMAND_LINE: &str = "root=/dev/vda rw quiet console=ttyS0 panic=-1 mitigations=off \
     log_buf_len=4M systemd.show_status=error systemd.mask=e2scrub_reap.service";

/// Two processors, a shared directory, and a disk with a thermometer.
const HARDWARE: [&str; 20] = [
    "-nodefaults",
    "-display",
    "none",
    "-no-reboot",
    "-accel",
    "tcg,thread=multi",
    "-smp",
    "2",
    "-m",
    "1024",
    "-device",
    "virtio-9p-pci,fsdev=job,mount_tag=job",
    "-device",
    "virtio-rng-pci",
    "-blockdev",
    "driver=null-co,node-name=nothing,size=1048576",
    "-device",
    "nvme,serial=1,drive=nothing",
    "-name",
    "pulse-vm-test",
];
