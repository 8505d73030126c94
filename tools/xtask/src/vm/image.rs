//! Debian for the machine, from its packages: a disk, and the kernel and initial
//! file system that Debian itself made for it. Kept as long as the recipe stays the
//! same, since making it takes longer than everything else.

use super::debian::{self, Source};
use crate::process::{self, Failure, Outcome};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kernel that boots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// The newest that Debian offers for its release: it has all of Landlock.
    #[default]
    Backports,
    /// The release's own.
    Stock,
}

/// The packages beside the essential ones and the kernel.
const PACKAGES: [&str; 14] = [
    "systemd-sysv",
    "udev",
    "dbus",
    "apparmor",
    "openssh-server",
    // A collector, and certificates for it.
    "rsyslog",
    "rsyslog-relp",
    "openssl",
    "iproute2",
    "kmod",
    "procps",
    // Debian's initial file system, and what packs it.
    "initramfs-tools",
    "zstd",
    // `systemd-analyze security` and others look names up.
    "libnss-systemd",
];

/// Files of packages that no test looks at, most of them drivers: half the disk.
const LEFT_OUT: [&str; 5] = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "*/kernel/drivers/*",
    "*/kernel/sound/*",
];

/// The drivers that the machine does have.
const KEPT: [&str; 6] = [
    "*/kernel/drivers/virtio/*",
    "*/kernel/drivers/block/virtio_blk.ko*",
    "*/kernel/drivers/char/hw_random/*",
    "*/kernel/drivers/char/virtio_console.ko*",
    // A disk with a thermometer.
    "*/kernel/drivers/nvme/*",
    "*/kernel/drivers/hwmon/*",
];

/// Files that are there before the packages are: path below `/etc`, contents.
const FILES: [(&str, &str); 5] = [
    (
        "initramfs-tools/conf.d/machine",
        "MODULES=list\nBUSYBOX=n\nCOMPRESS=zstd\nFSTYPE=ext4\nRESUME=none\n",
    ),
    ("initramfs-tools/modules", "virtio_pci\nvirtio_blk\next4\n"),
    // Each denial is to be seen, however many there are.
    ("sysctl.d/machine.conf", "kernel.printk_ratelimit=0\n"),
    ("systemd/system/job.mount", include_str!("job.mount")),
    ("systemd/system/job.service", include_str!("job.service")),
];

/// A machine that can be booted.
#[derive(Debug)]
pub(crate) struct Image {
    directory: PathBuf,
}

impl Image {
    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.join("disk")
    }

    pub(crate) fn kernel(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    pub(crate) fn initial(&self) -> PathBuf {
        self.directory.join("initrd.img")
    }

    fn recipe(&self) -> PathBuf {
        self.directory.join("recipe")
    }
}

/// The image for this kernel, made unless it is there.
pub(crate) fn ready(kernel: Kernel, fresh: bool) -> Outcome<Image> {
    let image = Image {
        directory: super::directory().join(match kernel {
            Kernel::Backports => "backports",
            Kernel::Stock => "stock",
        }),
    };
    let recipe = Recipe::new(kernel)?;
    let made = fs::read_to_string(image.recipe());
    // The recipe has no date: newer packages of the same release come with --fresh.
    if !fresh && made.is_ok_and(|made| made == recipe.text()) {
        println!("made before; --fresh makes it anew, with today's packages");
        return Ok(image);
    }
    let directory = &image.directory;
    let root = directory.join("root");
    fs::remove_dir_all(directory)
        .or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })
        .and_then(|()| fs::create_dir_all(directory))
        .map_err(|error| cannot_write(directory, &error))?;
    install(directory, &root, &recipe)?;
    for (link, file) in [("vmlinuz", image.kernel()), ("initrd.img", image.initial())] {
        // Debian's links to the newest kernel, for boot loaders.
        let from = root.join(link);
        let target = fs::read_link(&from).map_err(|error| cannot_write(&from, &error))?;
        fs::copy(root.join(target), &file).map_err(|error| cannot_write(&file, &error))?;
    }
    let mut mkfs = Command::new("mkfs.ext4");
    // Without a journal: no disk is booted twice after a crash.
    mkfs.args(["-q", "-F", "-O", "^has_journal", "-d"]);
    process::run(mkfs.arg(&root).arg(image.disk()).arg(DISK_SIZE))?;
    fs::remove_dir_all(&root).map_err(|error| cannot_write(&root, &error))?;
    // Last: an image without its recipe is not there, however far its making got.
    fs::write(image.recipe(), recipe.text()).map_err(|error| cannot_write(directory, &error))?;
    Ok(image)
}

/// Everything that an image depends on.
struct Recipe {
    release: String,
    sources: Vec<Source>,
    kernel: String,
    fetching: String,
}

impl Recipe {
    fn new(kernel: Kernel) -> Outcome<Self> {
        let release = debian::release()?;
        let mut sources = debian::sources(&release)?;
        let kernel = match kernel {
            Kernel::Stock => "linux-image-amd64".to_owned(),
            Kernel::Backports => {
                sources.extend(debian::backports(&sources, &release));
                // With the suite: apt prefers the release's own version (apt_preferences(5)).
                format!("linux-image-amd64/{release}-backports")
            }
        };
        Ok(Self {
            kernel,
            fetching: debian::fetching()?,
            release,
            sources,
        })
    }

    fn packages(&self) -> String {
        format!("{},{}", PACKAGES.join(","), self.kernel)
    }

    fn text(&self) -> String {
        let sources: Vec<_> = self.sources.iter().map(Source::line).collect();
        let (packages, fetching) = (self.packages(), &self.fetching);
        format!("{sources:?}\n{packages}\n{fetching}{LEFT_OUT:?}\n{KEPT:?}\n{FILES:?}\n")
    }
}

fn install(directory: &Path, root: &Path, recipe: &Recipe) -> Outcome {
    let (etc, apt) = (directory.join("etc"), directory.join("apt.conf"));
    lay_out(&etc).map_err(|error| cannot_write(&etc, &error))?;
    fs::write(&apt, &recipe.fetching).map_err(|error| cannot_write(&apt, &error))?;
    let mut command = Command::new("timeout");
    command.args(["--foreground", LIMIT_SECONDS, "mmdebstrap"]);
    command.args(["--variant=minbase", "--mode=root", "--format=directory"]);
    // Without dpkg's fsync of each file: an image that a crash leaves half made has no recipe.
    command.arg("--dpkgopt=force-unsafe-io");
    command.args(LEFT_OUT.map(|pattern| format!("--dpkgopt=path-exclude={pattern}")));
    command.args(KEPT.map(|pattern| format!("--dpkgopt=path-include={pattern}")));
    command.arg(format!("--aptopt={}", apt.display()));
    // Not a shell's word: mmdebstrap does this one itself.
    command.arg(format!("--essential-hook=copy-in '{}' /", etc.display()));
    command.arg(format!("--include={}", recipe.packages()));
    command.arg(&recipe.release).arg(root);
    process::run(command.args(recipe.sources.iter().map(Source::line)))
}

/// It takes one or two minutes, and as long again on a slow line.
const LIMIT_SECONDS: &str = "1800";

fn lay_out(etc: &Path) -> io::Result<()> {
    for (below, contents) in FILES {
        let file = etc.join(below);
        fs::create_dir_all(file.parent().unwrap_or(etc))?;
        fs::write(file, contents)?;
    }
    let wanted = etc.join("systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    symlink("../job.service", wanted.join("job.service"))
}

/// Sparse: it takes what is in it.
const DISK_SIZE: &str = "2G";

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display()))
}
