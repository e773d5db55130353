//! One node: bound, booted, run, ended.

use std::any::Any;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use broker_core::auth::Mechanism;
use broker_core::{Endpoint, ListenerKind, Node, Role};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc as async_mpsc, oneshot};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::core_loop::{CoreLoop, Mailbox, Message};
use crate::disk::FileDisk;
use crate::error::{ExitReason, ServerError};
use crate::flush::Flushers;
use crate::net::{Connector, Door, Places};
use crate::options::NodeOptions;
use crate::security::{Security, SecurityProtocol};

/// Threads for the sockets of one node.
const SOCKET_THREADS: usize = 2;
/// How many connections may wait to be accepted: all clients come back at once when a node has been away.
const BACKLOG: i32 = 1024;
/// How long the last frames may take to leave.
const DRAIN: Duration = Duration::from_millis(200);
/// The exit status after a second signal, as a shell would report an interrupt.
const INTERRUPTED: i32 = 130;

/// A node whose directory is locked and whose addresses are bound, but which has not started.
pub struct Server {
    options: NodeOptions,
    security: Security,
    disk: FileDisk,
    client: Option<TcpListener>,
    internal: TcpListener,
    mailbox: Mailbox,
    inbox: Receiver<Message>,
}

/// Stops a node from another thread.
#[derive(Clone)]
pub struct StopHandle(Mailbox);

impl StopHandle {
    /// Asks for an orderly stop; the second time, for an immediate one.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// Runs one node until it is stopped.
pub fn run(options: NodeOptions) -> Result<ExitReason, ServerError> {
    Server::bind(options)?.run()
}

impl Server {
    /// Reads the files of security, locks the data directory and binds the addresses.
    pub fn bind(mut options: NodeOptions) -> Result<Self, ServerError> {
        let security = options.security.load()?;
        options.config.auth = security.auth.clone();
        let disk = FileDisk::open(&options.data_dir)?;
        let client = options.client_listen.as_ref().map(listen).transpose()?;
        let internal = listen(&options.internal_listen)?;
        if let Some(client) = &client {
            fill_port(&mut options.config.advertised_client, client)?;
        }
        fill_port(&mut options.config.advertised_internal, &internal)?;
        let own_id = options.config.node_id;
        for voter in options.config.controllers.iter_mut().filter(|voter| voter.node == own_id) {
            fill_port(&mut voter.endpoint, &internal)?;
        }
        let (sender, inbox) = mpsc::channel();
        Ok(Self { options, security, disk, client, internal, mailbox: Mailbox::new(sender), inbox })
    }

    /// Where clients connect, if they can.
    pub fn client_address(&self) -> Option<SocketAddr> {
        self.client.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Where other nodes are told to connect.
    pub fn internal_endpoint(&self) -> &Endpoint {
        &self.options.config.advertised_internal
    }

    /// A way to stop the node while [`Server::run`] blocks.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(self.mailbox.clone())
    }

    /// Recovers the data, serves until stopped, and says why it ended.
    pub fn run(self) -> Result<ExitReason, ServerError> {
        let name = self.name();
        let core =
            thread::Builder::new().name(name).spawn(move || self.run_here()).map_err(ServerError::Thread)?;
        core.join().unwrap_or_else(|panic| Err(ServerError::Panicked(panic_message(&*panic))))
    }

    /// What the node is called in logs.
    fn name(&self) -> String {
        let role = match self.options.config.role {
            Role::Broker => "broker",
            Role::Controller => "controller",
        };
        format!("{role}-{}", self.options.config.node_id)
    }

