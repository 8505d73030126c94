//! The commands that run a container, one for each engine.

use super::{ContainerEngine, EngineKind, IMAGE, Namespaces};
use crate::container;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

impl ContainerEngine {
    /// The command that runs a container, up to the program in it.
    pub(super) fn container(
        &self,
        namespaces: Namespaces,
        name: &str,
        mounts: &[(&Path, &str)],
    ) -> Command {
        match self.kind {
            EngineKind::Podman => {
                let mut command = container::podman(self.directory.path(), "run");
                command.args(container::LIMITS).arg("--log-driver=none");
                self.add_oci_options(&mut command, namespaces, name, mounts);
                command.arg("--rootfs").arg(self.path("root"));
                command
            }
            EngineKind::Docker => {
                let mut command = self.docker("run");
                self.add_oci_options(&mut command, namespaces, name, mounts);
                command.arg(IMAGE);
                command
            }
            EngineKind::Containerd => self.ctr(namespaces, name, mounts),
            EngineKind::Lxc => self.lxc(namespaces, name, mounts),
            EngineKind::Nspawn => self.nspawn(namespaces, name, mounts),
        }
    }

    pub(super) fn docker(&self, word: &str) -> Command {
        let mut command = self.command("docker");
        command.arg(format!("--host=unix://{}", self.text("docker.sock")));
        command.arg(word);
        command
    }

    /// The options of `run` that podman and Docker have in common.
    fn add_oci_options(
        &self,
        command: &mut Command,
        namespaces: Namespaces,
        name: &str,
        mounts: &[(&Path, &str)],
    ) {
        command.args(["--rm", "--network=none", "--volume=/usr:/usr:ro"]);
        command.arg(format!("--name={name}"));
        command.arg(format!("--cidfile={}", self.id_file(name).display()));
        match namespaces {
            Namespaces::Own => command.arg("--cgroupns=private"),
            Namespaces::Host => command.args(["--pid=host", "--cgroupns=host"]),
        };
        for (source, place) in mounts {
            command.arg(format!("--volume={}:{place}", source.display()));
        }
    }

    pub(super) fn id_file(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.id"))
    }

    fn ctr(&self, namespaces: Namespaces, name: &str, mounts: &[(&Path, &str)]) -> Command {
        let mut command = self.command("ctr");
        command.args(["--address", &self.text("containerd.sock"), "run", "--rm"]);
        // An empty path stands for a new namespace.
        let of_host = |kind| match namespaces {
            Namespaces::Own => String::new(),
            Namespaces::Host => format!("/proc/{}/ns/{kind}", std::process::id()),
        };
        for kind in ["pid", "cgroup"] {
            command.arg("--with-ns");
            command.arg(format!("{kind}:{}", of_host(kind)));
        }
        let usr = (Path::new("/usr"), "/usr");
        for ((source, place), access) in [(&usr, "ro")]
            .into_iter()
            .chain(mounts.iter().map(|mount| (mount, "rw")))
        {
            let source = source.display();
            command.arg("--mount").arg(format!(
                "type=bind,src={source},dst={place},options=rbind:{access}"
            ));
        }
        command.arg("--rootfs").arg(self.path("root")).arg(name);
        command
    }

    fn lxc(&self, namespaces: Namespaces, name: &str, mounts: &[(&Path, &str)]) -> Command {
        let mut config = format!(
            "lxc.rootfs.path = dir:{}\n\
             lxc.net.0.type = none\n\
             lxc.autodev = 0\n\
             lxc.mount.entry = proc proc proc nosuid,nodev,noexec 0 0\n\
             lxc.mount.entry = /dev/null dev/null none bind,create=file 0 0\n\
             lxc.mount.entry = /usr usr none bind,ro 0 0\n",
            self.text("root")
        );
        for (source, place) in mounts {
            let (source, place) = (source.display(), place.trim_start_matches('/'));
            config += &format!("lxc.mount.entry = {source} {place} none bind,create=dir 0 0\n");
        }
        if namespaces == Namespaces::Host {
            // Namespaces that are not listed are made anew, a user namespace included.
            config += "lxc.namespace.keep = pid cgroup user net\n";
        }
        let file = self.path(&format!("{name}.conf"));
        fs::write(&file, config).unwrap();
        let mut command = self.command("lxc-execute");
        command.args(["--lxcpath", &self.text("lxc"), "--name", name]);
        command.arg("--rcfile").arg(file).arg("--");
        command
    }

    fn nspawn(&self, namespaces: Namespaces, name: &str, mounts: &[(&Path, &str)]) -> Command {
        let mut command = self.command("systemd-nspawn");
        command.args(["--quiet", "--register=no", "--keep-unit", "--pipe"]);
        command.args(["--settings=no", "--link-journal=no"]);
        command.args(["--resolv-conf=off", "--timezone=off", "--bind-ro=/usr"]);
        command.arg(format!("--machine={name}"));
        command.arg(format!("--directory={}", self.text("root")));
        // These variables make it share namespaces; systemd-nspawn(1) has no option for it.
        let (shared, own) = match namespaces {
            Namespaces::Own => ("0", "1"),
            Namespaces::Host => ("1", "0"),
        };
        command.env("SYSTEMD_NSPAWN_SHARE_NS_PID", shared);
        // Otherwise it mounts v1 hierarchies, which the host may not have.
        command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        command.env("SYSTEMD_NSPAWN_USE_CGNS", own);
        for (source, place) in mounts {
            command.arg(format!("--bind={}:{place}", source.display()));
        }
        command
    }
}
