//! SSH on one connection: logins, channels, commands, request lines.
//!
//! The session carries out the behaviour's response to each event, without waiting: what takes
//! time runs in a task that ends with its channel.

use std::collections::HashMap;
use std::sync::Arc;

use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, VerifiedPublicKey};
use russh::{Channel, ChannelId, Error, Pty};
use tokio::task::JoinSet;

use crate::behaviour::{Action, Behaviour, Reply};
use crate::connection::Control;
use crate::faults;
use crate::helper::Helper;
use crate::program::{InProcess, Program};
use crate::server::NodeState;
use crate::writer::{ChannelWriter, STDERR};

type Library = russh::server::Session;

/// One client's connection.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Arc<NodeState>,
    control: Arc<Control>,
    programs: HashMap<ChannelId, Program>,
    openers: JoinSet<()>,
}

impl Session {
    pub(crate) fn new(shared: Arc<NodeState>, control: Arc<Control>) -> Self {
        Self {
            shared,
            control,
            programs: HashMap::new(),
            openers: JoinSet::new(),
        }
    }

    fn authenticate(&self, key: &russh::keys::PublicKey) -> Auth {
        if self.shared.admits(key) {
            return Auth::Accept;
        }
        self.shared
            .counters
            .note(|counters| counters.auth_refusals += 1);
        Auth::reject()
    }

    fn start(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        ssh: &mut Library,
    ) -> Result<(), Error> {
        self.shared.counters.note(|counters| counters.execs += 1);
        // The reply to the request (RFC 4254, section 6.5) comes before the program's output.
        ssh.channel_success(channel)?;
        self.programs.retain(|_, program| !program.has_ended());
        self.ensure_openers(ssh);
        match self.shared.behaviour().on_command(command) {
            Action::Run { program, sys_root } => {
                let helper = Helper::start(&program, &sys_root, command, self.writer(channel, ssh));
                self.programs.insert(channel, Program::Child(helper));
                Ok(())
            }
            act => {
                self.programs
                    .insert(channel, Program::InProcess(InProcess::default()));
                self.carry_out(act, channel, ssh)
            }
        }
    }

    fn carry_out(
        &mut self,
        act: Action,
        channel: ChannelId,
        ssh: &mut Library,
    ) -> Result<(), Error> {
        match act {
            Action::Wait | Action::Run { .. } => Ok(()),
            Action::Reply(reply) if reply.after.is_zero() => self.reply(reply, channel, ssh),
            Action::Reply(reply) => {
                self.spawn(channel, self.writer(channel, ssh).reply_later(reply));
                Ok(())
            }
            Action::Flood => {
                self.spawn(channel, faults::flood(self.writer(channel, ssh)));
                Ok(())
            }
            Action::Close => {
                self.programs.remove(&channel);
                ssh.close(channel)
            }
            // The library drops the connection after an error of its handler.
            Action::Cut => Err(Error::Disconnect),
            Action::StopReading(reply) => {
                self.control.stop_reading();
                self.reply(reply, channel, ssh)
            }
        }
    }

    fn reply(&mut self, reply: Reply, channel: ChannelId, ssh: &mut Library) -> Result<(), Error> {
        self.shared
            .counters
            .note(|counters| counters.readings += reply.readings);
        ssh.data(channel, reply.output)?;
        if !reply.complaint.is_empty() {
            ssh.extended_data(channel, STDERR, reply.complaint.as_bytes())?;
        }
        if let Some(status) = reply.exit {
            self.programs.remove(&channel);
            ssh.exit_status_request(channel, status)?;
            ssh.eof(channel)?;
            ssh.close(channel)?;
        }
        Ok(())
    }

    fn spawn(&mut self, channel: ChannelId, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(Program::InProcess(program)) = self.programs.get_mut(&channel) {
            program.spawn(task);
        }
    }

    /// Starts openers when the behaviour has them. They end by themselves, each after the
    /// response to its last channel: the library drops a connection when nothing awaits a
    /// response.
    fn ensure_openers(&mut self, ssh: &Library) {
        while self.openers.try_join_next().is_some() {}
        if self.openers.is_empty() && self.shared.behaviour().opens_channels() {
            self.openers = faults::open_channels(&ssh.handle(), &self.shared);
        }
    }

    fn writer(&self, channel: ChannelId, ssh: &Library) -> ChannelWriter {
        ChannelWriter {
            handle: ssh.handle(),
            channel,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Handler for Session {
    type Error = Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Error> {
        Ok(self.authenticate(offer.public_key))
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Error> {
        Ok(self.authenticate(key.public_key))
    }

    async fn auth_succeeded(&mut self, ssh: &mut Library) -> Result<(), Error> {
        self.shared.counters.note(|counters| counters.logins += 1);
        self.ensure_openers(ssh);
        if matches!(*self.shared.behaviour(), Behaviour::DropConnection) {
            self.control.cut_after_flush();
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _ssh: &mut Library,
    ) -> Result<(), Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        ssh: &mut Library,
    ) -> Result<(), Error> {
        self.start(channel, command, ssh)
    }

    /// A forced command runs for a shell request too.
    async fn shell_request(&mut self, channel: ChannelId, ssh: &mut Library) -> Result<(), Error> {
        self.start(channel, b"", ssh)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        ssh: &mut Library,
    ) -> Result<(), Error> {
        ssh.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        ssh: &mut Library,
    ) -> Result<(), Error> {
        ssh.channel_failure(channel)
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        mut bytes: &[u8],
        ssh: &mut Library,
    ) -> Result<(), Error> {
        if let Some(Program::Child(helper)) = self.programs.get(&channel) {
            return helper.write(bytes);
        }
        // A response for each line. The program is looked up again: a response may end it.
        while let Some(Program::InProcess(program)) = self.programs.get_mut(&channel) {
            let Some(line) = program.next_line(&mut bytes) else {
                break;
            };
            self.ensure_openers(ssh);
            self.carry_out(self.shared.behaviour().on_request(&line), channel, ssh)?;
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, ssh: &mut Library) -> Result<(), Error> {
        match self.programs.get(&channel) {
            Some(Program::Child(helper)) => helper.end_input(),
            Some(Program::InProcess(_)) => {
                self.carry_out(self.shared.behaviour().on_end_of_input(), channel, ssh)
            }
            None => Ok(()),
        }
    }

    async fn channel_close(&mut self, channel: ChannelId, _ssh: &mut Library) -> Result<(), Error> {
        self.programs.remove(&channel);
        Ok(())
    }
}
