//! Starting the servers of engines that have them.

use super::{ContainerEngine, IMAGE};
use crate::wait;
use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

impl ContainerEngine {
    pub(super) fn start_containerd(&mut self) {
        let config = self.path("containerd.toml");
        let (root, state) = (self.text("containerd"), self.text("containerd-state"));
        let socket = self.text("containerd.sock");
        // The CRI plugin, which serves Kubernetes, needs a network.
        let text = format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri']\n\
             [grpc]\naddress = {socket:?}\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = self.command("containerd");
        command.arg("--config").arg(config);
        self.serve(command, "containerd");
    }

    /// Starts Docker's daemon and imports an image, which `docker run` requires.
    pub(super) fn start_docker(&mut self) {
        // Replaces /etc/docker/daemon.json, the host's configuration.
        fs::write(self.path("docker.json"), "{}").unwrap();
        let mut command = self.command("dockerd");
        for (option, below) in [
            ("config-file", "docker.json"),
            ("containerd", "containerd.sock"),
            ("data-root", "docker"),
            ("exec-root", "docker-exec"),
            ("pidfile", "docker.pid"),
        ] {
            command.arg(format!("--{option}={}", self.text(below)));
        }
        command.arg(format!("--host=unix://{}", self.text("docker.sock")));
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        command.args(["--storage-driver=vfs", "--group=root"]);
        self.serve(command, "docker");
        let archive = self.path("image.tar");
        let mut tar = self.command("tar");
        tar.arg("--create").arg("--file").arg(&archive);
        tar.arg("--directory").arg(self.path("root")).arg(".");
        self.finish(&mut tar);
        let mut import = self.docker("import");
        self.finish(import.arg(archive).arg(IMAGE));
    }

    /// Starts a server and waits until its socket is open.
    fn serve(&mut self, mut command: Command, name: &str) {
        let log = self.path(&format!("{name}.log"));
        let file = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = self.mounts.spawn(command.stderr(file));
        let socket = self.path(&format!("{name}.sock"));
        wait::until(&format!("{name} to serve"), || {
            if let Some(status) = child.try_wait().unwrap() {
                let log = fs::read_to_string(&log).unwrap();
                panic!("{name} ended at once ({status}):\n{log}");
            }
            UnixStream::connect(&socket).is_ok()
        });
        self.servers.push(child);
    }
}