    fn run_here(self) -> Result<ExitReason, ServerError> {
        announce(&self);
        let name = self.name();
        let Self { options, security, mut disk, client, internal, mailbox, inbox } = self;
        let clock = Clock::start();
        let mut effects = Vec::new();
        let frame_max = options.config.request_max_bytes;
        let node = Node::boot(options.config, clock.now(), &mut disk, &mut effects)
            .map_err(|source| ServerError::Boot { path: options.data_dir, source })?;
        let flushers = Flushers::start(&name, &mailbox).map_err(ServerError::Thread)?;
        let (alive, connections) = async_mpsc::channel(1);
        let connector = Connector { mailbox, frame_max, tls: security.dial, _alive: alive };

        let runtime = sockets_runtime(&name).map_err(ServerError::Thread)?;
        // Clients come in when the node is ready. Before that a broker has no brokers to name, and librdkafka asks nobody
        // again that has told it so.
        let (ready, until_ready) = oneshot::channel();
        let reason = {
            let _entered = runtime.enter();
            let mut listeners = JoinSet::new();
            let (of_clients, of_nodes) = (options.security.clients, options.security.nodes());
            let clients = client.map(|client| {
                (client, ListenerKind::Client, of_clients, security.clients, Some(until_ready))
            });
            let nodes = (internal, ListenerKind::Internal, of_nodes, security.nodes, None);
            for (listener, kind, protocol, tls, opens) in clients.into_iter().chain([nodes]) {
                let listener = tokio::net::TcpListener::from_std(listener).map_err(ServerError::Thread)?;
                let asks_for_login = protocol.asks_for_login();
                let places = Places::new(kind, options.max_connections);
                let door = Door { kind, tls, asks_for_login, places, connector: connector.clone() };
                listeners.spawn(async move {
                    let is_ready = match opens {
                        Some(opens) => opens.await.is_ok(),
                        None => true,
                    };
                    // Else the node has ended before.
                    if is_ready {
                        door.accept_forever(listener).await;
                    }
                });
            }
            if options.handle_signals {
                tokio::spawn(stop_on_signals(connector.mailbox.clone()));
            }
            CoreLoop::new(node, disk, clock, inbox, connector, flushers, ready).run(effects)
        };
        drain(runtime, connections);
        Ok(reason)
    }
}

fn sockets_runtime(name: &str) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(SOCKET_THREADS).thread_name(name).enable_all().build()
}

fn announce(server: &Server) {
    let config = &server.options.config;
    tracing::info!(
        data = %server.options.data_dir.display(),
        clients = server.client_address().map(tracing::field::display),
        internal = format!("{}:{}", config.advertised_internal.host, config.advertised_internal.port),
        "starting"
    );
    let security = &server.options.security;
    let in_clear_text = security.clients == SecurityProtocol::SaslPlaintext;
    if server.client.is_some() && in_clear_text && security.mechanisms.contains(&Mechanism::Plain) {
        tracing::warn!("clients that log in with PLAIN send their passwords in clear text");
    }
    for defect in config.defects.iter() {
        tracing::warn!("PLANTED DEFECT `{defect}`: this node breaks its promises on purpose");
    }
}

fn listen(endpoint: &Endpoint) -> Result<TcpListener, ServerError> {
    let bind = |source| ServerError::Bind { address: format!("{}:{}", endpoint.host, endpoint.port), source };
    let listener = TcpListener::bind((endpoint.host.as_str(), endpoint.port)).map_err(bind)?;
    listener.set_nonblocking(true).map_err(bind)?;
    rustix::net::listen(&listener, BACKLOG).map_err(|errno| bind(errno.into()))?;
    Ok(listener)
}

/// Port 0 was "any": tell the one that was found.
fn fill_port(advertised: &mut Endpoint, listener: &TcpListener) -> Result<(), ServerError> {
    if advertised.port == 0 {
        let address = format!("{}:0", advertised.host);
        advertised.port =
            listener.local_addr().map_err(|source| ServerError::Bind { address, source })?.port();
    }
    Ok(())
}

/// The first signal asks the node to stop; the second ends the process, whatever the node does.
async fn stop_on_signals(mailbox: Mailbox) {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        tracing::warn!("cannot watch for signals");
        return;
    };
    for count in 1.. {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if count == 1 {
            mailbox.stop();
        } else {
            tracing::warn!("second signal: ending at once");
            std::process::exit(INTERRUPTED);
        }
    }
}

/// Lets the last frames leave, for a moment: the core's end of every connection has been dropped.
fn drain(runtime: Runtime, mut connections: async_mpsc::Receiver<()>) {
    runtime.block_on(async {
        let _ = tokio::time::timeout(DRAIN, connections.recv()).await;
    });
    runtime.shutdown_timeout(DRAIN);
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
